"""Everything that can be set, from the environment (prefix `COATCHECK_`) or the dotenv file `COATCHECK_ENV_FILE`.

Any setting `X` may be given as `X_FILE`, the path of a file that holds it (for secrets mounted as files).
A mistake stops the start with one sentence that says what to set: `SettingsError`. Fails closed.
"""

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from . import cgroup
from .setting_values import (
    DatabaseUrl,
    Limit,
    LoginLimit,
    Mailbox,
    MailLimit,
    Networks,
    Origins,
    PublicUrl,
    RangeUrl,
    RedisUrl,
    Seconds,
    SmtpUrl,
    Texts,
)

PREFIX = "COATCHECK_"
MAIL_TEMPLATES = Path(__file__).parent / "templates" / "mail"
# pydantic's words for programmers, put for people
_MESSAGES = {
    "int_parsing": "must be a whole number",
    "bool_parsing": "must be 1 or 0",
}
_EXAMPLES = ("changeme", "change-me", "change_me", "example", "your-secret", "your_secret", "placeholder")


class SettingsError(Exception):
    """The configuration can't be used; the message is one sentence that says what to set."""


class Settings(BaseModel):
    """One field a setting; docs/settings.md is checked against this class."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    database_url: DatabaseUrl | None = Field(None, description="`postgresql://…`; unset means SQLite in `DATA_DIR`.")
    database_pool: int = Field(10, ge=2, le=200, description="Connections a worker keeps to PostgreSQL, at most.")
    redis_url: RedisUrl | None = Field(
        None, description="`redis://`, `rediss://`, `unix://`, `redis+cluster://` …; unset allows one worker."
    )
    redis_prefix: str = Field("coatcheck", pattern=r"^[a-z0-9-]{1,32}$", description="Start of every Redis key.")
    data_dir: Path = Field(Path("var"), description="Embedded database and the generated secret.")
    secret_key: Texts = Field(
        [], description="Root secret, 32+ characters; a comma-separated list: the first writes, all read."
    )
    public_url: PublicUrl = Field(
        "http://localhost:8000", description="Issuer, links, own origin; never taken from `Host`."
    )
    audience: str | None = Field(None, description="`aud` of access tokens; unset means `PUBLIC_URL`.")
    allowed_origins: Origins = Field([], description="Other exact origins that may call with credentials (CORS).")
    trusted_proxies: Networks = Field([], description="CIDRs whose `X-Forwarded-For` is believed, read right to left.")
    access_ttl: Seconds = Field(600, description="Life of an access token, seconds.")
    idle_ttl: Seconds = Field(30 * 86_400, description="A session unused for so long is over, seconds.")
    absolute_ttl: Seconds = Field(180 * 86_400, description="Longest life of a session, seconds.")
    web_idle_ttl: Seconds = Field(3_600, description="`IDLE_TTL` of the web door, seconds.")
    web_absolute_ttl: Seconds = Field(86_400, description="`ABSOLUTE_TTL` of the web door, seconds.")
    web_kept_ttl: int = Field(
        30 * 86_400,
        ge=0,
        le=400 * 86_400,
        description="Life of a web session after `keep me signed in`; 0: not offered.",
    )
    race_window: Seconds = Field(30, description="How long a superseded refresh token repeats its answer, seconds.")
    key_ttl: Seconds = Field(
        90 * 86_400, ge=86_400, description="A signing key signs for so long, seconds; a day or more."
    )
    limit_login: LoginLimit = Field(
        "10/minute; 5/5 minutes", description="Failed logins: an address; an account and address. One value is both."
    )
    limit_account: Limit = Field(
        "20/10 minutes; 60/2 hours", description="Failed logins an account, by devices that it does not know."
    )
    limit_register: Limit = Field("20/hour", description="Registrations an address.")
    limit_refresh: Limit = Field("60/minute", description="Refreshes a session, counted in each worker.")
    limit_mail: MailLimit = Field(
        "20/hour; 5/hour; 1000/hour", description="Mails somebody asks for: an address; to a mail address; all."
    )
    limit_challenge: Limit = Field("60/minute", description="Passkey challenges an address.")
    passkey_domain: str | None = Field(
        None,
        pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$",
        description="Domain that passkeys belong to; unset means the host of `PUBLIC_URL`. Changing it loses them all.",
    )
    session_limit: int | None = Field(None, ge=1, le=1_000, description="Sessions an account may have at once.")
    session_limit_policy: Literal["oldest", "ask", "refuse"] = Field(
        "oldest", description="Over SESSION_LIMIT: end the least recently used, ask which one, or refuse the sign-in."
    )
    password_min_length: int = Field(15, ge=1, le=64, description="Characters; `doctor` warns below 15.")
    breached_passwords_url: RangeUrl | None = Field(
        None, description="Service that knows breached passwords by range; unset: none is asked."
    )
    argon2_memory_kib: int = Field(19_456, ge=8, description="Argon2id memory, KiB (OWASP).")
    argon2_time: int = Field(2, ge=1, description="Argon2id passes (OWASP).")
    argon2_parallelism: int = Field(1, ge=1, description="Argon2id lanes (OWASP).")
    hash_workers: int = Field(
        default_factory=lambda data: cgroup.hash_workers(data.get("argon2_memory_kib", 19_456)),
        ge=1,
        description="Passwords hashed at once; default: what CPUs and memory of the container allow.",
    )
    hash_queue: int = Field(64, ge=0, description="Sign-ins that may wait for hashing; one more gets 503.")
    require_verified_email: bool = Field(
        False, description="Nobody signs in before a link has proved the address; registering tells nothing."
    )
    smtp_url: SmtpUrl | None = Field(
        None, description="`smtps://name:password@host`, or `smtp://` with STARTTLS; unset: `DATA_DIR/outbox`."
    )
    mail_from: Mailbox | None = Field(
        None, description="Where mails come from: `Coatcheck <accounts@example.com>`; needed beside `SMTP_URL`."
    )
    mail_language: str = Field("en", pattern=r"^[a-z]{2,3}$", description="Folder of templates mails are taken from.")
    event_streams: int = Field(2_000, ge=1, description="Event streams a worker keeps open; one more gets 503.")
    metrics_port: int | None = Field(
        None, ge=1, le=65_535, description="Prometheus metrics on this port; unset means none."
    )
    metrics_host: str = Field("127.0.0.1", description="Where the metrics listen; never where the public can come.")
    traces: bool = Field(False, description="OpenTelemetry traces, sent to `OTEL_EXPORTER_OTLP_ENDPOINT`.")
    insecure_cookies: bool = Field(False, description="Plain-HTTP development only: cookies without `Secure`.")
    session_retention: int = Field(30, ge=2, le=3_650, description="Days that ended sessions stay in the device list.")
    device_retention: int = Field(365, ge=2, le=3_650, description="Days after which an unused device is forgotten.")
    audit_retention: int = Field(730, ge=1, le=36_500, description="Days that security events are kept.")
    spa_dir: Path | None = Field(None, description="Static files served at `/`; default: `spa_demo/` of a checkout.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="`debug` logs every request.")

    @property
    def issuer(self) -> str:
        """`iss` of access tokens."""
        return self.public_url

    @property
    def token_audience(self) -> str:
        """`aud` of access tokens."""
        return self.audience or self.public_url

    @property
    def embedded(self) -> bool:
        """SQLite in DATA_DIR: no other server, migrates itself."""
        return self.database_url is None

    def idle_ms(self, door: str) -> int:
        """Idle life of a session of this door, milliseconds."""
        return 1000 * (self.web_idle_ttl if door == "web" else self.idle_ttl)

    def absolute_ms(self, door: str) -> int:
        """Longest life of a session of this door, milliseconds."""
        return 1000 * (self.web_absolute_ttl if door == "web" else self.absolute_ttl)

    def lives_ms(self, door: str, keep: bool) -> tuple[int, int]:
        """Idle and longest life of a new session; one that its owner wants kept runs its whole life, used or not."""
        if keep and door == "web" and self.web_kept_ttl:
            return 1000 * self.web_kept_ttl, 1000 * self.web_kept_ttl
        return self.idle_ms(door), self.absolute_ms(door)


def load(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings of this process. Raises SettingsError."""
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {name: value for name, value in _given(environ).items() if name in Settings.model_fields}
    try:
        settings = Settings(**values | overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        message = _MESSAGES.get(first["type"], first["msg"].removeprefix("Value error, "))
        raise SettingsError(f"{PREFIX}{name}: {message}.") from None
    if not settings.secret_key:
        settings = settings.model_copy(update={"secret_key": [_embedded_secret(settings)]})
    for root in settings.secret_key:
        _check_secret(root)
    _check_mail(settings)
    return settings


def check(settings: Settings, workers: int = 1) -> list[str]:
    """Warnings about settings that work but should not last. Raises SettingsError for what can't work."""
    if workers > 1 and settings.redis_url is None:
        raise SettingsError(f"{workers} workers need {PREFIX}REDIS_URL, so that a sign-out reaches each of them.")
    if workers > 1 and settings.embedded:
        raise SettingsError(f"{workers} workers need {PREFIX}DATABASE_URL=postgresql://…; SQLite serves one worker.")
    if settings.traces and not _can_trace():
        raise SettingsError(f"{PREFIX}TRACES needs OpenTelemetry; install it with: pip install 'coatcheck[telemetry]'.")
    host = urlsplit(settings.public_url).hostname or ""
    if settings.passkey_domain and not f".{host}".endswith(f".{settings.passkey_domain}"):
        raise SettingsError(f"{PREFIX}PASSKEY_DOMAIN must be the host of {PREFIX}PUBLIC_URL, or a domain above it.")
    hashing = settings.hash_workers * settings.argon2_memory_kib * 1024 * workers
    return [
        f"{PREFIX}{name.upper()} {what}."
        for name, what, applies in (
            (
                "insecure_cookies",
                "is on: sign-ins can be read on the wire; never use it in public",
                settings.insecure_cookies,
            ),
            (
                "hash_workers",
                f"times ARGON2_MEMORY_KIB and {workers} workers is over the memory limit: the kernel will kill them",
                hashing > (cgroup.memory() or hashing),
            ),
            ("race_window", "is very short: slow networks will sign people out", settings.race_window < 10),
            ("access_ttl", "is very short: clients will refresh all the time", settings.access_ttl < 60),
            ("idle_ttl", "is very short: people will be signed out", settings.idle_ttl < 3_600),
            ("limit_login", "is off: passwords can be guessed without a brake", settings.limit_login == "off"),
            (
                "limit_account",
                "is off: an account can be guessed at from many addresses",
                settings.limit_account == "off",
            ),
            ("limit_register", "is off: accounts can be made without a brake", settings.limit_register == "off"),
            ("limit_mail", "is off: anybody can have mails sent without a brake", settings.limit_mail == "off"),
            ("limit_refresh", "is off: a broken client can refresh in a tight loop", settings.limit_refresh == "off"),
            ("password_min_length", "is below 15, the minimum of NIST SP 800-63B-4", settings.password_min_length < 15),
        )
        if applies
    ]


def _can_trace() -> bool:
    try:  # the exporter, which brings the rest: FastAPI always brings OpenTelemetry's API, which is of no use alone
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def unknown(environ: Mapping[str, str] | None = None) -> list[str]:
    """Names with our prefix that are no setting: most likely misspelt."""
    given = _given(os.environ if environ is None else environ)
    return [f"{PREFIX}{name.upper()}" for name in given if name not in Settings.model_fields]


def _given(environ: Mapping[str, str]) -> dict[str, str]:
    file = environ.get(f"{PREFIX}ENV_FILE")
    if file and not Path(file).is_file():
        raise SettingsError(f"{PREFIX}ENV_FILE names {file}, which is not a file.")
    merged = {**(dotenv_values(file) if file else {}), **environ}
    ours = {name.removeprefix(PREFIX).lower(): value for name, value in merged.items() if name.startswith(PREFIX)}
    ours.pop("env_file", None)
    for name in [name for name in ours if name.endswith("_file") and name not in Settings.model_fields]:
        try:
            ours[name.removesuffix("_file")] = Path(ours.pop(name) or "").read_text().strip()
        except (OSError, UnicodeDecodeError):
            raise SettingsError(f"{PREFIX}{name.upper()} names a file that can't be read as text.") from None
    return {name: value for name, value in ours.items() if value}


def _check_secret(root: str) -> None:
    if len(root) < 32:
        raise SettingsError(f"{PREFIX}SECRET_KEY must have 32 characters or more; make one with: openssl rand -hex 32")
    if len(set(root)) < 5 or any(example in root.lower() for example in _EXAMPLES):
        raise SettingsError(f"{PREFIX}SECRET_KEY looks like an example; make a real one with: openssl rand -hex 32")


def _check_mail(settings: Settings) -> None:
    if settings.smtp_url and not settings.mail_from:
        raise SettingsError(f"Set {PREFIX}MAIL_FROM beside {PREFIX}SMTP_URL, to the address that mails come from.")
    if not (MAIL_TEMPLATES / settings.mail_language).is_dir():
        known = ", ".join(sorted(folder.name for folder in MAIL_TEMPLATES.iterdir() if folder.is_dir()))
        raise SettingsError(f"{PREFIX}MAIL_LANGUAGE must be one of: {known}.")


def _embedded_secret(settings: Settings) -> str:
    """The embedded default makes its own root secret once, mode 0600, and keeps it in DATA_DIR."""
    if not settings.embedded:
        raise SettingsError(f"Set {PREFIX}SECRET_KEY to a random text of 32+ characters: openssl rand -hex 32")
    path = settings.data_dir / "secret_key"
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            # Written whole before it has its name: another process that starts now reads this one, or links its own.
            fresh = path.with_name(f"secret_key.{secrets.token_hex(4)}")
            fresh.touch(mode=0o600)
            fresh.write_text(secrets.token_hex(32))
            with suppress(FileExistsError):
                path.hardlink_to(fresh)
            fresh.unlink()
        return path.read_text().strip()
    except OSError:
        raise SettingsError(f"{PREFIX}DATA_DIR={settings.data_dir} can't be written; name a folder that can.") from None
