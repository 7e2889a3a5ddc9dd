"""What ANOTHER service imports to check Coatcheck's access tokens: locally, and with remote logout (docs/verifier.md).

    verifier = Verifier(issuer="https://accounts.example.com", audience="https://api.example.com")
    async with verifier:  # or, without asyncio: with verifier
        claims = verifier.check(token)

Needs pyjwt[crypto] and httpx2 (`coatcheck[verifier]`); imports no database, no Redis, no web framework, nothing of the
server. `check` does no I/O: beside the requests, keys and ended sessions are fetched from the issuer and kept.
"""

from .refusals import (
    KeysUnknown,
    NoCredential,
    Refused,
    RevocationsStale,
    SessionRevoked,
    TokenExpired,
    TokenInvalid,
)
from .tokens import Claims
from .verifier import Verifier

__all__ = [
    "Claims",
    "KeysUnknown",
    "NoCredential",
    "Refused",
    "RevocationsStale",
    "SessionRevoked",
    "TokenExpired",
    "TokenInvalid",
    "Verifier",
]
