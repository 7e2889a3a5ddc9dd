"""Answers that get lost and commits that never arrive, at each door: whoever asks again goes on, and nothing stays that
harms."""

import asyncio
import json
from functools import partial
from typing import Literal

import pytest

from coatcheck import ids
from tests import waiting
from tests.faults.conftest import Lines
from tests.faults.guests import DOORS
from tests.faults.soak_doors import Keys, cookie, handed_out, signing_in
from tests.faults.street import Place, Street, until
from tests.house import PASSWORD
from tests.load import asking
from tests.load.asking import EMAIL
from tests.load.traffic import Answer

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

# The commit never arrives; it does, and its answer is lost on the way to the worker, or to the client; or of that
# answer only the head arrives, and with it the cookies.
How = Literal["undone", "unheard", "unanswered", "torn"]
HOW: tuple[How, ...] = ("undone", "unheard", "unanswered", "torn")
AT_ONCE = 0.4  # seconds, of a machine at rest: told by the feed, not found by a sweep


def answer_in(received: bytes) -> Answer | None:
    """What arrived before the connection ended; None: nothing."""
    head, end, body = received.partition(b"\r\n\r\n")
    return Answer(int(head[9:12]), head, body) if end else None


async def ask(at: int, request: bytes) -> Answer | None:
    """Ask on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at)
    try:
        writer.write(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        return answer_in(await asyncio.wait_for(reader.read(), asking.PATIENCE))
    except ConnectionResetError:
        return None
    finally:
        writer.close()


async def ask_in_vain(lines: Lines, how: How, request: bytes, statement: bytes, of: bytes = b"") -> Answer | None:
    """Ask the first worker while the line breaks at the worst moment; a 503 says when to come back, and takes nothing
    away."""
    line = request.partition(b" HTTP/")[0]
    if how in ("undone", "unheard"):
        lines.database.break_at(statement, "nothing" if how == "undone" else "question", of)
    else:
        lines.worker.break_at(line, "question" if how == "unanswered" else "head")
    answer = await ask(lines.worker.port, request)
    if how in ("undone", "unheard"):
        assert answer, "no answer"
        assert (answer.status, answer.header("set-cookie")) == (503, None)
        assert answer.header("retry-after")
    else:
        assert (answer is not None, answer.body if answer else b"") == (how == "torn", b"")
    await lines.street.well()
    return answer


async def signed_in(at: Place, door: str, device: str = "") -> tuple[Keys, str]:
    """Ada's keys, and her device's secret."""
    answer = await ask(at.port, signing_in(door, EMAIL, PASSWORD, device))
    assert answer, "no answer"
    keys = handed_out(door, answer)
    assert keys, answer
    return keys, json.loads(answer.body).get("device_token", "") or cookie(answer, "device")


async def told(at: Place, keys: Keys) -> str:
    """What a worker says to these keys: nothing against them, or why not."""
    answer = await ask(at.port, keys.request("GET", "/v1/sessions/current"))
    assert answer
    return "" if answer.status == 200 else str(json.loads(answer.body)["code"])


async def revoked(at: Place, keys: Keys) -> bool:
    return await told(at, keys) == "session_revoked"


async def endings(street: Street) -> list[tuple[str, str | None]]:
    """Each session's door, and why it has ended."""
    rows = await street.rows("SELECT door, end_reason FROM session ORDER BY created_at")
    return [(row["door"], row["end_reason"]) for row in rows]


def raw(keys: Keys) -> bytes:
    """The session's id as the database has it."""
    found = ids.raw("ses", keys.session)
    assert found
    return found


async def newcomer(street: Street) -> Keys:
    """Ada has an account, and a phone whose session nothing may touch."""
    await asking.register(street.workers[1].asker())
    return (await signed_in(street.workers[1], "native"))[0]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("door", ["native", "spa"])
async def test_refresh_whose_answer_was_lost_is_repeated(lines: Lines, door: str, how: How) -> None:
    """Whoever asks again, at any worker, with what she holds by then, gets the one successor, and is not signed out."""
    phone = await newcomer(lines.street)
    keys, _ = await signed_in(lines.street.workers[0], door)
    lost = await ask_in_vain(lines, how, keys.refreshing(), raw(keys))
    rotated = "SELECT generation FROM session WHERE id = $1"
    assert await lines.street.rows(rotated, raw(keys)) == [{"generation": int(how != "undone")}]
    held = (lost and lost.status == 200 and door == "spa" and handed_out(door, lost)) or keys
    assert held.generation == int((door, how) == ("spa", "torn")), "the head has set the new cookie"
    again = await asyncio.gather(*(ask(worker.port, held.refreshing()) for worker in lines.street.workers * 2))
    assert [answer.status for answer in again if answer] == [200] * 6
    successors = {found for answer in again if answer and (found := handed_out(door, answer))}
    assert len({one.renewal for one in successors}) == 1
    assert {one.generation for one in successors} == {held.generation + 1}
    for worker in lines.street.workers:
        assert {await told(worker, one) for one in (*successors, phone)} == {""}
    assert await endings(lines.street) == [("native", None), (door, None)]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("door", DOORS)
