"""The way to the mail server. The only file that imports `aiosmtplib`.

Over TLS, with the server's certificate checked: from the first byte (`smtps://`) or by STARTTLS (`smtp://`), and a
server that offers none gets nothing. Only on this very machine (`smtp://localhost`) a mail may go in the clear.
"""

import asyncio
import ssl
from email.message import EmailMessage
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

from .setting_values import is_loopback
from .settings import Settings

_PATIENCE = 20.0  # seconds for one answer of the server
WHOLE = 60.0  # seconds for one mail


class NotNow(Exception):
    """The server could not be reached, or took nothing. Trying again may help."""


class NotThis(Exception):
    """The server did not take this mail now, which says nothing about others. Trying again may help."""


class Refused(Exception):
    """The server will never take this mail."""


async def send(settings: Settings, message: EmailMessage) -> None:
    """Hand one message over; when this returns the server has it. Raises NotNow, NotThis, Refused."""
    import aiosmtplib  # noqa: PLC0415  # 55 ms that a worker may never need

    try:
        async with asyncio.timeout(WHOLE):
            await aiosmtplib.send(message, **_way(settings))
    except aiosmtplib.SMTPRecipientsRefused as error:
        raise _by_code(error.recipients[0].code)(type(error).__name__) from None
    except aiosmtplib.SMTPDataError as error:
        raise _by_code(error.code)(type(error).__name__) from None
    except aiosmtplib.SMTPNotSupported as error:  # an address beyond ASCII, and a server without SMTPUTF8
        raise NotThis(type(error).__name__) from None
    except (aiosmtplib.SMTPException, OSError) as error:  # TimeoutError is an OSError
        raise NotNow(type(error).__name__) from None


async def reach(settings: Settings) -> None:
    """Go as far as the server's greeting, TLS and password; send nothing. Raises NotNow."""
    import aiosmtplib  # noqa: PLC0415  # as above

    try:
        async with asyncio.timeout(_PATIENCE), aiosmtplib.SMTP(**_way(settings)):
            pass
    except (aiosmtplib.SMTPException, OSError) as error:
        raise NotNow(type(error).__name__) from None


def _way(settings: Settings) -> dict[str, Any]:
    url = urlsplit(settings.smtp_url or "")
    secure, here = url.scheme == "smtps", is_loopback(url.hostname or "")
    return {
        "hostname": url.hostname,
        "port": url.port or (465 if secure else 25 if here else 587),
        "username": unquote(url.username) if url.username else None,
        "password": unquote(url.password) if url.password else None,
        "use_tls": secure,
        "start_tls": None if secure else not here,
        "tls_context": None if here and not secure else _trust(),
        "local_hostname": urlsplit(settings.public_url).hostname,
        "timeout": _PATIENCE,
    }


def _by_code(code: int) -> type[Exception]:
    """421 is the server hanging up; any other 4xx is about this mail, often its recipient's doing (greylisting)."""
    return Refused if code >= 500 else NotNow if code == 421 else NotThis


@cache
def _trust() -> ssl.SSLContext:
    """The authorities that the machine trusts; `SSL_CERT_FILE` names others."""
    return ssl.create_default_context()
