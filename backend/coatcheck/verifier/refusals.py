"""Why a credential is refused, with the codes and statuses of Coatcheck's own contract. Input is never echoed."""

from typing import ClassVar


class Refused(Exception):
    """A refusal. Answer it with `status`, `headers` and, as `application/problem+json`, `body`."""

    code: ClassVar[str]
    status: ClassVar[int] = 401
    detail: ClassVar[str]

    def __init__(self) -> None:
        super().__init__(self.code)

    @property
    def headers(self) -> dict[str, str]:
        """What such an answer must carry (RFC 6750 section 3, RFC 9110 section 10.2.3)."""
        if self.status == 503:
            return {"Cache-Control": "no-store", "Retry-After": "1"}
        error = "" if self.code == "unauthenticated" else ' error="invalid_token"'
        return {"Cache-Control": "no-store", "WWW-Authenticate": f"Bearer{error}"}

    @property
    def body(self) -> dict[str, str | int]:
        """RFC 9457."""
        return {
            "type": f"urn:coatcheck:problem:{self.code}",
            "title": self.detail.partition(".")[0],
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }


class NoCredential(Refused):
    """There is no bearer token in the request."""

    code, detail = "unauthenticated", "No access token was sent. Send it as Authorization: Bearer."


class TokenInvalid(Refused):
    """Not a token of this issuer for this audience."""

    code, detail = "token_invalid", "This access token is not one for us. Refresh once; if that fails it is a bug."


class TokenExpired(Refused):
    """A genuine token that has run out."""

    code, detail = "token_expired", "The access token has run out. Refresh, then repeat the request once."


class SessionRevoked(Refused):
    """A genuine token of a session that has been signed out."""

    code, detail = "session_revoked", "This session has been signed out. Sign in again."


class RevocationsStale(Refused):
    """The token is good, but for longer than `max_staleness` nobody has told us which sessions have ended."""

    code, status = "unavailable", 503
    detail = "Sign-outs can't be checked at the moment. You're still signed in; try again shortly."


class KeysUnknown(Refused):
    """The issuer's keys have not been fetched, or are just being fetched because of this token's key."""

    code, status = "unavailable", 503
    detail = "Access tokens can't be checked at the moment. You're still signed in; try again shortly."
