"""Where a request comes from: its peer, or what a proxy in TRUSTED_PROXIES wrote, one spelling an address."""

import httpx2
import pytest

from tests.conftest import Stores
from tests.house import PASSWORD, URL, House, MovableClock, opened

ADA = "ada@example.test"
NETWORKS = "10.0.0.0/8, 2001:db8:a::/48, ::ffff:172.16.0.0/108"


async def seen_address(house: House, peer: tuple[str, int] | None, forwarded: str | None) -> str:
    """What the device list shows of a sign-in that came from this peer; None is a UNIX socket's."""
    transport = httpx2.ASGITransport(house.app, client=peer)  # type: ignore[arg-type]
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    async with httpx2.AsyncClient(transport=transport, base_url=URL, headers=headers) as http:
        answer = await http.post("/v1/native/login", json={"email": ADA, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["session"]["ip"])


@pytest.mark.parametrize(
    "peer, forwarded, seen",
    [
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.2.3.4, 198.51.100.7, 10.0.0.9", "198.51.100.7"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.8, 10.0.0.9", "10.0.0.8"),
        ("10.0.0.1", "198.51.100.7, unknown, 10.0.0.9", "10.0.0.9"),
        ("2001:db8:a::1", "2001:db8:b::7", "2001:db8:b::7"),
        # A dual-stack socket writes IPv4 like this: the same proxy, and the same client.
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "::FFFF:c633:6407", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, ::ffff:10.0.0.9", "198.51.100.7"),
        ("172.16.0.1", "198.51.100.7", "198.51.100.7"),
        ("::ffff:172.16.0.1", "198.51.100.7", "198.51.100.7"),
        # None of the proxies: what they write is not believed.
        ("203.0.113.7", "198.51.100.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "198.51.100.7", "203.0.113.7"),
        ("11.0.0.1", "198.51.100.7", "11.0.0.1"),
        ("::10.0.0.1", "198.51.100.7", "::10.0.0.1"),
        ("64:ff9b::a00:1", "198.51.100.7", "64:ff9b::a00:1"),
        ("2001:db8:b::1", "198.51.100.7", "2001:db8:b::1"),
    ],
)
async def test_client_address_is_the_first_that_no_proxy_of_ours_has(
    embedded: Stores, clock: MovableClock, peer: str, forwarded: str | None, seen: str
) -> None:
    """Read from the right, past our proxies, and never believed of anybody else."""
    async with opened(clock, **embedded, trusted_proxies=NETWORKS) as house:
        await house.register()
        assert await seen_address(house, (peer, 40_000), forwarded) == seen


@pytest.mark.parametrize("networks", [NETWORKS, "0.0.0.0/0, ::/0", ""])
@pytest.mark.parametrize("peer", [None, ("", 0)])
async def test_client_address_behind_a_unix_socket_is_unknown(
    embedded: Stores, clock: MovableClock, networks: str, peer: tuple[str, int] | None
) -> None:
    """A peer without an address is in no network, so nothing it forwards is believed."""
    async with opened(clock, **embedded, trusted_proxies=networks) as house:
        await house.register()
        assert await seen_address(house, peer, "198.51.100.7") == ""


@pytest.mark.parametrize("peer", ["203.0.113.7", "::ffff:203.0.113.7"])
async def test_client_address_without_proxies_is_the_peers(embedded: Stores, clock: MovableClock, peer: str) -> None:
    """Where no proxy is named nothing that is forwarded is believed, not even of this machine."""
    async with opened(clock, **embedded) as house:
        await house.register()
        assert await seen_address(house, (peer, 40_000), "198.51.100.7") == "203.0.113.7"
        assert await seen_address(house, ("127.0.0.1", 40_000), "198.51.100.7") == "127.0.0.1"
