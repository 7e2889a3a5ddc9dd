"""`coatcheck doctor`: what is wrong with this configuration, and how to mend it, one line each.

`mend` is wrong and makes the exit code 1; `warn` works, but should not stay so. Stores are looked at in
doctor_stores.py.
"""

import os
import secrets
import stat
from collections import Counter
from difflib import get_close_matches
from math import log2
from pathlib import Path
from urllib.parse import urlsplit

from . import doctor_stores, settings, smtp
from .breaches import Breaches
from .doctor_stores import Finding
from .settings import PREFIX, Settings

_RANDOM = 96  # bits below which a secret looks made up by a person


async def examine(configured: Settings) -> list[Finding]:
    """All checks. Changes nothing but an embedded database's own files."""
    return [
        *_settings(configured),
        *_public_url(configured),
        *_proxy(configured),
        *_secret(configured),
        *_files(configured),
        *await _mail(configured),
        *await _breaches(configured),
        *await doctor_stores.examine(configured),
    ]


def _settings(configured: Settings) -> list[Finding]:
    found = [Finding("settings", "warn", warning) for warning in settings.check(configured)]
    found += [Finding("settings", "warn", misspelt(name)) for name in settings.unknown()]
    return found or [Finding("settings", "ok", "no warning")]


def misspelt(name: str) -> str:
    """What to say of a variable that is no setting."""
    known = [f"{PREFIX}{field.upper()}" for field in Settings.model_fields] + [f"{PREFIX}ENV_FILE"]
    near = get_close_matches(name, [*known, *[f"{one}_FILE" for one in known]], 1, 0.85)
    return f"{name} is not a setting; is it misspelt{f' for {near[0]}' if near else ''}?"


def _public_url(configured: Settings) -> list[Finding]:
    url = urlsplit(configured.public_url)
    host = str(url.hostname)
    local = host == "localhost" or host.endswith(".localhost")
    if local and not configured.embedded:
        advice = f"set {PREFIX}PUBLIC_URL: people reach this by another name than {url.netloc}"
        return [Finding("public url", "mend", advice)]
    if url.scheme == "https" and configured.insecure_cookies:
        advice = f"unset {PREFIX}INSECURE_COOKIES: with https there is no need to send cookies without Secure"
        return [Finding("cookies", "mend", advice)]
    if url.scheme != "https" and not local and not configured.insecure_cookies:
        advice = f"use https or http://localhost in {PREFIX}PUBLIC_URL; browsers drop our cookies at {url.geturl()}"
        return [Finding("cookies", "mend", advice)]
    foreign = [origin for origin in configured.allowed_origins if _site(urlsplit(origin).hostname) != _site(host)]
    if foreign:
        advice = (
            f"{foreign[0]} in {PREFIX}ALLOWED_ORIGINS is another site than {host}: SameSite cookies stay away there"
        )
        return [Finding("cookies", "warn", advice)]
    return [Finding("cookies", "ok", f"browsers will keep them at {configured.public_url}")]


def _site(host: str | None) -> str:
    return ".".join((host or "").split(".")[-2:])


def _proxy(configured: Settings) -> list[Finding]:
    if any(network.prefixlen == 0 for network in configured.trusted_proxies):
        advice = f"name only the proxies' networks in {PREFIX}TRUSTED_PROXIES: now everybody may choose his address"
        return [Finding("proxy", "mend", advice)]
    https = configured.public_url.startswith("https://")
    if https and not configured.trusted_proxies:
        advice = (
            f"set {PREFIX}TRUSTED_PROXIES to the network of what ends TLS in front of this: else every session shows "
            "its address, and one person's wrong passwords count against all"
        )
        return [Finding("proxy", "warn", advice)]
    return [Finding("proxy", "ok", "clients' addresses are their own" if https else "none")]


def _secret(configured: Settings) -> list[Finding]:
    weak = [place for place, root in enumerate(configured.secret_key, 1) if _bits(root) < _RANDOM]
    if weak:
        advice = (
            f"number {weak[0]} of {PREFIX}SECRET_KEY does not look random; put a new one first: openssl rand -hex 32"
        )
        return [Finding("secret", "warn", advice)]
    return [Finding("secret", "ok", f"{len(configured.secret_key)} listed, the first one writes")]


def _bits(root: str) -> float:
    """At most so much does this text hold, by how often each of its characters occurs."""
    return -sum(count * log2(count / len(root)) for count in Counter(root).values())


def _files(configured: Settings) -> list[Finding]:
    folder = configured.data_dir
    private = [(folder, "700", True), (folder / "secret_key", "600", True)]
    private += [(path, "600", True) for path in folder.glob("coatcheck.sqlite3*") if _others(folder)]
    for name in ("SECRET_KEY_FILE", "ENV_FILE", "DATABASE_URL_FILE", "REDIS_URL_FILE"):
        if named := os.environ.get(f"{PREFIX}{name}"):
            private.append((Path(named), "600", False))
    found = []
    for path, mode, ours in private:
        # A secret that is mounted (docker, Kubernetes) is often readable inside its container: only a warning.
        if path.exists() and _others(path):
            found.append(Finding("files", "mend" if ours else "warn", f"others can read it; run: chmod {mode} {path}"))
    return found or [Finding("files", "ok", "readable by their owner alone")]


def _others(path: Path) -> bool:
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


async def _mail(configured: Settings) -> list[Finding]:
    """Greets the mail server, and signs in there; sends nothing."""
    if configured.smtp_url is None and not configured.embedded:
        advice = f"set {PREFIX}SMTP_URL: nobody gets a mail, they are written to {configured.data_dir / 'outbox'}"
        return [Finding("mail", "warn", advice)]
    if configured.smtp_url is None:
        return [Finding("mail", "ok", "written to files")]
    try:
        await smtp.reach(configured)
    except smtp.NotNow as error:
        return [Finding("mail", "mend", f"the mail server does not let us in ({error}); check {PREFIX}SMTP_URL")]
    return [Finding("mail", "ok", "the mail server lets us in")]


async def _breaches(configured: Settings) -> list[Finding]:
    """Asks about a password nobody has: sent is what is sent of any, five digits."""
    service = Breaches(configured)
    try:
        answer = await service.known(secrets.token_hex(32))
    finally:
        await service.close()
    if answer == "failed":
        advice = f"{PREFIX}BREACHED_PASSWORDS_URL does not answer as a range service does: no password is checked there"
        return [Finding("breached passwords", "warn", advice)]
    return [Finding("breached passwords", "ok", "not asked" if answer == "off" else "the range service answers")]
