"""What the value of a setting may look like. Each mistake is half a sentence that says what to write (settings.py)."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from re import compile as pattern
from typing import Annotated, Any
from urllib.parse import urlsplit

import limits
from pydantic import AfterValidator, BeforeValidator, Field


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _origin(value: str) -> str:
    parts = urlsplit(value.rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query or parts.username:
        raise ValueError("must be an origin such as https://app.example.com, with no path")
    return value.rstrip("/")


def _public_url(value: str) -> str:
    _origin(value)
    return value.rstrip("/")


def _limit(value: str) -> str:
    try:
        if value != "off":
            limits.parse_many(value)
    except ValueError:
        raise ValueError("must be like 10/minute or 5/5 minutes, or off") from None
    return value


def _of_parts(*counts: int) -> AfterValidator:
    """Of another number of limits nobody could say which one is for what."""

    def check(value: str) -> str:
        if value != "off" and len(limits.parse_many(value)) not in counts:
            raise ValueError(f"must have {' or '.join(map(str, counts))} limits, separated by semicolons")
        return value

    return AfterValidator(check)


def _networks(value: Any) -> Any:
    return [_network(part) for part in _split(value)] if isinstance(value, str) else value


def _network(text: str) -> IPv4Network | IPv6Network:
    """IPv4 in IPv6's spelling (`::ffff:10.0.0.0/104`) is the IPv4 network, as it is for addresses."""
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped and network.prefixlen >= 96:
        return IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


def _url(*schemes: str) -> AfterValidator:
    return AfterValidator(lambda value: _check_url(value, *schemes))


def _check_url(value: str, *schemes: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in schemes:
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("must name a port between 0 and 65535") from None
    return value


def is_loopback(host: str) -> bool:
    """Whether this host is the machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _redis_url(value: str) -> str:
    """One server, or `redis+cluster://h1:p,h2:p`, or `redis+sentinel://h1:p,h2:p/master`; each also with `rediss`."""
    parts = urlsplit(value)
    scheme, _, kind = parts.scheme.partition("+")
    if kind not in ("cluster", "sentinel") or scheme not in ("redis", "rediss"):
        return _check_url(value, "redis", "rediss", "unix")
    for address in parts.netloc.rpartition("@")[2].split(","):
        if not urlsplit(f"//{address}").hostname:
            raise ValueError("must name hosts, separated by commas: host1:port,host2:port")
        _check_url(f"redis://{address}", "redis")
    if kind == "sentinel" and not parts.path.strip("/"):
        raise ValueError("must end with the name of the master, such as /mymaster")
    return value


def _smtp(value: str) -> str:
    parts = urlsplit(value)
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be like smtps://name:password@mail.example.com, with no path")
    return value


def _range_service(value: str) -> str:
    parts = urlsplit(_check_url(value, "https", "http"))
    if not parts.hostname or parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("must be like https://passwords.example.com/range, with no query")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must begin with https://; only this very machine may be asked in the clear")
    return value.rstrip("/")


_MAILBOX = pattern(r"(?:(?P<name>[^<>\"\\\x00-\x1f]+) <)?(?P<address>[!-;=?A-~]+@[A-Za-z0-9.-]+)(?(name)>)")


def _mailbox(value: str) -> str:
    found = _MAILBOX.fullmatch(value)
    if not found or any(char in found["address"] for char in ',;:"()[]\\') or found["address"].count("@") != 1:
        raise ValueError("must be one address, such as Coatcheck <accounts@example.com>")
    return value


DatabaseUrl = Annotated[str, _url("postgresql", "postgres")]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
SmtpUrl = Annotated[str, _url("smtp", "smtps"), AfterValidator(_smtp)]
RangeUrl = Annotated[str, AfterValidator(_range_service)]
Mailbox = Annotated[str, AfterValidator(_mailbox)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
Origins = Annotated[list[Annotated[str, AfterValidator(_origin)]], BeforeValidator(_split)]
Networks = Annotated[list[IPv4Network | IPv6Network], BeforeValidator(_networks)]
Texts = Annotated[list[str], BeforeValidator(_split)]
Limit = Annotated[str, AfterValidator(_limit)]
LoginLimit = Annotated[Limit, _of_parts(1, 2)]
MailLimit = Annotated[Limit, _of_parts(1, 3)]
Seconds = Annotated[int, Field(ge=1, le=10 * 365 * 86_400)]
