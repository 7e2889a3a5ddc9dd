"""What the account pages do over HTTP, and what they leave behind. How they feel: tests/browser/test_pages.py."""

import asyncio

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from coatcheck import audit
from coatcheck.routes import export
from coatcheck.tables import AuditEvent
from tests.house import PASSWORD, House, MovableClock
from tests.pages import Visitor, token_in

ADA, EVE = "ada@example.test", "eve@example.test"
SESSION = "__Host-coatcheck-session"
NEW = "four new words together"


async def test_pages_step_up_makes_a_new_cookie_and_goes_on(house: House, clock: MovableClock) -> None:
    """An old sign-in is asked for the password; then the cookie is new, the old one is dead, and the way goes on."""
    await house.register()
    ada = await Visitor(house).sign_in()
    clock.move(301)
    asked = await ada.get("/account/close")
    assert (asked.status_code, asked.headers["location"]) == (303, "/account/step-up?next=%2Faccount%2Fclose")
    form = asked.headers["location"]
    wrong = await ada.post(form, look=form, password="not the right one")
    assert (wrong.status_code, "isn&#39;t the right password" in wrong.text) == (401, True)
    before = ada.http.cookies[SESSION]
    proved = await ada.post(form, look=form, password=PASSWORD)
    assert (proved.status_code, proved.headers["location"]) == (303, "/account/close")
    assert ada.http.cookies[SESSION] != before
    assert (await ada.get("/account/close")).status_code == 200
    old = Visitor(house)
    old.http.cookies.set(SESSION, before, domain="coatcheck.test", path="/")
    assert (await old.get("/account")).status_code == 303


async def test_pages_sign_out_with_an_outdated_cookie_ends_the_session(house: House, clock: MovableClock) -> None:
    """Whose newer cookie was lost with an answer is signed out all the same by a page from before, and by no other."""
    await house.register()
    ada = await Visitor(house).sign_in()
    before, token = ada.http.cookies[SESSION], token_in((await ada.get("/account")).text)
    clock.move(301)
    await ada.post("/account/step-up", look="/account/step-up", password=PASSWORD)
    old = Visitor(house)
    old.http.cookies.set(SESSION, before, domain="coatcheck.test", path="/")
    assert (await old.send("/account/sign-out", {"csrf_token": "x" * 32})).status_code == 403
    assert await house.rows("SELECT id FROM session WHERE ended_at IS NOT NULL") == []
    left = await old.send("/account/sign-out", {"csrf_token": token})
    assert (left.status_code, left.headers["location"]) == (303, "/account/sign-in")
    assert [row["end_reason"] for row in await house.rows("SELECT end_reason FROM session")] == ["signed_out"]
    assert (await ada.get("/account")).status_code == 303


async def test_pages_close_an_account_only_after_a_fresh_proof(house: House, clock: MovableClock) -> None:
    """A form from before is sent to the step-up page and closes nothing; with a proof it closes all."""
    await house.register()
    ada, phone = await Visitor(house).sign_in(), await house.native()
    clock.move(301)
    late = await ada.post("/account/close")
    assert (late.status_code, late.headers["location"]) == (303, "/account/step-up?next=%2Faccount%2Fclose")
    assert (await phone.get("/v1/me")).status_code == 200
    step_up = "/account/step-up"
    await ada.post(step_up, look=step_up, password=PASSWORD)
    gone = await ada.post("/account/close")
    assert (gone.status_code, gone.headers["location"]) == (303, "/account/sign-in")
    assert SESSION not in ada.http.cookies
    assert (await phone.get("/v1/me")).status_code == 401
    assert "Your account is closed" in (await ada.get("/account/sign-in")).text


