"""Where a request came from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """The true client address (behind TRUSTED_PROXIES), and what the client calls itself."""

    ip: str
    user_agent: str
