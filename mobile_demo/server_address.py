"""The server's address: https anywhere, plain http only to this very machine. Fails closed."""

from ipaddress import ip_address
from urllib.parse import urlsplit


class AddressRefused(ValueError):
    """The address can't be used; the message is a sentence for the person who typed it."""


def server_address(typed: str) -> str:
    """The origin a person means: `example.com` -> `https://example.com`. Raises AddressRefused."""
    text = typed.strip()
    if not text:
        raise AddressRefused("Type your server's address, such as https://coatcheck.example.com.")
    if "://" not in text:
        text = f"{'http' if _is_loopback(_host(f'//{text}')) else 'https'}://{text}"
    host, parts = _host(text), urlsplit(text)
    if (
        parts.scheme not in ("http", "https")
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise AddressRefused("Only the server's own address goes here, such as https://coatcheck.example.com.")
    # The password would be readable for everybody on the way.
    if parts.scheme == "http" and not _is_loopback(host):
        raise AddressRefused("This address isn't protected. Start it with https://.")
    return f"{parts.scheme}://{_netloc(host, parts.port)}"


def is_loopback(origin: str) -> bool:
    """Whether nothing sent there leaves this machine."""
    return _is_loopback(_host(origin))


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or any(char.isspace() or char in '\\%"<>' for char in host):
        raise AddressRefused("That doesn't look like an address. Try https://coatcheck.example.com.")
    return host


def _netloc(host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
