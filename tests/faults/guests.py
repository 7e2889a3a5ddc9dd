"""Guests: clients of the three doors, as good ones are. They keep their credentials, ask again when nobody answers, and
end their session on an explicit code only. Each notes every answer, so that one check fits every fault.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from coatcheck import ids
from tests.faults.street import Place, Street, until
from tests.load import asking
from tests.load.asking import Visitor
from tests.load.traffic import Answer

DOORS = ("native", "spa", "web")
SLOWEST = 2.0  # seconds for any answer, whatever is broken (issue 7)
_ENDING = {"session_expired", "session_revoked", "token_reused"}


@dataclass(frozen=True, slots=True)
class Note:
    """One question: when, for how many seconds, and what came of it. Status 0: no answer at all."""

    what: str
    worker: int
    at: float
    took: float
    status: int
    code: str = ""
    has_wait: bool = False


@dataclass
class Guest:
    """Somebody with one session."""

    visitor: Visitor
    notes: list[Note] = field(default_factory=list)
    signed_out: str = ""  # by which code

    @property
    def door(self) -> str:
        return self.visitor.door

    @property
    def renewals(self) -> tuple[int, bool]:
        """How many were answered; and whether one since then was not, which may have been done or not."""
        asked = [note.status for note in self.notes if note.what == "renew"]
        answered = [number for number, status in enumerate(asked, 1) if status == 200]
        since = asked[answered[-1] :] if answered else asked
        return len(answered), bool({0, 503} & set(since))

    async def look(self, at: Place) -> Note:
        """An authenticated request."""
        return (await self._ask(at, "look", "GET", "/v1/sessions/current"))[0]

    async def read(self, at: Place) -> Note:
        """One that needs the database."""
        return (await self._ask(at, "read", "GET", "/v1/me"))[0]

    async def renew(self, at: Place) -> Note:
        """Rotate, and go on with what was handed out. The web door has nothing to renew: its page is asked for."""
        if self.door == "web":
            return (await self._ask(at, "renew", "GET", "/v1/web/session"))[0]
        note, answer = await self._ask(at, "renew", *self.visitor.renewal_request())
        if answer and note.status == 200:
            self.visitor = self.visitor.renewed(answer)
        return note

    async def is_refused(self, at: Place) -> bool:
        """Whether this worker knows that the session has ended."""
        return (await self.look(at)).code == "session_revoked"

    async def stay(self, workers: Sequence[Place], over: asyncio.Event) -> None:
        """Live on, at any worker, until it is over."""
        while not over.is_set() and not self.signed_out:
            act = random.choice((self.look, self.look, self.read, self.renew))
            await act(random.choice(workers))
            await asyncio.sleep(random.uniform(0.01, 0.05))

    async def _ask(
        self, at: Place, what: str, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> tuple[Note, Answer | None]:
        asker, began = at.asker(), time.monotonic()
        headers = dict(self.visitor.renewal_headers() if what == "renew" else self.visitor.credential)
        try:
            answer = await asker.ask(method, path, headers, body, kind)
        except OSError:
            answer = None
        finally:
            asker.close()
        note = _noted(what, at.number, began, answer)
        self.notes.append(note)
        if note.code in _ENDING:
            self.signed_out = note.code
        return note, answer


def _noted(what: str, worker: int, began: float, answer: Answer | None) -> Note:
    took = time.monotonic() - began
    if answer is None:
        return Note(what, worker, began, took, 0)
    code = ""
    if answer.status >= 400:
        code = json.loads(answer.body).get("code", "")
    return Note(what, worker, began, took, answer.status, code, answer.header("retry-after") is not None)


@dataclass
class Crowd:
    """Guests who stay, and guests who have been signed out: what has to hold for both, whatever happens."""

    street: Street
    staying: list[Guest]
    gone: list[Guest] = field(default_factory=list)
    by: Visitor | None = None
    stood_still: float = 0.0  # the longest this process itself was kept waiting, in seconds

    async def sign_out_one(self, door: str | None = None) -> float:
        """Remote logout of one guest, asked for until it is answered; seconds from the answer until all refuse."""
        guest = next(one for one in self.staying if door in (None, one.door))
        self.staying.remove(guest)
        guest.signed_out = "by another device"
        assert self.by
        await until(partial(self._said, guest), "a remote logout is answered")
        self.gone.append(guest)
        began = time.monotonic()
        for worker in self.street.workers:
            await until(partial(guest.is_refused, worker), "a remote logout bites", 10)
        return time.monotonic() - began

    async def _said(self, guest: Guest) -> bool:
        at = random.choice(self.street.workers).asker()
        try:
            answer = await at.ask("DELETE", f"/v1/sessions/{guest.visitor.session_id}", self.by.credential)  # type: ignore[union-attr]
        except OSError:
            return False
        finally:
            at.close()
        assert answer.status in (204, 503), answer
        return answer.status == 204

    async def go_on(self, seconds: float) -> None:
        """Everybody lives on for so long, and who is gone tries to come back."""
        over = asyncio.Event()
        staying = [asyncio.create_task(guest.stay(self.street.workers, over)) for guest in self.staying]
        staying.append(asyncio.create_task(self._knock(over)))
        await asyncio.sleep(seconds)
        over.set()
        await asyncio.gather(*staying)

    async def _knock(self, over: asyncio.Event) -> None:
        while not over.is_set():
            for guest in self.gone:
                for act in (guest.look, guest.renew):
                    note = await act(random.choice(self.street.workers))
                    assert note.status not in (200, 204), f"revived: {note}"
            await asyncio.sleep(0.05)

    async def feel(self) -> None:
        """Notice when this machine stands still, until cancelled."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.05)
            self.stood_still = max(self.stood_still, time.monotonic() - began - 0.05)

    async def check(self) -> None:
        """After the fault: well without help, nobody signed out by it, nobody revived, and no answer was wrong."""
        await self.street.well()
        for guest in self.staying:
            assert not guest.signed_out, f"{guest.door} was signed out: {guest.signed_out}, {guest.notes[-1]}"
            for worker in self.street.workers:
                assert (await guest.renew(worker)).status == 200, guest.notes[-1]
                assert (await guest.look(worker)).status == 200, guest.notes[-1]
        for guest in self.gone:
            for worker in self.street.workers:
                assert (await guest.look(worker)).code == "session_revoked", guest.notes[-1]
                assert (await guest.renew(worker)).code == "session_revoked", guest.notes[-1]
        for guest in [*self.staying, *self.gone]:
            for note in guest.notes:
                self._judge(note)
        await self._each_answer_was_one_rotation()
        await self._nobody_else_has_ended()

    def _judge(self, note: Note) -> None:
        if note.status == 0:
            asked = [worker for worker in self.street.workers if worker.number == note.worker]
            assert all(worker.was_away(note.at, note.at + note.took) for worker in asked), f"no reason for this: {note}"
            return
        assert note.status < 500 or note.status == 503, note
        assert note.status != 503 or note.has_wait, f"no Retry-After: {note}"
        # What this machine itself stood still for is nobody's fault.
        assert note.took < SLOWEST + 2 * self.stood_still, (note, self.stood_still)

    async def _each_answer_was_one_rotation(self) -> None:
        """Lost answers too: who asked again was given what the lost call had done, or it had done nothing."""
        rows = await self.street.rows("SELECT id, generation FROM session")
        generations = {row["id"]: row["generation"] for row in rows}
        for guest in [*self.staying, *self.gone]:
            if guest.door != "web":
                answered, unknown = guest.renewals
                generation = generations[ids.raw("ses", guest.visitor.session_id)]
                assert answered <= generation <= answered + unknown, (generation, guest.notes)

    async def _nobody_else_has_ended(self) -> None:
        ended = await self.street.rows("SELECT id, end_reason FROM session WHERE ended_at IS NOT NULL")
        assert [row["end_reason"] for row in ended] == ["signed_out_elsewhere"] * len(self.gone)
        told = await self.street.rows(
            "SELECT session_id FROM audit_event JOIN session ON session.id = session_id WHERE kind = 'session.ended'"
        )
        assert sorted(row["session_id"] for row in told) == sorted(row["id"] for row in ended), "once each"


@asynccontextmanager
async def visited(street: Street, each: int = 3) -> AsyncIterator[Crowd]:
    """So many guests of each door, one of each signed out before; checked when the block ends."""
    at = street.workers[0].asker()
    await asking.register(at)
    crowd = Crowd(street, [Guest(await asking.sign_in(at, door)) for door in DOORS for _ in range(each + 1)])
    crowd.by = await asking.sign_in(at)
    at.close()
    feeling = asyncio.create_task(crowd.feel())
    try:
        for door in DOORS:
            await crowd.sign_out_one(door)
        yield crowd
        await crowd.check()
    finally:
        feeling.cancel()
