"""Public ids: `acc_…`, `dev_…`, `ses_…`, `fac_…`, each 128 random bits in base64url.

Inside the house an id is its 16 raw bytes, the form the database keeps. The text form exists at the edges only:
HTTP bodies, paths, JWT claims, log lines.
"""

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from re import compile as pattern
from typing import Literal

Kind = Literal["acc", "dev", "ses", "fac"]

_TEXT = pattern(r"(acc|dev|ses|fac)_[A-Za-z0-9_-]{21}[AQgw]")


def new() -> bytes:
    """16 bytes from the system's random source."""
    return secrets.token_bytes(16)


def text(kind: Kind, raw: bytes) -> str:
    """The public form, 26 characters."""
    return f"{kind}_{urlsafe_b64encode(raw)[:22].decode()}"


def raw(kind: Kind, public: str) -> bytes | None:
    """The 16 bytes behind a public id; None when it is not an id of that kind.

    One id has one spelling: the last character carries two bits, so only A, Q, g and w can end it.
    """
    if not _TEXT.fullmatch(public) or not public.startswith(kind):
        return None
    return urlsafe_b64decode(public[4:] + "==")
