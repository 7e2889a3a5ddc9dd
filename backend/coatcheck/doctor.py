"""`coatcheck doctor`: what is wrong with this configuration, and how to mend it, one line each."""

import stat
from dataclasses import dataclass
from urllib.parse import urlsplit

from . import db as databases
from . import migrate, settings
from .errors import Unavailable
from .redis_down import RedisDown
from .settings import PREFIX, Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what it was about, whether it is fine, and what to do if not."""

    about: str
    ok: bool
    advice: str


async def examine(configured: Settings) -> list[Finding]:
    """All checks. Changes nothing but an embedded database's own files."""
    warnings = settings.check(configured)
    unknown = settings.unknown()
    return [
        *[Finding("settings", False, warning) for warning in warnings],
        *[Finding("settings", False, f"{name} is not a setting; is it misspelt?") for name in unknown],
        *([] if warnings or unknown else [Finding("settings", True, "no warning")]),
        _cookies(configured),
        _secret(configured),
        await _database(configured),
        await _redis(configured),
    ]


def _cookies(configured: Settings) -> Finding:
    url = urlsplit(configured.public_url)
    local = url.hostname == "localhost" or str(url.hostname).endswith(".localhost")
    if local and not configured.embedded:
        return Finding(
            "public url", False, f"set {PREFIX}PUBLIC_URL: people reach this by another name than {url.netloc}"
        )
    if url.scheme == "https" or local or configured.insecure_cookies:
        return Finding("cookies", True, f"browsers will keep them at {configured.public_url}")
    advice = (
        f"use https or http://localhost in {PREFIX}PUBLIC_URL; browsers drop Secure cookies at {configured.public_url}"
    )
    return Finding("cookies", False, advice)


def _secret(configured: Settings) -> Finding:
    path = configured.data_dir / "secret_key"
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Finding("secret", False, f"others can read it; run: chmod 600 {path}")
    return Finding("secret", True, f"{len(configured.secret_key)} listed, the first one writes")


async def _database(configured: Settings) -> Finding:
    try:
        db = await databases.connect(configured)
        await db.close()
        if not configured.embedded and not await migrate.is_current(configured):
            return Finding("database", False, "not migrated; run: coatcheck migrate")
    except Unavailable:
        return Finding("database", False, f"does not answer; check {PREFIX}DATABASE_URL")
    return Finding("database", True, "SQLite, embedded" if configured.embedded else "PostgreSQL answers")


async def _redis(configured: Settings) -> Finding:
    if configured.redis_url is None:
        return Finding("redis", True, "none: one worker only")
    from .redis_client import RedisClient  # noqa: PLC0415  # see redis_down.py

    redis = RedisClient(configured.redis_url)
    try:
        await redis.ping()
    except RedisDown:
        return Finding("redis", False, f"does not answer; everything works, slower. Check {PREFIX}REDIS_URL")
    finally:
        await redis.close()
    return Finding("redis", True, "answers")
