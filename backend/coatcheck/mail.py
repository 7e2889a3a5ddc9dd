"""Mail: post one in the transaction of the act it tells about, and what it then looks like.

`post` only writes a row, so a request never waits for a mail server, an act that is rolled back sends nothing, and a
committed one loses nothing. mail_delivery.py carries it out. The row is sealed by the root secret, for it holds links.
A mail has exactly one recipient, and links from PUBLIC_URL only. What a person (or a stranger) typed stands in it as
plain words: no header, no markup, nothing a mail program would turn into a link.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from ipaddress import ip_address
from re import compile as pattern
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import urlsplit

from sqlmodel.ext.asyncio.session import AsyncSession

from . import ids, rendering
from .secrets import RootSecrets
from .settings import MAIL_TEMPLATES, Settings
from .tables import OutgoingMail

if TYPE_CHECKING:
    from .desk import Desk

Template = Literal[
    "password_reset",
    "verify_address",
    "address_known",
    "confirm_address",
    "address_wanted",
    "address_changed",
    "new_device",
    "token_reused",
    "password_changed",
    "password_was_reset",
    "factor_changed",
    "many_failures",
    "staff_acted",
]
TEMPLATES: tuple[Template, ...] = get_args(Template)

PURPOSE = "mail"
_LONGEST_WORD = 200  # characters of one word in a mail
_LINKISH = pattern(r"[./:@\\](?=\w*[^\W\d_])")  # what would make mail programs see a link: `evil.test`, `a@b`
_ONE_ADDRESS = pattern(r"""[^\s\x00-\x1f\x7f@<>()\[\],;:\\"]+@[A-Za-z0-9.-]+""")
_UNSEEN = pattern(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")


@dataclass(frozen=True, slots=True)
class Letter:
    """An opened row: whom to tell what."""

    id: bytes
    to: str | None
    template: Template
    words: Mapping[str, str]
    account_id: bytes | None


def post(
    db: AsyncSession, desk: "Desk", to: str | None, template: Template, *, account_id: bytes | None = None, **words: str
) -> None:
    """Have a mail sent once the caller's transaction is committed.

    `to` is an address as `accounts.normalise_email` gives it; None is nobody, which takes as long. `link`, and words
    whose names end in `_link`, come from `link` below; every other word is shown as plain text.
    """
    if any(not url.startswith(f"{desk.settings.public_url}/") for url in _links(words).values()):
        raise ValueError("a link that is none of ours")
    mail_id, now = ids.new(), desk.clock.now()
    text = {"to": to, "template": template, "words": words, "account": account_id.hex() if account_id else ""}
    sealed = desk.roots.wrap(PURPOSE, mail_id, json.dumps(text).encode())
    db.add(OutgoingMail(id=mail_id, sealed=sealed, created_at=now, next_try_at=now))


def link(settings: Settings, path: str, token: str = "") -> str:
    """A link for a mail. The token stands in the fragment, which no browser sends, no log and no Referer gets."""
    return f"{settings.public_url}{path}#{token}" if token else f"{settings.public_url}{path}"


def moment(at: int) -> str:
    """`Monday 23 November 2026, 18:30 UTC`."""
    when = datetime.fromtimestamp(at / 1000, UTC)
    return f"{when:%A} {when.day} {when:%B %Y, %H:%M} UTC"


def opened(roots: RootSecrets, mail_id: bytes, sealed: bytes) -> Letter:
    """What `post` sealed. Raises CannotUnwrap."""
    text = json.loads(roots.unwrap(PURPOSE, mail_id, sealed))
    return Letter(mail_id, text["to"], text["template"], text["words"], bytes.fromhex(text["account"]) or None)


def compose(settings: Settings, letter: Letter, now: int) -> EmailMessage:
    """The message, in text and HTML. Raises ValueError for an address that is not exactly one."""
    host = urlsplit(settings.public_url).hostname or "localhost"
    site = urlsplit(settings.public_url).netloc
    links = _links(letter.words)
    words: dict[str, Any] = {name: plain(word) for name, word in letter.words.items() if name not in links}
    words |= links | {"site": site, "home": settings.public_url}
    subject, _, text = _rendered(settings, f"{letter.template}.txt", words).partition("\n")
    message = EmailMessage()
    name, address = parseaddr(settings.mail_from or f"Coatcheck <coatcheck@{host}>")
    message["From"] = _mailbox(address, name)
    message["To"] = _mailbox(f"nobody@{host}" if letter.to is None else letter.to)
    message["Subject"] = " ".join(subject.split())
    message["Date"] = format_datetime(datetime.fromtimestamp(now / 1000, UTC))
    message["Message-ID"] = f"<{letter.id.hex()}@{host}>"  # the same at every try: a second copy can be told
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer from a holiday
    message.set_content(text.lstrip("\n"))
    message.add_alternative(_rendered(settings, f"{letter.template}.html", words), subtype="html")
    return message


def plain(word: str) -> str:
    """What somebody typed, on one line, without invisible characters, and nothing that becomes a link."""
    with suppress(ValueError):
        return str(ip_address(word))
    return _LINKISH.sub(" ", _UNSEEN.sub(" ", word))[:_LONGEST_WORD]


def _rendered(settings: Settings, name: str, words: Mapping[str, Any]) -> str:
    """A template of the language chosen; what that lacks is taken from English."""
    language = settings.mail_language if (MAIL_TEMPLATES / settings.mail_language / name).is_file() else "en"
    return rendering.render(f"mail/{language}/{name}", **words)


def _mailbox(address: str, name: str = "") -> Address:
    if not _ONE_ADDRESS.fullmatch(address):
        raise ValueError("not exactly one address")
    username, _, domain = address.rpartition("@")
    return Address(name, username, domain)


def _links(words: Mapping[str, str]) -> dict[str, str]:
    return {name: word for name, word in words.items() if name == "link" or name.endswith("_link")}
