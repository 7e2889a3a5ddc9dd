"""Passwords: what is refused, how one is changed, how old hashes grow stronger, and how little a wrong one tells."""

import asyncio
import unicodedata

import bcrypt
import httpx2
import pytest

from tests.conftest import OpenHouse
from tests.house import PASSWORD, House

NEW = "four wise monkeys dancing"


async def _register(house: House, password: str, email: str = "ada@example.test") -> httpx2.Response:
    return await house.http().post("/v1/accounts", json={"email": email, "password": password})


async def _login(house: House, password: str, email: str = "ada@example.test") -> httpx2.Response:
    return await house.http().post("/v1/native/login", json={"email": email, "password": password})


async def _hash(house: House) -> str:
    (row,) = await house.rows("SELECT password_hash FROM account")
    return str(row["password_hash"])


# -- which ones are taken ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password, reason",
    [
        ("kx7 qv2 mw9 zt", "too_short"),
        ("", "too_short"),
        ("kx7 qv2 mw9 " + "é" * 507, "too_long"),
        ("kx7 qv2 mw9 " + "z" * 1_013, "too_long"),
        ("a" * 15, "too_common"),
        ("abcabcabcabcabcabc", "too_common"),
        ("passwordpassword", "too_common"),
        ("Password1234567890", "too_common"),
        ("123456789012345", "too_common"),
        ("qwertyuiopasdfghj", "too_common"),
        ("!!!letmein!!!!!!!!", "too_common"),
        ("coatcheckcoatcheck", "too_personal"),
        ("Ada@Example.test2026", "too_personal"),
        ("example coatcheck 12", "too_personal"),
    ],
)
async def test_password_weak_is_refused_with_its_reason(house: House, password: str, reason: str) -> None:
    """A password too short, too long or on every attacker's list is 422 with the reason, and makes no account."""
    answer = await _register(house, password)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["field"], error["code"]) == ("password", reason)
    assert answer.json()["code"] == ("weak_password" if password else "invalid_request")
    assert not password or password not in answer.text
    assert await house.rows("SELECT id FROM account") == []


@pytest.mark.parametrize(
    "password",
    [
        "kx7 qv2 mw9 zt4",  # 15 characters
        "kx7 qv2 mw9 " + "z" * 1_012,  # 1,024 bytes
        "correct horse battery staple",
        "an example of coatcheck at sea",
        "  leading and trailing blanks  ",
        "пароль из нескольких слов",
        "🦀🐙🦑🐡🐠🐟🐬🐳🐋🦈🐊🐅🐆🦓🦍",
        "kx7\tqv2\nmw9\rzt4",
    ],
)
async def test_password_long_enough_is_taken(house: House, password: str) -> None:
    """Any password from 15 characters to 1,024 bytes that is not common is taken, whatever it is composed of."""
    assert (await _register(house, password)).status_code == 201
    assert (await _login(house, password)).status_code == 200
    for other in (password[:-1], password + "x", password.swapcase() + " "):
        assert (await _login(house, other)).json()["code"] == "invalid_credentials"


async def test_password_length_counts_in_nfc(house: House) -> None:
    """Composed and decomposed spellings are one password, and its length is that of the composed one."""
    composed = unicodedata.normalize("NFC", "é" * 3 + "ü" * 3 + " çà mw9 zt4")
    assert len(composed) == 17
    decomposed = unicodedata.normalize("NFD", composed)
    assert (await _register(house, decomposed)).status_code == 201
    assert (await _login(house, composed)).status_code == (await _login(house, decomposed)).status_code == 200
    short = unicodedata.normalize("NFD", "éüçàéüç qv2 m9")
    assert len(short) > 15
    assert (await _register(house, short, "bob@example.test")).json()["errors"][0]["code"] == "too_short"


@pytest.mark.parametrize("password", ["nul\0in the middle of it", "\ud800 lone surrogate here", 5, None, ["a"], {}])
async def test_password_that_is_no_text_is_refused_cleanly(house: House, password: object) -> None:
    """NUL, a lone surrogate and other types are a clean 4xx wherever a password may stand."""
    import json

    await house.register()
    phone = await house.native()
    text = json.dumps(password)
    email = '"email":"bob@example.test"'
    for path, body in (
        ("/v1/accounts", f'{{{email},"password":{text}}}'),
        ("/v1/native/login", f'{{{email},"password":{text}}}'),
        ("/v1/me/password", f'{{"current_password":{text},"new_password":"{NEW}"}}'),
        ("/v1/me/password", f'{{"current_password":"{PASSWORD}","new_password":{text}}}'),
    ):
        answer = await phone.call("POST", path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), (path, answer.text)
        assert "surrogate" not in answer.text
    assert (await _login(house, PASSWORD)).status_code == 200


# -- hashes --------------------------------------------------------------------------------------------------------


async def test_password_hash_is_upgraded_at_login(open_house: OpenHouse) -> None:
    """A hash made at a lower cost is replaced at the next successful sign-in, and at no other."""
    async with open_house(argon2_time=1) as house:
        await house.register()
        weak = await _hash(house)
        await house.native()
        assert await _hash(house) == weak
    assert weak.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    async with open_house(argon2_time=2, argon2_memory_kib=128) as house:
        assert (await _login(house, NEW)).status_code == 401
        assert await _hash(house) == weak
        await house.native()
        strong = await _hash(house)
        assert strong.startswith("$argon2id$v=19$m=128,t=2,p=1$")
        await house.native()
        assert await _hash(house) == strong


