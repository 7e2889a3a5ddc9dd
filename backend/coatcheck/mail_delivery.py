"""The postman: carries posted mails to the mail server, beside the requests and never inside one.

A mail is claimed by one conditional statement that also says when it is due again, so one worker at a time has it, and
one that dies with it loses nothing. It is deleted once the server has taken it. Whoever dies between those two sends it
twice, under the same Message-ID: at least once, and no more often than that. A server that is away is asked again
after 10 s, 20 s, ... up to an hour; after a day the mail is given up, and the audit log says so.
Without SMTP_URL mails become files in DATA_DIR/outbox, and the log says where.
"""

import asyncio
import os
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTPUTF8

import structlog

from . import audit, background, mail, smtp
from .clock import MINUTE, SECOND, Clock
from .db import Database, Row
from .mail import Letter
from .secrets import CannotUnwrap, RootSecrets
from .settings import Settings
from .tables import OutgoingMail

LOOK_EVERY = 1.0  # seconds
KEEP = 24 * 60 * MINUTE  # then a mail is given up
_CLAIMED = 2 * MINUTE  # longer than any try takes
_FIRST_WAIT, _LONGEST_WAIT = 10 * SECOND, 60 * MINUTE
_FAREWELL = 2.0  # seconds for the mail that is under way when the worker stops

_DUE = "SELECT 1 FROM outgoing_mail WHERE next_try_at <= $1 LIMIT 1"
# Two workers that pick the same row: the second one waits for the first, and then finds it no longer due.
_CLAIM = """
UPDATE outgoing_mail SET attempts = attempts + 1, next_try_at = $2
WHERE id = (SELECT id FROM outgoing_mail WHERE next_try_at <= $1 ORDER BY next_try_at LIMIT 1) AND next_try_at <= $1
RETURNING id, sealed, created_at, attempts
"""
_LATER = "UPDATE outgoing_mail SET next_try_at = $2 WHERE id = $1 RETURNING id"
_DONE = "DELETE FROM outgoing_mail WHERE id = $1 RETURNING id"

log = structlog.get_logger()


class Postman:
    """One worker's. `deliver` may also be called from outside; it takes turns with the one that runs by itself."""

    def __init__(self, settings: Settings, clock: Clock, db: Database, roots: RootSecrets) -> None:
        self._settings, self._clock, self._db, self._roots = settings, clock, db, roots
        self._turn = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look once a second from now on."""
        self._task = asyncio.create_task(self._deliver_forever())

    async def stop(self) -> None:
        """Let the mail that is under way arrive, if it takes no time, and stop."""
        self._stopping.set()
        if self._task:
            await asyncio.wait({self._task}, timeout=_FAREWELL)
            await background.stop(self._task)

    async def deliver(self) -> None:
        """Deliver what is due, one by one, until none is left or the mail server is away. Raises Unavailable."""
        async with self._turn:
            while not self._stopping.is_set() and await self._db.hot.fetch_one(_DUE, self._clock.now()):
                now = self._clock.now()
                row = await self._db.hot.fetch_one(_CLAIM, now, now + _CLAIMED)
                if row is None or not await self._carried(row):
                    return

    async def _carried(self, row: Row) -> bool:
        """Try once. False when trying the next one now would be in vain."""
        letter = None
        try:
            letter = mail.opened(self._roots, row["id"], row["sealed"])
            message = mail.compose(self._settings, letter, row["created_at"])
            if letter.to is not None:
                await self._hand_over(message, row)
        except (CannotUnwrap, smtp.Refused) as error:
            await self._give_up(row, letter, type(error).__name__)
            return True
        except Exception as error:  # noqa: BLE001  # a full disk, a template that is wrong: the others must go out
            log.warning("mail.not_delivered", attempts=row["attempts"], error=f"{type(error).__name__}: {error}"[:200])
            await self._put_off(row, letter)
            return not isinstance(error, smtp.NotNow)
        await self._db.hot.fetch_one(_DONE, row["id"])
        return True

    async def _hand_over(self, message: EmailMessage, row: Row) -> None:
        if self._settings.smtp_url:
            await smtp.send(self._settings, message)
        else:
            name = f"{row['created_at']}-{row['id'].hex()}.eml"
            path = await asyncio.to_thread(_write, self._settings, name, message.as_bytes(policy=SMTPUTF8))
            log.info("mail.in_outbox", path=path)

    async def _put_off(self, row: Row, letter: Letter | None) -> None:
        now = self._clock.now()
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(row["attempts"] - 1, 20))
        if now + wait > row["created_at"] + KEEP:
            await self._give_up(row, letter, "undelivered for a day")
        else:
            await self._db.hot.fetch_one(_LATER, row["id"], now + wait)

    async def _give_up(self, row: Row, letter: Letter | None, why: str) -> None:
        async with self._db.writing() as db:
            if found := await db.get(OutgoingMail, row["id"]):
                await db.delete(found)
                who = letter.account_id if letter else None
                template = letter.template if letter else None
                audit.record(db, self._clock.now(), "mail.given_up", account_id=who, template=template, why=why)
                await db.commit()

    async def _deliver_forever(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.deliver()
            except Exception as error:  # noqa: BLE001  # whatever it is, the next look must come
                log.warning("mail.delivery_failed", error=background.reason(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), LOOK_EVERY)


def _write(settings: Settings, name: str, message: bytes) -> str:
    """A file that only its owner can read; whole before it has its name."""
    folder = settings.data_dir / "outbox"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path, fresh = folder / name, folder / f"{name}.part"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123  # by mode
        file.write(message)
    fresh.replace(path)
    return str(path)
