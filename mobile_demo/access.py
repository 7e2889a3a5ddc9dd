"""An access token with the moment from which it is better not used any more. Lives in memory only."""

from dataclasses import dataclass, field
from typing import Any

_EARLY = 30.0  # seconds before its end a token counts as used up, or a tenth of a short life


@dataclass(frozen=True, eq=False)
class Access:
    """`until` in seconds of the boot clock: the date doesn't matter, so it may be wrong or change."""

    text: str = field(repr=False)
    until: float


def granted(answer: dict[str, Any], asked_at: float) -> Access:
    """From a grant. Its life counts from before the question was sent: never longer than the server's own view."""
    lifetime = float(answer.get("expires_in") or 0)
    return Access(answer["access_token"], asked_at + lifetime - min(_EARLY, lifetime / 10))
