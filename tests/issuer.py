"""An issuer that does as a test says: it signs what it likes, and answers what it likes, over real sockets."""

import asyncio
import base64
import datetime
import ipaddress
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

KID = "issuer-kid-1"
AUDIENCE = "https://api.test"
JWKS, LISTS, STREAM = "/.well-known/jwks.json", "/v1/revocations", "/v1/revocations/stream"

Answer = tuple[int, dict[str, str], bytes]
Route = Callable[[dict[str, str]], Answer]


def b64(data: bytes | object) -> str:
    """base64url of bytes, or of anything else as JSON."""
    raw = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(header: object, payload: object, key: EllipticCurvePrivateKey) -> str:
    """A compact JWS, made without any library that could object."""
    message = f"{b64(header)}.{b64(payload)}"
    r, s = decode_dss_signature(key.sign(message.encode(), ECDSA(SHA256())))
    return f"{message}.{b64(r.to_bytes(32) + s.to_bytes(32))}"


def jwk(key: EllipticCurvePrivateKey, kid: str) -> dict[str, Any]:
    """The public half."""
    numbers = key.public_key().public_numbers()
    point = {"x": b64(numbers.x.to_bytes(32)), "y": b64(numbers.y.to_bytes(32))}
    return {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, **point}


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that nobody else has signed, and its key."""
    key, name = generate_private_key(SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = builder.add_extension(here, critical=False).sign(key, SHA256())
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


class Issuer:
    """Says what it is told to. `asked` counts requests by path; a route may be replaced in `routes`."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.private = generate_private_key(SECP256R1())
        self.keys = [jwk(self.private, KID)]
        self.max_age = "max-age=600"
        self.asked: dict[str, int] = {}
        self.ended: list[str] = []
        self.routes: dict[str, Route] = {JWKS: self._jwks, LISTS: self._lists}
        self.streams: set[asyncio.StreamWriter] = set()
        self.streaming = False
        self.tls: ssl.SSLContext | None = None
        self.greeting: Callable[[str | None], str] = lambda after: self.list(
            after, str(self.cursor)
        )  # a stream's first list
        self.cursor = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def token(self, header: Mapping[str, object] | None = None, **changed: Any) -> str:
        """An access token with these claims changed; None leaves one out."""
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "acc_AAAAAAAAAAAAAAAAAAAAAA",
            "sid": "ses_AAAAAAAAAAAAAAAAAAAAAA",
            "client_id": "native",
            "iat": now,
            "exp": now + 600,
            "jti": "one",
            "auth_time": now,
            "amr": ["pwd"],
            "gen": 0,
        }
        claims = {name: value for name, value in (claims | changed).items() if value is not None}
        return sign({"typ": "at+jwt", "alg": "ES256", "kid": KID} | dict(header or {}), claims, self.private)

    def list(self, after: str | None, following: str, **changed: object) -> str:
        """A signed list."""
        payload: dict[str, object] = {"iss": self.url, "iat": time.time(), "keep": 610, "after": after, "more": False}
        payload |= {"sessions": [{"sid": sid, "at": time.time()} for sid in self.ended], "next": following}
        header = {
            "typ": changed.pop("typ", "coatcheck-revocations+jwt"),
            "alg": "ES256",
            "kid": changed.pop("kid", KID),
        }
        key = changed.pop("key", self.private)
        assert isinstance(key, EllipticCurvePrivateKey)
        return sign(header, payload | changed, key)

    def send(self, *texts: str) -> None:
        """To everybody who streams."""
        for writer in self.streams:
            for text in texts:
                writer.write(f"id: x\nevent: revocations\ndata: {text}\n\n".encode())

    def next(self) -> str:
        """A cursor after all others."""
        self.cursor += 1
        return str(self.cursor)

    def _jwks(self, _params: dict[str, str]) -> Answer:
        return 200, {"Cache-Control": self.max_age}, json.dumps({"keys": self.keys}).encode()

    def _lists(self, params: dict[str, str]) -> Answer:
        return 200, {}, self.list(params.get("after"), self.next()).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests of one connection, until it is closed."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                target = urlsplit((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
                self.asked[target.path] = self.asked.get(target.path, 0) + 1
                params = dict(parse_qsl(target.query))
                if target.path == STREAM and self.streaming:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
                    self.streams.add(writer)
                    self.send(self.greeting(params.get("after")))
                    await reader.read()
                    return
                route = self.routes.get(target.path)
                status, headers, body = route(params) if route else (404, {}, b"")
                head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Issuer"]:
        """Listens on 127.0.0.1 until the block ends."""
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self.serve(reader, writer))
            tasks.add(task)
            try:
                await asyncio.wait([task])
            finally:
                task.cancel()
                tasks.discard(task)
                self.streams.discard(writer)
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(tasks):
                task.cancel()
            await server.wait_closed()
