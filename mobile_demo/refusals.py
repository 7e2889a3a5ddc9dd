"""The ways a call can fail, from the point of view of somebody who holds a session.

Only `Ended` means that the session is over. Everything else keeps it: fails open towards "still signed in".
"""

from dataclasses import dataclass, field
from typing import Any

# The contract's three codes. Nothing else ends a local session.
ENDING = frozenset({"session_expired", "session_revoked", "token_reused"})


class Unreachable(Exception):
    """No usable answer: offline, a proxy's 404, 429, 5xx, a timeout. `retry_after` in seconds, if the server said."""

    def __init__(self, retry_after: float | None = None) -> None:
        super().__init__("the server can't be reached")
        self.retry_after = retry_after


class Untrusted(Unreachable):
    """Somebody answered, but can't prove to be the server (TLS)."""


@dataclass
class Refused(Exception):
    """The server understood and said no. `errors` maps a field to a sentence about it."""

    code: str
    status: int
    errors: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None

    def __str__(self) -> str:
        return self.code


@dataclass
class Unfinished(Refused):
    """All is right so far, and the sign-in needs more. The token lives as long as the screen that asks."""

    challenge_token: str = ""

    def __str__(self) -> str:
        return self.code


@dataclass
class SecondStep(Unfinished):
    """The password is right, and the account asks for one of `methods` too."""

    methods: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.code


@dataclass
class NoRoom(Unfinished):
    """All is proved, and the account is signed in on as many devices as it may be: one of `devices` gives way."""

    devices: list[dict[str, Any]] = field(default_factory=list)

    def __str__(self) -> str:
        return self.code

    def held(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Each living session with its device, the one unused for longest first."""
        living = [
            (device, session) for device in self.devices for session in device["sessions"] if not session["ended_at"]
        ]
        return sorted(living, key=lambda one: str(one[1]["last_seen_at"]))


@dataclass
class Ended(Exception):
    """This session is over. `reason` is the contract's `end_reason`, or the code when no reason came with it."""

    reason: str
    ended_by: str | None = None

    def __str__(self) -> str:
        return self.reason


class Superseded(Exception):
    """The answer belongs to a session that is no longer the local one: drop it, say nothing."""


class NotSignedIn(Exception):
    """There is no session to make this call with."""
