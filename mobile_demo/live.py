"""While the app is in front: follow the server's events, so that a sign-out elsewhere shows at once.

Opening the stream is also the check on resume, the way back from "offline", and the moment to pay owed sign-outs.
Nothing here is needed for correctness: without the stream, the next call finds out.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from .refusals import Ended, NotSignedIn, Refused, Superseded, Unreachable
from .session import Session

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds between attempts, doubled each time
_LASTING = 10.0  # seconds after which a stream counts as having worked


class Live:
    """`tell` hears each event's kind and data, and `resumed` whenever the stream is open (again)."""

    def __init__(self, session: Session, tell: Callable[[str, dict[str, Any]], None]) -> None:
        self._session, self._tell = session, tell
        self._task: asyncio.Task[None] | None = None
        self._wait = _FIRST_WAIT

    def start(self) -> None:
        """Begin anew, at once: the app came to the front, somebody signed in or out, or asked to try again."""
        self.stop()
        self._wait = _FIRST_WAIT
        self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """The app goes to the background, or ends."""
        if self._task:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        while True:
            owes = not await self._session.pay_owed()
            began = asyncio.get_running_loop().time()
            retry_after = 0.0
            try:
                await self._follow()
            except (NotSignedIn, Ended):
                if not owes:
                    return
            except Superseded:
                continue
            except Unreachable as unreachable:
                self._session.reached(False)
                retry_after = unreachable.retry_after or 0.0
            except (Refused, OSError):
                pass  # a full device, too many streams: later
            if asyncio.get_running_loop().time() - began > _LASTING:
                self._wait = _FIRST_WAIT
            await asyncio.sleep(max(self._longer(), retry_after))

    async def _follow(self) -> None:
        signed_in = self._session.signed_in

        def tell(kind: str, data: dict[str, Any]) -> None:
            if signed_in:
                self._take_in(signed_in.session_id, kind, data)

        await self._session.with_access(lambda bearer: self._session.wire.listen(bearer, self._opened, tell))

    def _opened(self) -> None:
        self._session.reached(True)
        self._tell("resumed", {})

    def _take_in(self, session_id: str, kind: str, data: dict[str, Any]) -> None:
        if self._session.signed_in is None or self._session.signed_in.session_id != session_id:
            return  # the stream of an older session
        if kind == "signed_out" or (kind == "session.ended" and data.get("session_id") == session_id):
            self._session.end(session_id, Ended(data.get("reason") or "session_revoked", data.get("ended_by")))
        else:
            self._tell(kind, data)

    def _longer(self) -> float:
        wait, self._wait = self._wait, min(self._wait * 2, _LONGEST_WAIT)
        return wait * random.uniform(0.7, 1.0)  # noqa: S311  # so that not everybody comes back at once