async def test_login_whose_answer_was_lost_leaves_one_session(lines: Lines, door: str, how: How) -> None:
    """Signed in again on the same device, it has one living session, and every other device has its own."""
    phone = await newcomer(lines.street)
    first, device = await signed_in(lines.street.workers[0], door)
    [account] = await lines.street.rows("SELECT id FROM account")
    lost = await ask_in_vain(lines, how, signing_in(door, EMAIL, PASSWORD, device), b"COMMIT", account["id"])
    if how == "undone":
        assert not await told(lines.street.workers[0], first)
    if how == "torn" and door != "native":
        assert lost
        device = cookie(lost, "device")
    again, _ = await signed_in(lines.street.workers[1], door, device)
    for worker in lines.street.workers:
        await until(partial(revoked, worker, first), "the session before is refused", 10)
        assert {await told(worker, one) for one in (again, phone)} == {""}
    replaced = [(door, "replaced")] * (1 if how == "undone" else 2)
    assert await endings(lines.street) == [("native", None), *replaced, (door, None)]
    assert len(await lines.street.rows("SELECT id FROM device")) == 2


@pytest.mark.parametrize("door", DOORS)
async def test_login_on_a_new_device_whose_answer_was_lost_can_be_taken_back(lines: Lines, door: str) -> None:
    """Nobody holds the session that is left; its owner finds it in her list, ends it, and keeps her own."""
    phone = await newcomer(lines.street)
    await ask_in_vain(lines, "unanswered", signing_in(door, EMAIL, PASSWORD, ""), b"COMMIT")
    keys, _ = await signed_in(lines.street.workers[1], door)
    assert await endings(lines.street) == [("native", None), (door, None), (door, None)]
    at = lines.street.workers[2].port
    listed = await ask(at, keys.request("GET", "/v1/devices"))
    assert listed
    [left] = [
        device["id"]
        for device in json.loads(listed.body)["devices"]
        if {session["id"] for session in device["sessions"]}.isdisjoint({keys.session, phone.session})
    ]
    answer = await ask(at, keys.request("DELETE", f"/v1/devices/{left}"))
    assert answer
    assert answer.status == 204
    assert await endings(lines.street) == [("native", None), (door, "signed_out_elsewhere"), (door, None)]
    for worker in lines.street.workers:
        assert {await told(worker, one) for one in (keys, phone)} == {""}


@pytest.mark.parametrize("how", HOW[:-1])  # a 204 is all head
@pytest.mark.parametrize("door", DOORS)
async def test_logout_whose_answer_was_lost_is_repeated(lines: Lines, door: str, how: How) -> None:
    """Asked again at another worker it is done, at each, and at once; the other devices stay."""
    phone = await newcomer(lines.street)
    keys, _ = await signed_in(lines.street.workers[2], door)
    assert {await told(worker, keys) for worker in lines.street.workers[::2]} == {""}  # remembered there
    await ask_in_vain(lines, how, keys.signing_out(), b"COMMIT", raw(keys))
    assert await endings(lines.street) == [("native", None), (door, None if how == "undone" else "signed_out")]
    again = await ask(lines.street.workers[1].port, keys.signing_out())
    assert again
    assert again.status == (200 if door == "native" else 204)
    for worker in lines.street.workers:
        await waiting.until(partial(revoked, worker, keys), AT_ONCE)
        assert not await told(worker, phone)
    assert await endings(lines.street) == [("native", None), (door, "signed_out")]


@pytest.mark.parametrize("how", HOW[:-1])
@pytest.mark.parametrize("door", DOORS)
async def test_remote_logout_whose_answer_was_lost_is_repeated(lines: Lines, door: str, how: How) -> None:
    """The same of a session that another device ends; who ends it stays."""
    phone = await newcomer(lines.street)
    keys, _ = await signed_in(lines.street.workers[2], door)
    assert {await told(worker, keys) for worker in lines.street.workers[::2]} == {""}
    remotely = phone.request("DELETE", f"/v1/sessions/{keys.session}")
    await ask_in_vain(lines, how, remotely, b"COMMIT", raw(keys))
    ended = None if how == "undone" else "signed_out_elsewhere"
    assert await endings(lines.street) == [("native", None), (door, ended)]
    again = await ask(lines.street.workers[1].port, remotely)
    assert again
    assert again.status == 204
    for worker in lines.street.workers:
        await waiting.until(partial(revoked, worker, keys), AT_ONCE)
        assert not await told(worker, phone)
    assert await endings(lines.street) == [("native", None), (door, "signed_out_elsewhere")]


@pytest.mark.parametrize("how", HOW[:-1])
async def test_web_password_change_whose_answer_was_lost_is_mended_by_signing_in(lines: Lines, how: How) -> None:
    """Undone, all is as before; else the older cookie is dead, as a thief may hold it too, and who signs in with the
    new password is in again, on the same device."""
    await newcomer(lines.street)
    keys, device = await signed_in(lines.street.workers[0], "web")
    new = "four new words together"
    change = keys.request("POST", "/v1/me/password", {"current_password": PASSWORD, "new_password": new})
    [account] = await lines.street.rows("SELECT id FROM account")
    await ask_in_vain(lines, how, change, b"COMMIT", account["id"])
    if how == "undone":
        assert {await told(worker, keys) for worker in lines.street.workers} == {""}
        assert await endings(lines.street) == [("native", None), ("web", None)]
        return
    assert await endings(lines.street) == [("native", "password_changed"), ("web", None)]
    for worker in lines.street.workers:
        await until(partial(outdated, worker, keys), "the older cookie is refused", 10)
    answer = await ask(lines.street.workers[1].port, signing_in("web", EMAIL, new, device))
    assert answer
    again = handed_out("web", answer)
    assert again, answer
    assert {await told(worker, again) for worker in lines.street.workers} == {""}
    assert await endings(lines.street) == [("native", "password_changed"), ("web", "replaced"), ("web", None)]
    assert len(await lines.street.rows("SELECT id FROM device")) == 2


async def outdated(at: Place, keys: Keys) -> bool:
    return await told(at, keys) == "token_invalid"
