"""A forgotten password: one link, once, for a quarter of an hour; it signs in nobody and signs out everybody."""

import asyncio
from typing import Any

import httpx2
import pytest

from coatcheck import challenges, password_reset
from tests.conftest import OpenHouse
from tests.house import PASSWORD, URL, House, MovableClock, link_in

ADA = "ada@example.test"
NEW = "four wise monkeys dancing"


@pytest.fixture(autouse=True)
def window(clock: MovableClock) -> None:
    """Start at the beginning of an hour, so that no window of a limit ends in the middle of a test."""
    hour = 3_600_000
    clock.move((hour - clock.now() % hour) / 1000)


async def ask(house: House, email: object = ADA, **headers: str) -> httpx2.Response:
    return await house.http().post("/v1/password-reset", json={"email": email}, headers=headers)


async def confirm(house: House, token: str, new: str = NEW) -> httpx2.Response:
    return await house.http().post("/v1/password-reset/confirm", json={"token": token, "new_password": new})


async def asked(house: House, email: str = ADA) -> str:
    """The token of the link that a mail brought."""
    before = len(await house.mails())
    assert (await ask(house, email)).status_code == 202
    letters = await house.mails()
    assert len(letters) == before + 1
    return link_in(letters[-1], "/account/reset")


async def signs_in(house: House, password: str, email: str = ADA) -> int:
    answer = await house.http().post("/v1/native/login", json={"email": email, "password": password})
    return answer.status_code


async def test_reset_sets_a_new_password(house: House) -> None:
    """The honest way: ask, follow the link, choose; the new password works, the old one no more; no sign-in."""
    await house.register()
    token = await asked(house)
    answer = await confirm(house, token)
    assert (answer.status_code, answer.content, "set-cookie" in answer.headers) == (204, b"", False)
    assert (await signs_in(house, PASSWORD), await signs_in(house, NEW)) == (401, 200)
    [row] = await house.rows("SELECT * FROM account")
    assert row["email_verified"] in (True, 1)
    assert await house.rows("SELECT key FROM challenge WHERE purpose = $1", password_reset.PURPOSE) == []
    assert len(await house.audit("password.reset_asked")) == len(await house.audit("password.reset")) == 1


async def test_reset_answers_the_same_for_everybody(house: House) -> None:
    """Somebody, nobody and a disabled account: the same status, body and headers; a mail for the first alone."""
    await house.register()
    await house.register("off@example.test")
    await house.rows("UPDATE account SET disabled_at = 1 WHERE email = 'off@example.test' RETURNING id")
    before = len(await house.mails())
    answers = [await ask(house, email) for email in (ADA, "nobody@example.test", "off@example.test")]
    assert len({(one.status_code, one.content, str(sorted(one.headers.items()))) for one in answers}) == 1
    assert (answers[0].status_code, answers[0].content) == (202, b"")
    assert [one["To"] for one in (await house.mails())[before:]] == [ADA]
    assert len(await house.rows("SELECT key FROM challenge WHERE purpose = 'password.reset'")) == 3
    assert "nobody" not in str(await house.rows("SELECT * FROM audit_event"))


async def test_reset_link_works_once(house: House) -> None:
    """A second use is refused and changes nothing."""
    await house.register()
    token = await asked(house)
    assert (await confirm(house, token)).status_code == 204
    again = await confirm(house, token, "five wise monkeys dancing")
    assert (again.status_code, again.json()["code"]) == (410, "link_invalid")
    assert await signs_in(house, NEW) == 200


async def test_reset_takes_the_newest_link_only(house: House) -> None:
    """Each mail takes the link before it out of use; of several asked for at once one is left."""
    await house.register()
    first = await asked(house)
    second = await asked(house)
    assert (await confirm(house, first)).status_code == 410
    await asyncio.gather(*(ask(house) for _ in range(3)))
    assert (await confirm(house, second)).status_code == 410
    tokens = {link_in(one, "/account/reset") for one in await house.mails() if one["Subject"].startswith("Choose")}
    assert len(tokens) == 5
    assert sorted([(await confirm(house, token)).status_code for token in tokens]) == [204] + [410] * 4


