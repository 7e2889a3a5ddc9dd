"""The brake on guessing: failures count, honest logins do not, and nobody else is held up."""

import asyncio
from typing import Any

import httpx2
import pytest

from coatcheck import counters, throttle
from tests.conftest import OpenHouse, Stores
from tests.factors import enrol_passkey, passkey_sign_in
from tests.house import PASSWORD, URL, House, MovableClock, NativeClient, hashing_held_up, opened
from tests.servers import redis
from tests.waiting import until

ADA = "ada@example.test"
WRONG = "certainly not this one"
LIMITED = 429
HOME, ELSEWHERE = "203.0.113.7", "198.51.100.1"


@pytest.fixture(autouse=True)
def window(clock: MovableClock, patient: None) -> None:
    """Start at the beginning of the longest window, so that none ends in the middle of a test; `patient`, because
    an outage of Redis would halve the limits: that has a test of its own."""
    longest = 7_200_000
    clock.move((longest - clock.now() % longest) / 1000)


async def attempt(house: House, email: str = ADA, password: str = WRONG, ip: str = HOME) -> httpx2.Response:
    return await house.http(ip=ip).post("/v1/native/login", json={"email": email, "password": password})


async def fail(house: House, times: int, **more: str) -> list[int]:
    return [(await attempt(house, **more)).status_code for _ in range(times)]