async def test_password_hash_of_bcrypt_is_upgraded_at_login(house: House) -> None:
    """A bcrypt hash brought along from elsewhere verifies, and becomes Argon2id at sign-in."""
    await house.register()
    foreign = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    await house.rows("UPDATE account SET password_hash = $1 RETURNING id", foreign)
    assert (await _login(house, NEW)).status_code == 401
    assert await _hash(house) == foreign
    await house.native()
    assert (await _hash(house)).startswith("$argon2id$")
    await house.native()


@pytest.mark.parametrize("password", ["p" * 72 + "q", "x" * 1_024, "é" * 37])
async def test_password_longer_than_bcrypt_takes_is_wrong(house: House, password: str) -> None:
    """Against a bcrypt hash a password over 72 bytes is wrong, not an error, and is not cut to fit."""
    await house.register()
    foreign = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    await house.rows("UPDATE account SET password_hash = $1 RETURNING id", foreign)
    answer = await _login(house, password)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")


async def test_password_wrong_and_unknown_address_look_the_same(house: House) -> None:
    """A wrong password, an unknown address and a disabled account give the same status, body and headers."""
    await house.register()
    await house.register("off@example.test")
    await house.rows("UPDATE account SET disabled_at = 1 WHERE email = 'off@example.test' RETURNING id")
    answers = [
        await _login(house, NEW),
        await _login(house, NEW, "nobody@example.test"),
        await _login(house, PASSWORD, "off@example.test"),
    ]
    assert len({(answer.status_code, answer.text, str(sorted(answer.headers.items()))) for answer in answers}) == 1
    assert answers[0].json()["code"] == "invalid_credentials"
    assert len(await house.audit("login.failed")) == 3
    assert "nobody" not in str(await house.audit("login.failed"))


async def test_password_hashing_full_is_503_and_locks_nobody(open_house: OpenHouse) -> None:
    """Over the bounded queue a sign-in is 503 with Retry-After at once, counts as no failure, and works later."""
    async with open_house(hash_workers=1, hash_queue=0, argon2_memory_kib=19_456, argon2_time=2) as house:
        await house.register()
        answers = await asyncio.gather(*(_login(house, PASSWORD) for _ in range(20)))
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 503}
        for answer in answers:
            if answer.status_code == 503:
                assert answer.json()["code"] == "unavailable"
                assert int(answer.headers["Retry-After"]) >= 1
        assert await house.audit("login.failed") == []
        assert len(await house.audit("session.started")) == statuses.count(200)
        assert (await _login(house, PASSWORD)).status_code == 200


# -- change --------------------------------------------------------------------------------------------------------


async def test_password_change_keeps_the_caller_and_ends_the_rest(open_house: OpenHouse) -> None:
    """After a change only the caller survives: not even a device that was refreshing in a tight loop."""
    async with open_house(limit_refresh="off") as house:
        await house.register()
        caller, looping, page = await house.native(), await house.native(), await house.web()
        warm = asyncio.Event()

        async def loop() -> httpx2.Response:
            while (answer := await looping.refresh()).status_code == 200:
                warm.set()
            return answer

        task = asyncio.create_task(loop())
        await asyncio.wait_for(warm.wait(), 30)
        body = {"current_password": PASSWORD, "new_password": NEW}
        assert (await caller.call("POST", "/v1/me/password", json=body)).status_code == 204
        assert (await asyncio.wait_for(task, 30)).json()["code"] == "session_revoked"
        assert (await looping.get("/v1/me")).json()["code"] == "session_revoked"
        assert (await page.get("/v1/me")).json()["code"] == "session_revoked"
        assert (await caller.get("/v1/me")).status_code == (await caller.refresh()).status_code == 200
        rows = await house.rows("SELECT end_reason FROM session ORDER BY end_reason")
        assert sorted(str(row["end_reason"]) for row in rows) == ["None", "password_changed", "password_changed"]
        assert len(await house.audit("password.changed")) == 1
        assert (await _login(house, PASSWORD)).json()["code"] == "invalid_credentials"
        assert (await _login(house, NEW)).status_code == 200


@pytest.mark.parametrize(
    "current, new, status, code",
    [(NEW, NEW, 401, "invalid_credentials"), (PASSWORD, "short", 422, "weak_password")],
)
async def test_password_change_refused_changes_nothing(
    house: House, current: str, new: str, status: int, code: str
) -> None:
    """A wrong current password or a weak new one changes nothing and ends nobody."""
    await house.register()
    phone, laptop = await house.native(), await house.native()
    before = await _hash(house)
    answer = await phone.call("POST", "/v1/me/password", json={"current_password": current, "new_password": new})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await _hash(house) == before
    assert (await phone.refresh()).status_code == (await laptop.refresh()).status_code == 200


async def test_password_changes_in_parallel_have_one_winner(house: House) -> None:
    """Of several simultaneous changes one wins, and exactly its password works afterwards."""
    await house.register()
    phone = await house.native()
    wanted = [f"{word} wise monkeys dancing" for word in ("seven", "eight", "nine")]
    bodies = [{"current_password": PASSWORD, "new_password": new} for new in wanted]
    answers = await asyncio.gather(*(phone.call("POST", "/v1/me/password", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [204, 401, 401]
    winner = [answer.status_code for answer in answers].index(204)
    assert (await _login(house, wanted[winner])).status_code == 200
    assert (await _login(house, PASSWORD)).status_code == 401