async def test_reset_link_dies_after_a_quarter_of_an_hour(house: House) -> None:
    """Just before 15 minutes it works, at 15 it doesn't."""
    await house.register()
    token = await asked(house)
    house.clock.move(15 * 60)
    assert (await confirm(house, token)).status_code == 410
    token = await asked(house)
    house.clock.move(15 * 60 - 20)
    assert (await confirm(house, token)).status_code == 204


async def test_reset_refused_for_a_weak_password_keeps_the_link(house: House) -> None:
    """Who chose a password that is too weak tries again with the same link."""
    await house.register()
    token = await asked(house)
    answer = await confirm(house, token, "short")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "new_password")
    assert (await confirm(house, token)).status_code == 204


async def test_reset_link_is_nobodys_else(house: House) -> None:
    """A link of one purpose or a made-up one is refused alike, and nobody but its account is touched."""
    await house.register()
    await house.register("eve@example.test")
    async with house.desk.db.writing() as db:
        [eve] = [row["id"] for row in await house.rows("SELECT id FROM account WHERE email = 'eve@example.test'")]
        other = await challenges.make(db, house.desk, "login", eve, 60_000)
        await db.commit()
    answers = [await confirm(house, token) for token in (other, "x", "cct_c_" + "A" * 43, "\ud7ff", "a" * 256)]
    assert {(one.status_code, one.text) for one in answers} == {(410, answers[0].text)}
    assert (await confirm(house, await asked(house, "eve@example.test"))).status_code == 204
    assert (await signs_in(house, PASSWORD), await signs_in(house, NEW, "eve@example.test")) == (200, 200)


@pytest.mark.parametrize("change", ["password", "disabled", "closed"])
async def test_reset_link_dies_with_what_it_was_made_for(house: House, change: str) -> None:
    """A password changed meanwhile, an account disabled or closed: the link is worth nothing any more."""
    account = await house.register()
    token, phone = await asked(house), await house.native()
    if change == "password":
        body = {"current_password": PASSWORD, "new_password": "five wise monkeys dancing"}
        assert (await phone.call("POST", "/v1/me/password", json=body)).status_code == 204
    elif change == "closed":
        assert (await phone.call("DELETE", "/v1/me")).status_code == 204
    else:
        await house.rows("UPDATE account SET disabled_at = 1 RETURNING id")
    assert (await confirm(house, token)).status_code == 410
    assert await signs_in(house, NEW) == 401
    assert account


async def test_reset_ends_every_session(two_workers: tuple[House, House]) -> None:
    """On all workers, of all doors, and also one that refreshes in a tight loop on the other worker."""
    first, second = two_workers
    await first.register()
    phone, page, tab = await first.native(), await second.web(), await second.spa()
    looping, warm = await second.native(), asyncio.Event()

    async def loop() -> httpx2.Response:
        while (answer := await looping.refresh()).status_code == 200:
            warm.set()
        return answer

    object.__setattr__(second.desk.throttle, "_refresh", [])
    task = asyncio.create_task(loop())
    await asyncio.wait_for(warm.wait(), 20)
    assert (await confirm(first, await asked(first))).status_code == 204
    assert (await asyncio.wait_for(task, 20)).json()["code"] == "session_revoked"
    answers = [await phone.refresh(), await phone.get("/v1/me"), await page.get("/v1/me"), await tab.refresh()]
    assert [answer.json()["code"] for answer in answers] == ["session_revoked"] * 4
    rows = await first.rows("SELECT end_reason FROM session")
    assert {row["end_reason"] for row in rows} == {"password_reset"}
    assert len(rows) == 4
    assert await signs_in(second, NEW) == 200


async def test_reset_beats_a_sign_in_with_the_old_password(open_house: OpenHouse) -> None:
    """Sign-ins racing with the reset leave no session behind, whichever moment they hit."""
    async with open_house(limit_login="off", hash_workers=2) as house:
        await house.register()
        token = await asked(house)
        tries = [house.http().post("/v1/native/login", json={"email": ADA, "password": PASSWORD}) for _ in range(20)]
        answers = await asyncio.gather(*tries[:10], confirm(house, token), *tries[10:])
        assert answers[10].status_code == 204
        assert await house.rows("SELECT id FROM session WHERE ended_at IS NULL") == []


