"""Workers die, at any moment and at the worst ones, or stand still: who asks again is right, nothing is half done."""

import asyncio
from functools import partial

import pytest

from tests.faults.guests import Guest, visited
from tests.faults.street import Street, until
from tests.load import asking

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

DEVICE = "Ada's phone"


async def lost(asked: object) -> None:
    """A question that got no answer: the worker is gone."""
    with pytest.raises(OSError):  # noqa: PT011  # however the connection broke
        await asked  # type: ignore[misc]


async def test_worker_killed_takes_nobody_along(street: Street) -> None:
    """kill -9 of one of three while guests live on: they go on at the others, and at it when it is back."""
    async with visited(street) as crowd:
        going_on = asyncio.create_task(crowd.go_on(3.0))
        await asyncio.sleep(0.7)
        street.workers[1].kill()
        await asyncio.sleep(0.7)
        await asyncio.to_thread(street.workers[1].restart)
        await going_on
        await crowd.sign_out_one()


async def test_worker_that_stood_still_believes_nobody_who_left_meanwhile(street: Street) -> None:
    """SIGSTOP for some seconds: the first answer after waking knows of the logout that it slept through."""
    async with visited(street) as crowd:
        sleeper, *others = street.workers
        guests = [guest for guest in crowd.staying if guest.door in ("native", "web")][:4]
        for guest in guests:
            assert (await guest.look(sleeper)).status == 200  # remembered there
        sleeper.pause()
        await asyncio.sleep(1.2)  # longer than a feed may be silent and still be believed
        at = others[0].asker()
        assert crowd.by
        for guest in guests:
            await asking.sign_out(at, crowd.by, guest.visitor)
        at.close()
        asked = [asyncio.create_task(guest.look(sleeper)) for guest in guests]
        await asyncio.sleep(0.3)
        sleeper.resume()
        for note in await asyncio.gather(*asked):
            assert note.code == "session_revoked", note
        for guest in guests:
            guest.notes.clear()  # waiting for who sleeps is no slow answer
            crowd.staying.remove(guest)
            crowd.gone.append(guest)


@pytest.mark.parametrize("door", ["native", "spa"])
@pytest.mark.parametrize("point", ["refresh-before", "refresh-committed"])
async def test_refresh_of_a_dying_worker_is_one_rotation(street: Street, point: str, door: str) -> None:
    """Killed before the statement or after its commit: asked again elsewhere, the guest has the one successor."""
    doomed, *others = street.workers
    await asyncio.to_thread(doomed.restart, point)
    at = others[0].asker()
    await asking.register(at)
    guest = Guest(await asking.sign_in(at, door))
    at.close()
    assert (await guest.renew(doomed)).status == 0
    doomed.live.process.wait(10) if doomed.live else None
    held = {"refresh-before": 0, "refresh-committed": 1}[point]
    assert await street.rows("SELECT generation FROM session") == [{"generation": held}]
    answers = await asyncio.gather(*(Guest(guest.visitor).renew(other) for other in others * 3))
    assert {note.status for note in answers} == {200}
    assert (await guest.renew(others[1])).status == 200
    assert await street.rows("SELECT generation, ended_at FROM session") == [{"generation": 1, "ended_at": None}]
    for other in others:
        assert (await guest.look(other)).status == 200
        assert (await guest.renew(other)).status == 200
    assert await street.rows("SELECT generation, ended_at FROM session") == [{"generation": 3, "ended_at": None}]


@pytest.mark.parametrize("point", ["login-uncommitted", "login-committed", "login-told"])
async def test_login_at_a_dying_worker_leaves_one_session(street: Street, point: str) -> None:
    """Killed before the commit, after it, or just before the answer: signed in again, the device has one session."""
    doomed, *others = street.workers
    await asyncio.to_thread(doomed.restart, point)
    at, dying = others[0].asker(), doomed.asker()
    await asking.register(at)
    first = await asking.sign_in(at, device=DEVICE)
    await lost(asking.sign_in(dying, device=DEVICE, device_token=first.device_token))
    living = "SELECT encode(id, 'hex') AS id FROM session WHERE ended_at IS NULL"
    assert len(await street.rows(living)) == 1
    again = await asking.sign_in(at, device=DEVICE, device_token=first.device_token)
    assert len(await street.rows(living)) == 1
    assert len(await street.rows("SELECT id FROM device")) == 1
    for other in others:
        asker = other.asker()
        # Who ended it may have died before telling: 3 s is what is promised then, and this machine may be busy.
        await until(partial(first.is_refused, asker), "the session before is refused", 10)
        assert not await again.is_refused(asker)
        assert not await first.renews(asker)
        asker.close()
    ended = await street.rows("SELECT DISTINCT end_reason FROM session WHERE ended_at IS NOT NULL")
    assert ended == [{"end_reason": "replaced"}]
    at.close()


@pytest.mark.parametrize("point", ["logout-uncommitted", "logout-committed", "logout-told"])
async def test_remote_logout_of_a_dying_worker_can_be_repeated(street: Street, point: str) -> None:
    """Killed before the commit, after it, or just before the answer: asked again it is done, everywhere, once."""
    doomed, *others = street.workers
    await asyncio.to_thread(doomed.restart, point)
    at, dying = others[0].asker(), doomed.asker()
    await asking.register(at)
    laptop = await asking.sign_in(at)
    guests = [Guest(await asking.sign_in(at, door)) for door in ("native", "spa", "web")]
    for other in others:
        for guest in guests:
            assert (await guest.look(other)).status == 200
    await lost(asking.sign_out(dying, laptop, guests[0].visitor))
    for guest in guests:
        await asking.sign_out(at, laptop, guest.visitor)
        for other in others:
            # The answer means what it says, also for what the dead one had committed: in milliseconds, not by a sweep.
            await until(partial(guest.is_refused, other), "refused everywhere", 0.4)
            assert (await guest.renew(other)).code == "session_revoked"
    ended = await street.rows("SELECT end_reason FROM session WHERE ended_at IS NOT NULL")
    assert ended == [{"end_reason": "signed_out_elsewhere"}] * 3
    told = await street.rows(
        "SELECT session_id FROM audit_event JOIN session ON session.id = session_id WHERE kind = 'session.ended'"
    )
    assert len(told) == len({row["session_id"] for row in told}) == 3
    at.close()