async def test_pages_end_sessions_without_a_proof(house: House, clock: MovableClock) -> None:
    """One session, one device, all others, everything: an old sign-in is good enough, and it bites at once."""
    await house.register()
    ada = await Visitor(house).sign_in()
    phone, tablet, app = await house.native(name="Phone"), await house.native(name="Tablet"), await house.spa()
    clock.move(400)
    await ada.post(f"/account/sessions/{phone.session_id}/sign-out")
    assert ada.last.headers["location"] == "/account/devices"
    assert (await phone.get("/v1/me")).status_code == 401
    device = next(one for one in (await tablet.get("/v1/devices")).json()["devices"] if one["current"])
    await ada.post(f"/account/devices/{device['id']}/sign-out")
    assert (await tablet.get("/v1/me")).status_code == 401
    assert (await app.get("/v1/me")).status_code == 200
    await ada.post("/account/devices/sign-out-others")
    assert (await app.get("/v1/me")).status_code == 401
    assert (await ada.get("/account")).status_code == 200
    await ada.post("/account/devices/sign-out-all")
    assert (await ada.get("/account")).status_code == 303
    reasons = {row["end_reason"] for row in await house.rows("SELECT end_reason FROM session")}
    assert reasons == {"signed_out_elsewhere", "signed_out"}


async def test_pages_touch_nothing_of_somebody_else(house: House) -> None:
    """Another account's device and session are 404 on every page that takes an id, and stay as they are."""
    await house.register()
    await house.register(EVE)
    eve, ada = await house.native(EVE), await Visitor(house).sign_in()
    device = (await eve.get("/v1/devices")).json()["devices"][0]["id"]
    assert (await ada.get(f"/account/devices/{device}")).status_code == 404
    assert (await ada.post(f"/account/devices/{device}", name="Mine now")).status_code == 404
    assert (await ada.post(f"/account/devices/{device}/sign-out")).status_code == 404
    assert (await ada.post(f"/account/sessions/{eve.session_id}/sign-out")).status_code == 404
    assert (await eve.get("/v1/devices")).json()["devices"][0]["name"] != "Mine now"


async def test_pages_change_the_password(house: House) -> None:
    """The new one signs in, the old one doesn't, the phone is out, and this browser stays."""
    await house.register()
    ada, phone = await Visitor(house).sign_in(), await house.native()
    refused = await ada.post("/account/password", current_password="wrong", new_password=NEW)
    assert (refused.status_code, "current password is not right" in refused.text) == (401, True)
    weak = await ada.post("/account/password", current_password=PASSWORD, new_password="short")
    assert (weak.status_code, "Use 15 characters or more" in weak.text) == (422, True)
    done = await ada.post("/account/password", current_password=PASSWORD, new_password=NEW)
    assert (done.status_code, done.headers["location"]) == (303, "/account/profile")
    assert (await ada.get("/account")).status_code == 200
    assert (await phone.get("/v1/me")).status_code == 401
    await Visitor(house).sign_in(password=NEW)


async def test_pages_name_the_account(house: House) -> None:
    """A name is saved, and an empty field removes it."""
    await house.register(name="Ada")
    ada = await Visitor(house).sign_in()
    await ada.post("/account/profile", name="Countess <b>")
    assert "Hello, Countess &lt;b&gt;" in (await ada.get("/account")).text
    await ada.post("/account/profile", name="")
    assert [row["name"] for row in await house.rows("SELECT name FROM account")] == [None]
    assert (await ada.post("/account/profile", name="\u202e")).status_code == 422


async def test_export_holds_everything_of_the_caller_and_nothing_of_others(house: House, clock: MovableClock) -> None:
    """One file of a fixed name, after a fresh proof, on the page and at the API; audited; no secret in it."""
    await house.register(name="Ada")
    eve = await house.register(EVE)
    others = await house.native(EVE, name="Phone of somebody else")
    ada, phone = await Visitor(house).sign_in(), await house.native(name="Ada's phone")
    file = await ada.get("/account/coatcheck-export.json")
    assert file.headers["content-disposition"] == 'attachment; filename="coatcheck-export.json"'
    assert file.headers["cache-control"] == "no-store"
    told = file.json()
    assert told["account"]["email"] == ADA
    assert {one["name"] for one in told["devices"]} == {"Ada's phone", "Firefox on Linux"}
    assert {"session.started", "account.registered"} <= {one["kind"] for one in told["activity"]}
    assert told["activity_complete"] is True
    # Whole values, as three letters of a name may stand in any random id.
    device = (await others.get("/v1/devices")).json()["devices"][0]["id"]
    for of_others in (EVE, eve["id"], others.session_id, device, "Phone of somebody else"):
        assert of_others not in file.text
    for secret in (phone.refresh_token, phone.device_token, phone.access_token, ada.http.cookies[SESSION]):
        assert secret not in file.text
    assert "argon2" not in file.text
    assert (await phone.get("/v1/me/export")).json()["account"] == told["account"]
    assert len(await house.audit("account.exported")) == 2
    clock.move(301)
    assert (await phone.get("/v1/me/export")).json()["code"] == "reauthentication_required"
    assert (await ada.get("/account/coatcheck-export.json")).status_code == 303
    assert (await ada.get("/account/export")).headers["location"] == "/account/step-up?next=%2Faccount%2Fexport"


