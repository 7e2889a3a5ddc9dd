"""A real SMTP server that keeps what it is given, and can be slow, refuse, or hang up in the middle."""

import asyncio
import datetime
import email
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


@dataclass
class Postbox:
    """What arrived, with the envelope's recipients; and what the server answers meanwhile."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    to_recipient: str = "250 ok"
    later_for: str | None = None  # a domain whose mails are put off
    to_data: str = "250 taken"
    hang_up_before_data: int = 0
    hang_up_after_data: int = 0
    hold: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    # -- what aiosmtpd calls

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked.set()
        if self.hang_up_before_data:
            self.hang_up_before_data -= 1
            _hang_up(server)
        if self.later_for and address.endswith(f"@{self.later_for}"):
            return "450 later"
        if self.to_recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.to_recipient

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.hold:
            await self.hold.wait()
        if not self.to_data.startswith("250"):
            return self.to_data
        content = cast("bytes", envelope.content)
        self.mails.append(email.message_from_bytes(content, policy=default))
        self.recipients.append(list(envelope.rcpt_tos))
        self.secure.append(session.ssl is not None)
        self.arrived.set()
        if self.hang_up_after_data:
            self.hang_up_after_data -= 1
            _hang_up(server)
        return self.to_data

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=True)


def _hang_up(server: SMTP) -> None:
    assert server.transport is not None
    cast("asyncio.Transport", server.transport).abort()


@asynccontextmanager
async def listening(
    postbox: Postbox, *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[Postbox]:
    """The server, on a port of its own: in the clear, over TLS, or offering STARTTLS."""
    loop = asyncio.get_running_loop()

    def made() -> SMTP:
        return SMTP(
            postbox,
            loop=loop,
            hostname="postbox.test",
            enable_SMTPUTF8=True,
            tls_context=starttls,
            authenticator=postbox.authenticate,
            auth_require_tls=False,  # it is for us to insist
        )

    server = await loop.create_server(made, "0.0.0.0", port, ssl=tls)  # noqa: S104  # see `elsewhere`
    postbox.port = server.sockets[0].getsockname()[1]
    try:
        yield postbox
    finally:
        server.close()


# This machine under an address that is no loopback one: `smtp://` must insist on TLS there.
ELSEWHERE = "0.0.0.0"  # noqa: S104


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """An authority's own certificate for 127.0.0.1 and ELSEWHERE, and a server's TLS with it."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "postbox.test")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ip)) for ip in ("127.0.0.1", ELSEWHERE)])
    made = builder.add_extension(names, critical=False).sign(key, SHA256())
    path, key_path = folder / "postbox.pem", folder / "postbox.key"
    path.write_bytes(made.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path, key_path)
    return path, tls