POISON: list[dict[str, str]] = [
    {"Host": "evil.test"},
    {"X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "81"},
    {"Forwarded": "host=evil.test;proto=http"},
    {"X-Original-Host": "evil.test", "X-Host": "evil.test", "X-Rewrite-URL": "https://evil.test/"},
    {"Origin": "https://evil.test", "Referer": "https://evil.test/"},
]


@pytest.mark.parametrize("headers", POISON)
async def test_reset_link_comes_from_the_public_url_alone(house: House, headers: dict[str, str]) -> None:
    """Whatever a request says of its host, the link begins with PUBLIC_URL; also as the very first request."""
    await house.register()
    before = len(await house.mails())
    assert (await ask(house, **headers)).status_code in (202, 400, 403)
    for letter in (await house.mails())[before:]:
        assert "evil" not in letter.as_string()
        link_in(letter, "/account/reset")


@pytest.mark.parametrize(
    "email", [[ADA, "eve@example.test"], f"{ADA},eve@example.test", {"$ne": ""}, f"{ADA}\r\nBcc: e@e.test"]
)
async def test_reset_goes_to_one_address(house: House, email: Any) -> None:
    """A list, a comma, an object, a header: refused, and no mail."""
    await house.register()
    before = len(await house.mails())
    assert (await ask(house, email)).status_code == 422
    assert len(await house.mails()) == before


async def test_reset_mails_are_limited(open_house: OpenHouse) -> None:
    """To one address and from one address; the same for an address nobody has; sign-in is not held up."""
    async with open_house(limit_mail="6/hour; 2/hour; 1/hour", limit_register="off") as house:
        for email in (ADA, "nobody@example.test"):
            assert [(await ask(house, email)).status_code for _ in range(3)] == [202, 202, 429]
        refused = await ask(house, "third@example.test")
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")  # the seventh from here
        await house.register()
        await house.native()
        house.clock.move(int(refused.headers["Retry-After"]))
        assert (await ask(house)).status_code == 202


async def test_reset_mails_of_one_limit_are_counted_in_all_three_ways(open_house: OpenHouse) -> None:
    """A single value holds for each network address, each mail address, and for new addresses together."""
    async with open_house(limit_mail="2/hour", limit_register="off") as house:

        async def asked(email: str, ip: str) -> int:
            return (await house.http(ip=ip).post("/v1/password-reset", json={"email": email})).status_code

        house.clock.move(3_601 - house.clock.now() // 1000 % 3_600)  # a window has just begun
        for n in range(4):  # new addresses, each from a network of its own
            await house.http(ip=f"198.18.{n}.1").post(
                "/v1/accounts", json={"email": f"p{n}@example.test", "password": PASSWORD}
            )
        assert len(await house.mails()) == 2
        house.clock.move(3_600)
        assert [await asked(f"q{n}@example.test", "198.51.100.9") for n in range(3)] == [202, 202, 429]
        house.clock.move(3_600)
        assert [await asked(ADA, f"198.51.100.{n}") for n in range(3)] == [202, 202, 429]


async def test_reset_leaves_no_secret_behind(house: House) -> None:
    """Neither token nor address nor password is in an answer, an event or a row; the mail holds the link alone."""
    await house.register()
    before = len(await house.mails())
    answer = await ask(house)
    token = link_in((await house.mails())[before], "/account/reset")
    dump = str(
        [
            await house.rows(f"SELECT * FROM {table}")
            for table in ("challenge", "outgoing_mail", "audit_event", "account")
        ]
    )
    assert token not in dump
    assert token[6:] not in dump
    assert token not in answer.text
    letter = (await house.mails())[before].as_string()
    [row] = await house.rows("SELECT password_hash, id FROM account")
    assert PASSWORD not in letter
    assert row["password_hash"] not in letter
    assert URL in letter
