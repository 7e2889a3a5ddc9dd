"""Whoever has a whole network, an IPv6 /48 or an IPv4 /24, is limited in it as one, and holds up nobody outside.

These were attacks that worked: each /64 of a /56 had the allowance of an address, so one /56 spent the mail budget of
everybody; and a page of another site spent its visitors' allowance of passkey challenges.
"""

import asyncio
from collections.abc import Callable

import httpx2
import pytest

from tests.conftest import OpenHouse
from tests.house import PASSWORD, House, MovableClock
from tests.pages import Visitor

ADA = "ada@example.test"
LIMITED = 429
ELSEWHERE = "192.0.2.9"


@pytest.fixture(autouse=True)
def window(clock: MovableClock, patient: None) -> None:
    """Start with an hour, so that no window ends in a test; `patient`: an outage would halve the limits."""
    hour = 3_600_000
    clock.move((hour - clock.now() % hour) / 1000)


def in_a_56(n: int) -> str:
    """An address in the nth /64 of one /56."""
    return f"2001:db8:7:{n:x}::1"


def in_a_48(n: int) -> str:
    """An address in the nth /56 of one /48."""
    return f"2001:db8:7:{n:02x}00::1"


def in_a_24(n: int) -> str:
    """The nth address of one /24."""
    return f"198.51.100.{n}"


async def sign_in(house: House, ip: str, n: int) -> httpx2.Response:
    body = {"email": f"p{n}@example.test", "password": "certainly not this one"}
    return await house.http(ip=ip).post("/v1/native/login", json=body)


async def ask_for_reset(house: House, ip: str, n: int) -> httpx2.Response:
    return await house.http(ip=ip).post("/v1/password-reset", json={"email": f"p{n}@example.test"})


async def register(house: House, ip: str, n: int) -> httpx2.Response:
    body = {"email": f"p{n}@example.test", "password": PASSWORD}
    return await house.http(ip=ip).post("/v1/accounts", json=body)


async def begin_passkey(house: House, ip: str, _n: int) -> httpx2.Response:
    return await house.http(ip=ip).post("/v1/passkeys/options", json={})


Call = Callable[[House, str, int], "asyncio.Future[httpx2.Response]"]
LIMITS = {"limit_login": "1/hour", "limit_mail": "1/hour; 5/hour; 1000/hour", "limit_register": "1/hour"}


@pytest.mark.parametrize("call", [sign_in, ask_for_reset, register, begin_passkey])
@pytest.mark.parametrize("address, let", [(in_a_56, 2), (in_a_48, 10), (in_a_24, 10)])
async def test_network_limit_counts_the_network_as_one(
    open_house: OpenHouse, call: Call, address: Callable[[int], str], let: int
) -> None:
    """Once from each address, two or ten times the allowance of an address in the network; elsewhere nobody waits."""
    async with open_house(**LIMITS, limit_challenge="1/hour") as house:
        answers = [await call(house, address(n), n) for n in range(let + 3)]
        assert [answer.status_code == LIMITED for answer in answers] == [False] * let + [True] * 3
        assert (await call(house, ELSEWHERE, 99)).status_code != LIMITED
        assert (await call(house, "2001:db8:8::1", 98)).status_code != LIMITED


async def test_network_limit_holds_against_a_burst(open_house: OpenHouse) -> None:
    """Thirty requests at once from thirty networks of one /48: ten are let."""
    async with open_house(**LIMITS) as house:
        answers = await asyncio.gather(*(ask_for_reset(house, in_a_48(n), n) for n in range(30)))
        assert [answer.status_code for answer in answers].count(202) == 10


async def test_network_with_a_48_delays_nobodys_mail(open_house: OpenHouse) -> None:
    """A /48 registers invented addresses until it is refused, and asks for their mails: Ada gets hers, of each kind."""
    async with open_house(limit_mail="2/hour; 5/hour; 30/hour", limit_register="off") as house:
        for n in range(40):
            await register(house, in_a_48(n), n)
            await ask_for_reset(house, in_a_48(n), n)
            await ask_for_reset(house, in_a_48(n), 1_000 + n)
        assert len(await house.mails()) <= 20
        await _gets_each_mail(house)


async def test_network_invented_addresses_spend_no_budget(open_house: OpenHouse) -> None:
    """Resets of invented addresses, asked for from many networks, keep nobody's registration from its mail."""
    async with open_house(limit_mail="2/hour; 5/hour; 3/hour") as house:
        for n in range(20):
            assert (await ask_for_reset(house, f"198.18.{n}.1", n)).status_code == 202
        await _gets_each_mail(house)


async def _gets_each_mail(house: House) -> None:
    http = house.http(ip=ELSEWHERE)
    assert (await http.post("/v1/accounts", json={"email": ADA, "password": PASSWORD})).status_code == 201
    login = await http.post("/v1/native/login", json={"email": ADA, "password": PASSWORD})
    bearer = {"Authorization": f"Bearer {login.json()['access_token']}"}
    http = house.http(ip="192.0.2.10")  # an address may ask for two mails
    assert (await http.post("/v1/password-reset", json={"email": ADA})).status_code == 202
    new = {"email": "ada@new.test"}
    assert (await http.post("/v1/me/email", json=new, headers=bearer)).status_code == 202
    assert len(await house.mails(ADA)) == 2
    assert len(await house.mails("ada@new.test")) == 1


async def test_network_registrations_spend_the_budget_of_new_addresses(open_house: OpenHouse) -> None:
    """Registrations from everywhere have as many mails sent as LIMIT_MAIL says, no more; resets are not held up."""
    async with open_house(limit_mail="9/hour; 5/hour; 3/hour") as house:
        for n in range(6):
            assert (await register(house, f"198.18.{n}.1", n)).status_code == 201
        assert len(await house.mails()) == 3
        assert (await ask_for_reset(house, ELSEWHERE, 5)).status_code == 202
        assert len(await house.mails("p5@example.test")) == 1


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_passkey_page_is_not_fetched_for_another_site(open_house: OpenHouse, site: str) -> None:
    """A page of another site that has its visitor's browser fetch the form again and again spends nothing of theirs."""
    async with open_house(limit_challenge="3/minute") as house:
        visitor = Visitor(house)
        for _ in range(10):
            answer = await visitor.http.get("/account/sign-in/passkey", headers={"Sec-Fetch-Site": site})
            assert (answer.status_code, answer.headers["location"]) == (303, "/account/sign-in?next=%2Faccount")
        assert await house.rows("SELECT key FROM challenge") == []
        assert (await visitor.get("/account/sign-in/passkey")).status_code == 200
