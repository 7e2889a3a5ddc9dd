"""Nobody is signed out by accident: restored backups, new root secrets, wrong doors; and what does end by time."""

import asyncio

import pytest

from tests.conftest import OpenHouse
from tests.house import SECRET, House, SpaClient

DAY = 86_400
NEXT_SECRET = "aa11bb22cc33dd44ee55ff6600112233445566778899aabb"
SESSIONS = "SELECT * FROM session"


async def test_refresh_wrong_door_is_invalid_and_harmless(house: House) -> None:
    """A credential shown at another door is `token_invalid` there, and its session goes on untouched."""
    await house.register()
    phone, browser, page = await house.native(), await house.spa(), await house.web()
    rows = await house.rows(SESSIONS + " ORDER BY id")
    for cookie in (browser.cookie, page.cookie):
        answer = await phone.refresh(cookie)
        assert (answer.status_code, answer.json()["code"]) == (400, "token_invalid")
    for cookie in (phone.refresh_token, page.cookie):
        headers = browser.OWN_PAGE | {"Cookie": f"__Host-coatcheck-refresh={cookie}"}
        answer = await house.http().post("/v1/spa/refresh", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
        assert "set-cookie" not in answer.headers
    for cookie in (phone.refresh_token, browser.cookie):
        answer = await house.http(headers={"Cookie": f"__Host-coatcheck-session={cookie}"}).get("/v1/me")
        assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
    for token in (phone.refresh_token, browser.cookie):
        phone_call = await house.http(headers={"Authorization": f"Bearer {token}"}).get("/v1/me")
        assert phone_call.json()["code"] == "token_invalid"
    assert await house.rows(SESSIONS + " ORDER BY id") == rows
    assert (await phone.refresh()).status_code == (await browser.refresh()).status_code == 200
    assert (await page.get("/v1/me")).status_code == 200


async def _restored_to(house: House, generation: int) -> None:
    await house.rows("UPDATE session SET generation = $1, acknowledged_at = NULL RETURNING id", generation)


async def test_refresh_after_a_restore_goes_on(house: House) -> None:
    """A client whose token is newer than a restored row is taken at its word, and rotates on from there."""
    await house.register()
    phone = await house.native()
    for _ in range(6):
        await phone.refresh()
    await _restored_to(house, 2)
    house.clock.move(600)
    lost = await phone.refresh(phone.refresh_token)
    assert lost.status_code == 200
    assert (await phone.refresh()).json()["refresh_token"] == lost.json()["refresh_token"]
    assert (await phone.refresh()).status_code == (await phone.get("/v1/me")).status_code == 200
    assert [row["generation"] for row in await house.rows(SESSIONS)] == [8]
    assert await house.audit("token.reused") == []


async def test_refresh_after_a_restore_in_parallel_gives_one_answer(house: House) -> None:
    """Twenty parallel refreshes against a restored row get one successor, and the row moves forward once."""
    await house.register()
    phone = await house.native()
    for _ in range(6):
        await phone.refresh()
    await _restored_to(house, 2)
    answers = await asyncio.gather(*(phone.refresh(phone.refresh_token) for _ in range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert [row["generation"] for row in await house.rows(SESSIONS)] == [7]


async def test_refresh_after_a_restore_does_not_revive_the_ended(house: House) -> None:
    """A token ahead of its row gets nothing when the row has ended."""
    await house.register()
    phone, laptop = await house.native(), await house.native()
    for _ in range(3):
        await phone.refresh()
    await _restored_to(house, 1)
    await laptop.call("DELETE", f"/v1/sessions/{phone.session_id}")
    answer = await phone.refresh()
    assert (answer.status_code, answer.json()["code"]) == (400, "session_revoked")


async def test_refresh_survives_new_root_secrets(open_house: OpenHouse) -> None:
    """A new root secret, listed first, signs nobody out at any door and changes no answer already given."""
    async with open_house() as before:
        await before.register()
        phone, browser, page = await before.native(), await before.spa(), await before.web()
        given = (await phone.refresh(phone.refresh_token)).json()
    async with open_house(secret_key=[NEXT_SECRET, SECRET]) as house:
        for client in (phone, browser, page):
            cookies = client.http.cookies
            client.http = house.http(cookies=cookies)
            assert (await client.get("/v1/me")).status_code == 200
        assert (await phone.refresh()).json()["refresh_token"] == given["refresh_token"]
        kid = (await house.rows("SELECT kid FROM session WHERE door = 'native'"))[0]["kid"]
        assert (await phone.refresh()).status_code == (await browser.refresh()).status_code == 200
        assert (await house.rows("SELECT kid FROM session WHERE door = 'native'"))[0]["kid"] != kid
        renamed = await page.call("PATCH", "/v1/me", json={"name": "Ada"})
        assert renamed.status_code == 200
        assert await house.audit("refresh.refused") == []


async def test_refresh_under_an_unlisted_root_secret_is_invalid(house: House) -> None:
    """A token made under a secret that is not listed is `token_invalid`, with nothing looked up or ended."""
    from coatcheck import refresh_tokens
    from coatcheck.secrets import RootSecrets

    await house.register()
    phone = await house.native()
    token = refresh_tokens.read(house.desk.roots, phone.refresh_token, refresh_tokens.Door.NATIVE)
    foreign = RootSecrets([NEXT_SECRET])
    answer = await phone.refresh(refresh_tokens.write(foreign, token.at(0, foreign.writing)))
    assert (answer.status_code, answer.json()["code"]) == (400, "token_invalid")
    assert (await phone.refresh()).status_code == 200


@pytest.mark.parametrize("door", ["native", "spa"])
async def test_refresh_with_a_foreign_nonce_is_invalid(house: House, door: str) -> None:
    """Who has the server's secret but not the session's nonce can make no token that is taken, of any generation, and
    ends nothing: an old one does not count as reused."""
    from coatcheck import refresh_tokens

    await house.register()
    phone, browser = await house.native(), await house.spa()
    client = phone if door == "native" else browser
    for _ in range(3):  # generation 3; the ones before are superseded, and their race window is over
        assert (await client.refresh()).status_code == 200
        house.clock.move(60)
    before = await house.rows("SELECT * FROM session ORDER BY id")
    genuine = phone.refresh_token if door == "native" else browser.cookie or ""
    token = refresh_tokens.read(house.desk.roots, genuine, refresh_tokens.Door(door))
    for generation in (0, 2, 3, 4, 8):
        forged = refresh_tokens.RefreshToken(token.door, token.kid, token.session_id, generation, b"n" * 16)
        text = refresh_tokens.write(house.desk.roots, forged)
        if door == "native":
            answer = await phone.refresh(text)
        else:
            headers = SpaClient.OWN_PAGE | {"Cookie": f"__Host-coatcheck-refresh={text}"}
            answer = await house.http().post("/v1/spa/refresh", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400 if door == "native" else 401, "token_invalid")
    assert await house.rows("SELECT * FROM session ORDER BY id") == before
    assert await house.audit("token.reused") == await house.audit("session.ended") == []
    assert (await client.refresh()).status_code == 200


async def test_refresh_idle_too_long_is_expired(house: House) -> None:
    """A session unused for its idle life is over: `session_expired`, also when asked again, and written down so."""
    await house.register()
    phone = await house.native()
    house.clock.move(30 * DAY + 1)
    for _ in range(2):
        answer = await phone.refresh()
        assert (answer.status_code, answer.json()["code"]) == (400, "session_expired")
    assert [row["end_reason"] for row in await house.rows(SESSIONS)] == ["idle"]
    assert await house.audit("token.reused") == []


async def test_refresh_slides_the_idle_life(house: House) -> None:
    """A session refreshed each month minus a minute lives on, until its absolute life ends it: `session_expired`."""
    await house.register()
    phone = await house.native()
    for _ in range(6):
        house.clock.move(30 * DAY - 60)
        assert (await phone.refresh()).status_code == 200
    house.clock.move(61 * 6)
    answer = await phone.refresh()
    assert (answer.status_code, answer.json()["code"]) == (400, "session_expired")
    assert [row["end_reason"] for row in await house.rows(SESSIONS)] == ["expired"]


async def test_refresh_access_token_never_outlives_its_session(open_house: OpenHouse) -> None:
    """An access token handed out shortly before the absolute end expires with the session."""
    async with open_house(absolute_ttl=1_000) as house:
        await house.register()
        phone = await house.native()
        house.clock.move(900)
        answer = await phone.refresh()
        assert 90 <= answer.json()["expires_in"] <= 100
        house.clock.move(106)
        assert (await phone.get("/v1/me")).json()["code"] in ("token_expired", "session_expired")
        assert (await phone.refresh()).json()["code"] == "session_expired"


async def test_refresh_old_token_of_an_expired_session_accuses_nobody(house: House) -> None:
    """A superseded token that comes back when the session has run out is expired, not reused."""
    await house.register()
    phone = await house.native()
    old = phone.refresh_token
    await phone.refresh()
    await phone.get("/v1/me")
    house.clock.move(31 * DAY)
    assert (await phone.refresh(old)).json()["code"] == "session_expired"
    assert await house.audit("token.reused") == []


async def test_refresh_of_a_disabled_account_is_revoked(house: House) -> None:
    """A disabled account's token rotates nothing and accuses nobody, and works again when the account does."""
    await house.register()
    phone = await house.native()
    await phone.refresh()
    rows = await house.rows(SESSIONS)
    await house.rows("UPDATE account SET disabled_at = $1 RETURNING id", house.clock.now())
    assert (await phone.refresh()).json()["code"] == "session_revoked"
    assert await house.rows(SESSIONS) == rows
    await house.rows("UPDATE account SET disabled_at = NULL RETURNING id")
    assert (await phone.refresh()).status_code == 200


@pytest.mark.parametrize("days", [-1, 1])
async def test_refresh_with_the_server_clock_a_day_off_keeps_the_session(house: House, days: int) -> None:
    """A server clock that jumps a day either way, and back, ends no session."""
    await house.register()
    phone = await house.native()
    await phone.refresh()
    for jump in (days, -days):
        house.clock.move(jump * DAY)
        assert (await phone.refresh()).status_code == 200
        assert (await phone.get("/v1/me")).status_code == 200


async def test_refresh_of_a_pruned_session_is_revoked(house: House) -> None:
    """A genuine token whose row is gone is `session_revoked`: there is nothing left to end."""
    await house.register()
    phone = await house.native()
    await house.rows("DELETE FROM session RETURNING id")
    assert (await phone.refresh()).json()["code"] == "session_revoked"