async def test_login_limit_stops_the_sixth_guess_at_one_account(house: House) -> None:
    """Five failures at one account from one address, then 429 with Retry-After, even for the right password."""
    await house.register()
    assert await fail(house, 6) == [401] * 5 + [LIMITED]
    refused = await attempt(house, password=PASSWORD)
    assert (refused.status_code, refused.json()["code"]) == (LIMITED, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 300
    assert len(await house.audit("login.failed")) == 5
    assert await house.rows("SELECT id FROM session") == []


async def test_login_limit_passes_with_time(house: House) -> None:
    """When Retry-After has passed the person signs in."""
    await house.register()
    await fail(house, 6)
    wait = int((await attempt(house)).headers["retry-after"])
    house.clock.move(wait)
    assert (await attempt(house, password=PASSWORD)).status_code == 200


async def test_login_limit_leaves_the_owner_elsewhere_alone(house: House) -> None:
    """Somebody who guesses at an account locks its owner out of nothing: another address signs in."""
    await house.register()
    await fail(house, 6)
    assert (await attempt(house, password=PASSWORD, ip=ELSEWHERE)).status_code == 200


async def test_login_limit_stops_one_address_at_many_accounts(house: House) -> None:
    """Ten failures from one address over many accounts, then it is refused, and only it."""
    await house.register()
    statuses = [(await attempt(house, email=f"p{n}@example.test")).status_code for n in range(11)]
    assert statuses == [401] * 10 + [LIMITED]
    assert (await attempt(house, password=PASSWORD)).status_code == LIMITED
    assert (await attempt(house, password=PASSWORD, ip=ELSEWHERE)).status_code == 200
    house.clock.move(60)
    assert (await attempt(house, password=PASSWORD)).status_code == 200


async def test_login_limit_counts_each_spelling_of_an_address_once(house: House) -> None:
    """Writing the address in other letters gives no further guesses."""
    await house.register()
    spellings = ["ada@example.test", "ADA@example.test", "Ada@Example.Test", "ada@EXAMPLE.test", "aDa@example.test"]
    assert [(await attempt(house, email=one)).status_code for one in spellings] == [401] * 5
    assert (await attempt(house, email="adA@example.test")).status_code == LIMITED


async def test_login_limit_does_not_count_honest_logins(house: House) -> None:
    """Thirty right passwords in a row wear nothing down, and four failures among them change nothing."""
    await house.register()
    assert await fail(house, 4) == [401] * 4
    assert await fail(house, 30, password=PASSWORD) == [200] * 30
    assert await fail(house, 2) == [401, LIMITED]


async def test_login_limit_counts_failures_not_refusals(house: House) -> None:
    """A client that keeps knocking at a limited account does not use up its household's allowance."""
    await house.register()
    await house.register("bob@example.test")
    assert await fail(house, 15) == [401] * 5 + [LIMITED] * 10
    assert (await attempt(house, email="bob@example.test", password=PASSWORD)).status_code == 200


async def test_login_limit_leaves_signed_in_people_alone(house: House) -> None:
    """From an address that has used up its logins, refresh, requests and logout work on."""
    await house.register()
    phone, app = await house.native(), await house.spa()
    assert LIMITED in [(await attempt(house, email=f"p{n}@example.test")).status_code for n in range(12)]
    assert (await phone.refresh()).status_code == 200
    assert (await app.refresh()).status_code == 200
    assert (await phone.get("/v1/me")).status_code == 200
    assert (await app.post("/v1/spa/logout")).status_code == 204
    assert (await phone.call("DELETE", "/v1/sessions/current")).status_code == 204


async def test_login_limit_holds_against_a_burst(house: House) -> None:
    """Forty wrong passwords at once: five are tried, whatever overtakes what."""
    await house.register()
    answers = await asyncio.gather(*(attempt(house) for _ in range(40)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [LIMITED] * 35
    assert len(await house.audit("login.failed")) == 5


async def test_login_limit_holds_over_two_workers(two_workers: tuple[House, House]) -> None:
    """Two workers count together."""
    first, second = two_workers
    await first.register()
    answers = await asyncio.gather(*(attempt(house) for house in two_workers for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [LIMITED] * 15
    assert (await attempt(second, password=PASSWORD)).status_code == LIMITED


async def test_login_limit_counts_an_ipv6_network_as_one(house: House) -> None:
    """Addresses of one /64 share a count; the next network has its own."""
    await house.register()
    statuses = [(await attempt(house, ip=f"2001:db8:0:1::{n:x}")).status_code for n in range(1, 7)]
    assert statuses == [401] * 5 + [LIMITED]
    assert (await attempt(house, ip="2001:db8:0:2::1", password=PASSWORD)).status_code == 200


async def test_login_limit_tells_mapped_ipv4_addresses_apart(house: House) -> None:
    """IPv4 written as IPv6 (`::ffff:…`, a dual-stack socket) counts by address: one guesser holds up nobody else."""
    await house.register()
    assert LIMITED in await fail(house, 6, ip="::ffff:203.0.113.7")
    assert (await attempt(house, password=PASSWORD, ip="::ffff:198.51.100.1")).status_code == 200


async def test_login_limit_does_not_believe_forwarded_addresses(house: House) -> None:
    """A guesser gets no more guesses by writing X-Forwarded-For himself."""
    await house.register()
    body = {"email": ADA, "password": WRONG}
    statuses = [
        (
            await house.http(headers={"X-Forwarded-For": f"198.51.100.{n}"}).post("/v1/native/login", json=body)
        ).status_code
        for n in range(6)
    ]
    assert statuses == [401] * 5 + [LIMITED]


async def test_login_limit_behind_a_proxy_counts_the_client(open_house: OpenHouse) -> None:
    """Behind a trusted proxy the address it wrote counts, and what the client wrote left of it does not."""
    async with open_house(trusted_proxies="10.0.0.0/8") as house:
        await house.register()

        async def through(client: str, password: str = WRONG) -> int:
            http = house.http(ip="10.0.0.1", headers={"X-Forwarded-For": f"{client}, 10.0.0.9"})
            return (await http.post("/v1/native/login", json={"email": ADA, "password": password})).status_code

        assert [await through(f"1.2.3.{n}, 203.0.113.50") for n in range(6)] == [401] * 5 + [LIMITED]
        assert await through("198.51.100.77", PASSWORD) == 200
        [session] = await house.rows("SELECT ip FROM session")
        assert session["ip"] == "198.51.100.77"


async def test_login_limit_is_stricter_without_redis(servers: Stores, clock: MovableClock) -> None:
    """When Redis dies each worker counts for itself with half the allowance, and honest people still sign in."""
    with redis() as server:
        async with opened(clock, **(servers | {"redis_url": server.url})) as house:
            await house.register("grace@example.test")
            await house.register("eve@example.test")
            server.kill()
            assert await fail(house, 4, email="grace@example.test") == [401] * 2 + [LIMITED] * 2
            phone = await NativeClient(house.http(ip=ELSEWHERE)).login("eve@example.test")
            assert (await phone.get("/v1/me")).status_code == 200


async def test_login_limit_can_be_switched_off(open_house: OpenHouse) -> None:
    """With LIMIT_LOGIN=off nothing is counted."""
    async with open_house(limit_login="off") as house:
        await house.register()
        assert await fail(house, 15) == [401] * 15
        assert (await attempt(house, password=PASSWORD)).status_code == 200


async def test_login_limit_of_one_value_counts_both_ways(open_house: OpenHouse) -> None:
    """A single value of LIMIT_LOGIN holds for the address, and for account and address."""
    async with open_house(limit_login="2/minute") as house:
        await house.register()
        assert await fail(house, 3) == [401] * 2 + [LIMITED]


async def spray(house: House, times: int, email: str = ADA, first: int = 1) -> list[int]:
    """Guesses at one account, each from an address of its own in one /24."""
    return [(await attempt(house, email, ip=f"198.51.7.{n}")).status_code for n in range(first, first + times)]


async def spray_widely(house: House, times: int, email: str = ADA) -> list[int]:
    """Guesses at one account, each from a /24 of its own."""
    return [(await attempt(house, email, ip=f"198.18.{n}.1")).status_code for n in range(1, times + 1)]


async def test_login_limit_holds_for_an_account_from_one_network(house: House) -> None:
    """From the addresses of one /24 come twenty failures and two more; the owner, elsewhere, does not notice."""
    await house.register()
    assert await spray(house, 24) == [401] * 22 + [LIMITED] * 2
    assert (await attempt(house, password=PASSWORD, ip="198.51.7.99")).status_code == LIMITED
    assert await fail(house, 3, ip=ELSEWHERE) == [401] * 2 + [LIMITED]
    assert (await attempt(house, password=PASSWORD, ip=HOME)).status_code == 200


async def test_login_limit_holds_for_an_account_from_many_networks(house: House) -> None:
    """Twenty failures, thirty more from other networks, then all strangers wait, and are told how to get in at once."""
    await house.register()
    assert await spray_widely(house, 52) == [401] * 50 + [LIMITED] * 2
    refused = await attempt(house, password=PASSWORD, ip=ELSEWHERE)
    assert (refused.status_code, refused.json()["code"]) == (LIMITED, "rate_limited")
    assert "choose a new password by mail" in refused.json()["detail"]
    wait = int(refused.headers["retry-after"])
    assert 1 <= wait <= 600
    assert await house.rows("SELECT id FROM session") == []
    house.clock.move(wait)
    assert (await attempt(house, password=PASSWORD, ip=ELSEWHERE)).status_code == 200


async def test_login_limit_of_an_account_grows_while_the_guessing_goes_on(house: House) -> None:
    """After sixty failures strangers wait longer than ten minutes; the count is of failures, not of days."""
    await house.register()
    for round_ in range(3):
        assert await spray(house, 20, first=1 + 20 * round_) == [401] * 20
        house.clock.move(600)
    assert await spray_widely(house, 31) == [401] * 30 + [LIMITED]
    wait = int((await attempt(house, password=PASSWORD, ip=ELSEWHERE)).headers["retry-after"])
    assert 600 < wait <= 7_200
    house.clock.move(wait)
    assert (await attempt(house, password=PASSWORD, ip=ELSEWHERE)).status_code == 200


async def test_login_limit_of_an_account_lets_its_owner_in(house: House) -> None:
    """While strangers guess, the owner signs in from a device they have used, in each door, and by passkey."""
    await house.register()
    phone, browser, pages = await house.native(), await house.spa(), await house.web()
    passkey, _ = await enrol_passkey(await house.native())
    assert (await spray_widely(house, 51))[-1] == LIMITED
    told = {"email": ADA, "password": PASSWORD, "device": {"token": phone.device_token}}
    assert (await phone.http.post("/v1/native/login", json=told)).json()["code"] == "mfa_required"
    for client, door in ((browser, "spa"), (pages, "web")):
        own = {"Origin": URL, "X-Coatcheck-Client": door}
        body = {"email": ADA, "password": PASSWORD}
        answer = await client.http.post(f"/v1/{door}/login", json=body, headers=own)
        assert answer.json()["code"] == "mfa_required", answer.text
    assert (await passkey_sign_in(house, passkey)).status_code == 200


async def test_login_limit_of_an_account_is_the_same_for_nobody(house: House) -> None:
    """An address without an account is counted like one that has one: the limit tells nobody apart."""
    await house.register()
    for email in (ADA, "nobody@example.test"):
        assert await spray_widely(house, 52, email) == [401] * 50 + [LIMITED] * 2


async def test_login_limit_of_an_account_takes_no_device_of_somebody_elses(house: House) -> None:
    """A device that another account knows is a stranger here, and so is a made-up secret."""
    await house.register()
    await house.register("eve@example.test")
    eve = await house.native("eve@example.test")
    await spray_widely(house, 50)
    for secret in (eve.device_token, f"cct_d_{'A' * 43}"):
        told = {"email": ADA, "password": PASSWORD, "device": {"token": secret}}
        assert (await house.http(ip=ELSEWHERE).post("/v1/native/login", json=told)).status_code == LIMITED


async def test_login_limit_of_an_account_holds_against_a_burst_from_many_addresses(house: House) -> None:
    """Forty wrong passwords at once from forty addresses of one /24: twenty are tried, and two more."""
    await house.register()
    answers = await asyncio.gather(*(attempt(house, ip=f"198.51.7.{n}") for n in range(1, 41)))
    assert sorted(answer.status_code for answer in answers) == [401] * 22 + [LIMITED] * 18
    assert len(await house.audit("login.failed")) == 22


async def test_login_limit_of_an_account_holds_against_a_burst_from_many_networks(house: House) -> None:
    """Eighty wrong passwords at once from eighty networks: fifty are tried."""
    await house.register()
    answers = await asyncio.gather(*(attempt(house, ip=f"198.18.{n}.1") for n in range(80)))
    assert sorted(answer.status_code for answer in answers) == [401] * 50 + [LIMITED] * 30
    assert len(await house.audit("login.failed")) == 50


async def test_login_limit_holds_for_a_device_that_is_known(house: House) -> None:
    """A stolen device secret gives five guesses in five minutes and sixty in two hours, from whatever networks."""
    await house.register()
    phone = await house.native()
    told = {"email": ADA, "password": WRONG, "device": {"token": phone.device_token}}
    http = [house.http(ip=f"198.18.{n}.1") for n in range(7)]
    tried = []
    for _ in range(24):
        tried.append([(await one.post("/v1/native/login", json=told)).status_code for one in http].count(401))
        house.clock.move(300)
    assert tried == [5] * 12 + [0] * 12
    assert (await attempt(house, password=PASSWORD, ip=ELSEWHERE)).status_code == 200  # others are counted apart


async def test_login_limit_holds_up_no_known_device_in_the_guessers_network(house: House) -> None:
    """The address of a whole office is over its limit, for this account too; a device that the account knows is not."""
    await house.register()
    phone = await house.native()
    assert LIMITED in await fail(house, 6)
    assert LIMITED in [(await attempt(house, email=f"p{n}@example.test")).status_code for n in range(12)]
    told = {"email": ADA, "password": PASSWORD, "device": {"token": phone.device_token}}
    assert (await attempt(house, password=PASSWORD)).status_code == LIMITED
    assert (await house.http().post("/v1/native/login", json=told)).status_code == 200


async def test_login_limit_holds_for_a_session_that_is_asked_again(house: House) -> None:
    """A stolen access token guesses at the password five times, from however many networks."""
    await house.register()
    phone = await house.native()
    statuses = []
    for n in range(1, 9):
        phone.http = house.http(ip=f"198.18.{n}.1")
        statuses.append((await phone.prove(WRONG)).status_code)
    assert statuses == [401] * 5 + [LIMITED] * 3


async def test_login_limit_refuses_no_right_password_of_many_at_once(house: House) -> None:
    """Twenty right passwords at once, from twenty addresses: who still counts is no failure to the others."""
    await house.register()
    for _ in range(3):
        answers = await asyncio.gather(*(attempt(house, password=PASSWORD, ip=f"198.51.7.{n}") for n in range(1, 21)))
        assert {answer.status_code for answer in answers} == {200}


def counting(house: House, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is counted from now on."""
    counted: list[str] = []
    plain = house.desk.throttle._counters.count

    async def noted(limit: Any, name: str, amount: int) -> Any:
        counted.append(name)
        return await plain(limit, name, amount)

    monkeypatch.setattr(house.desk.throttle._counters, "count", noted)
    return counted


async def test_login_limit_lets_a_bounded_number_wait(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who meets a limit that is full of attempts under way waits, unless too many do: he is told to come again."""
    monkeypatch.setattr(throttle, "_MOST_WAITING", 2)
    async with open_house(limit_login="10/minute; 2/minute") as house:
        await house.register()
        with hashing_held_up(house):
            waiting = [asyncio.create_task(attempt(house, password=PASSWORD)) for _ in range(4)]
            await until(lambda: house.desk.throttle._waiting == 2)
            counts = counting(house, monkeypatch)
            for _ in range(200):
                await asyncio.sleep(0)
            assert counts == []  # who waits is still: nobody wakes the next one in vain
            assert (await attempt(house, password=PASSWORD)).status_code == 503
        assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 4


async def test_login_limit_remembers_a_bounded_number(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses strangers invent, the counters in memory are bounded; a full one stays full, new names
    share counters, and what they hold goes with its window. An attack that worked: names pushed old counters out.
    """
    monkeypatch.setattr(counters, "_MOST_KEYS", 20)
    monkeypatch.setattr(counters, "_SHARED", 2)
    async with open_house(redis_url=None, limit_refresh="3/minute") as house:
        await house.register()
        phone = await house.native()
        assert await fail(house, 6) == [401] * 5 + [LIMITED]
        flood = [
            (await attempt(house, email=f"p{number}@example.test", ip=f"198.18.{number}.1")).status_code
            for number in range(100)
        ]
        windows = house.desk.throttle._counters._local._windows
        assert sum(map(len, windows.values())) <= 20 + 2 * len(windows)
        assert flood[-1] == LIMITED  # closed rather than open
        assert (await attempt(house, password=PASSWORD)).status_code == LIMITED
        assert (await phone.refresh()).status_code == 200  # sessions are counted apart
        house.clock.move(7_200)
        assert (await attempt(house, password=PASSWORD)).status_code == 200
        assert len(windows) <= 5