async def test_pages_show_activity_in_pages(house: House) -> None:
    """Twenty events a page, each once, and a way to the earlier ones."""
    await house.register()
    for _ in range(11):
        client = await house.native()
        await client.call("DELETE", "/v1/sessions/current")
    ada = await Visitor(house).sign_in()
    first = (await ada.get("/account/activity")).text
    assert (first.count("<li>"), "Show earlier" in first) == (20, True)
    link = first.split("/account/activity?after=")[1].split('"')[0]
    second = (await ada.get(f"/account/activity?after={link}")).text
    assert (second.count("<li>"), "You made this account" in second) == (4, True)
    assert (await ada.get("/account/activity?after=x")).status_code == 422


async def test_pages_show_what_others_wrote_as_text(house: House) -> None:
    """HTML in a name, a device's name and a User-Agent is shown, never run."""
    evil = "<img src=x onerror=alert(1)>"
    await house.register(name=evil)
    await house.native(name=evil)
    ada = await Visitor(house, user_agent=f"Mozilla/5.0 {evil}").sign_in()
    for path in ("/account", "/account/devices", "/account/activity", "/account/profile"):
        text = (await ada.get(path)).text
        assert "<img" not in text, path
        assert "&lt;img src=x" in text, path


async def test_export_is_limited_per_account(house: House, clock: MovableClock) -> None:
    """Five copies an hour, of the page and the API together; others have their own five."""
    await house.register()
    await house.register(EVE)
    ada, phone = await Visitor(house).sign_in(), await house.native()
    for _ in range(2):
        assert (await ada.get("/account/coatcheck-export.json")).status_code == 200
    for _ in range(3):
        assert (await phone.get("/v1/me/export")).status_code == 200
    refused = await phone.get("/v1/me/export")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 0 < int(refused.headers["retry-after"]) <= 3_600
    assert (await ada.get("/account/coatcheck-export.json")).status_code == 429
    assert len(await house.audit("account.exported")) == 5
    assert (await (await house.native(EVE)).get("/v1/me/export")).status_code == 200
    clock.move(3_600)
    await phone.refresh()
    await phone.prove()
    assert (await phone.get("/v1/me/export")).status_code == 200


async def test_export_lets_others_in_between(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events are read a few at a time, each once; others are answered while a copy is under way."""
    await house.register()
    phone = await house.native()
    for _ in range(3):
        await house.native()
    monkeypatch.setattr(export, "_AT_ONCE", 2)
    monkeypatch.setattr(export, "_MOST_EVENTS", 4)
    reached, go_on = asyncio.Event(), asyncio.Event()
    read: list[int] = []
    plain = audit.of_account

    async def slow(db: AsyncSession, account_id: bytes, before: int | None, limit: int) -> list[AuditEvent]:
        found = await plain(db, account_id, before, limit)
        read.append(len(found))
        if len(read) == 2:
            reached.set()
            await go_on.wait()
        return found

    monkeypatch.setattr(audit, "of_account", slow)
    copying = asyncio.create_task(phone.get("/v1/me/export"))
    await reached.wait()
    assert (await phone.get("/v1/me")).status_code == 200
    go_on.set()
    told = (await copying).json()
    assert max(read) <= 2
    newest = (await house.rows("SELECT id FROM audit_event ORDER BY id DESC"))[:4]
    assert [one["id"] for one in told["activity"]] == [str(row["id"]) for row in newest]
    assert told["activity_complete"] is False
