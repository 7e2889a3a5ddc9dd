"""Where passwords may travel: https with verification that has no switch, plain http only to this very machine."""

import asyncio
import datetime
import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mobile_demo import words
from mobile_demo.refusals import Unreachable, Untrusted
from mobile_demo.server_address import AddressRefused, is_loopback, server_address
from mobile_demo.server_check import check
from mobile_demo.wire import Wire
from tests.live import Live

from .proxy import Proxy, Say

SOURCES = sorted(Path("mobile_demo").rglob("*.py"))


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("coatcheck.example.com", "https://coatcheck.example.com"),
        (" https://Coatcheck.example.com:8443/ ", "https://coatcheck.example.com:8443"),
        ("localhost:8000", "http://localhost:8000"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://192.168.1.5", "https://192.168.1.5"),
    ],
)
def test_an_address_is_understood(typed: str, meant: str) -> None:
    """As a person types it."""
    assert server_address(typed) == meant


@pytest.mark.parametrize(
    "typed",
    [
        *("", "   ", "http://coatcheck.example.com", "http://192.168.1.5:8000", "http://10.0.2.2:8000"),
        *("http://localhost.example.com", "http://127.0.0.1.example.com", "ftp://localhost", "file:///etc/passwd"),
        *("https://a.test/path", "https://a.test?x=1", "https://ada:pw@a.test", "https://", "https://a b.test"),
        *("https://a.test:port", "http://localhost@evil.test", "http://2130706433", "https://[::1", "//"),
    ],
)
def test_an_address_that_could_be_overheard_is_refused(typed: str) -> None:
    """With a sentence that says what to type instead; `Wire` refuses it as well."""
    with pytest.raises(AddressRefused, match="https://"):
        server_address(typed)
    with pytest.raises(AddressRefused):
        Wire(typed)


def test_loopback_is_this_machine_only() -> None:
    """By number or by its one name."""
    assert is_loopback("http://127.9.9.9:1")
    assert not is_loopback("https://example.test")


async def test_a_server_that_cant_prove_itself_gets_nothing(tmp_path: Path) -> None:
    """A certificate nobody vouches for: no byte of a request arrives, and the words say so."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(10))
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(tmp_path))
    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    wire = Wire(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(Untrusted) as caught:
        await wire.send("POST", "/v1/native/login", body={"password": "secret"})
    assert words.refusal(caught.value, signed_in=True) == words.UNTRUSTED
    assert await check(wire.server) == (False, words.UNTRUSTED)
    await wire.close()
    server.close()
    assert heard == []


def test_nothing_can_turn_verification_off() -> None:
    """No setting, no parameter, no environment variable: the words don't stand in the source."""
    text = "".join(path.read_text() for path in SOURCES)
    assert text.count("verify=") == 1
    for word in ("verify=False", "CERT_NONE", "check_hostname", "_create_unverified", "trust_env=True"):
        assert word not in text


async def test_the_environment_doesnt_redirect(server: Live, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A proxy variable or .netrc neither sees our requests nor replaces our header."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    wire = Wire(server.url)
    assert (await wire.send("GET", "/readyz"))["status"] == "ok"
    await wire.close()


async def test_the_check_tells_what_is_there(server: Live, proxy: Proxy) -> None:
    """Coatcheck, something else, or nothing."""
    assert await check(server.url) == (True, "This server is ready.")
    proxy.rules["GET /.well-known"] = Say("200 OK", '{"hello":"there"}', "application/json")
    ready, sentence = await check(proxy.url)
    assert (ready, "isn't Coatcheck" in sentence) == (False, True)
    await proxy.offline()
    ready, sentence = await check(proxy.url)
    assert (ready, sentence) == (False, "Nothing answered there. Check the address and your connection.")


@pytest.mark.parametrize("header, seconds", [("30", 30), ("999999", 900), ("soon", None), ("-5", None)])
async def test_retry_after_is_believed_within_reason(proxy: Proxy, header: str, seconds: float | None) -> None:
    """Whole seconds, at most a quarter of an hour."""
    proxy.rules["GET /v1/me"] = Say("503 Service Unavailable", headers=(f"Retry-After: {header}",))
    wire = Wire(proxy.url)
    with pytest.raises(Unreachable) as caught:
        await wire.send("GET", "/v1/me")
    await wire.close()
    assert caught.value.retry_after == seconds


def _self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1)
    )
    certificate = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "server.pem"
    file.write_bytes(key.private_bytes(*form) + certificate.public_bytes(serialization.Encoding.PEM))
    return file
