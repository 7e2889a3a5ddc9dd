"""What a soak leaves behind: each call with its answer, the faults, and what the server wrote down. Pure data.

All moments are seconds since the soak began, by one monotonic clock; the server's own are moved onto it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal

Act = Literal[
    "sign_in",
    "refresh",
    "use",
    "sign_out",
    "sign_out_session",
    "sign_out_device",
    "sign_out_others",
    "sign_out_all",
    "change_password",
]
# Of a call without an answer: the client hung up on purpose, the connection broke, or patience was at its end.
Silence = Literal["hung up", "broken", "silent"]


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: of a refusal its `code`, and `waits` for a Retry-After; else the credential that was handed out."""

    status: int
    code: str = ""
    waits: bool = False
    session: str = ""
    token: str = ""
    generation: int = -1

    @property
    def granted(self) -> bool:
        """Not refused."""
        return self.status < 400


@dataclass(frozen=True, slots=True)
class Call:
    """A request of one client to one worker; `session` and `generation` of the credential it showed."""

    client: int
    account: str
    act: Act
    worker: int
    began: float
    ended: float
    told: Told | Silence
    session: str = ""
    generation: int = -1
    target: str = ""  # the session or device that shall be signed out

    @property
    def answer(self) -> Told | None:
        """None when there was none."""
        return self.told if isinstance(self.told, Told) else None

    @property
    def granted(self) -> bool:
        """Answered, and not refused."""
        return isinstance(self.told, Told) and self.told.granted


@dataclass(frozen=True, slots=True)
class Row:
    """A session's row at the end. While it lives `ended` is infinite; `reused_generation` is that of a replay."""

    session: str
    account: str
    device: str
    door: str
    generation: int
    created: float
    ended: float = inf
    reason: str = ""
    reused_generation: int = -1

    @property
    def lives(self) -> bool:
        """It has not ended."""
        return self.ended == inf


@dataclass(frozen=True, slots=True)
class Event:
    """What the audit log says of a session; `reason` of an ending."""

    kind: str
    session: str
    at: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done to a server, from when to when; `worker` where it was one. `machine`: it had no turn to spare."""

    kind: str
    began: float
    ended: float
    worker: int | None = None


@dataclass
class Evidence:
    """All of it."""

    race_window: float
    calls: Sequence[Call] = field(default_factory=list)
    rows: Sequence[Row] = field(default_factory=list)
    events: Sequence[Event] = field(default_factory=list)
    faults: Sequence[Fault] = field(default_factory=list)
