"""Every refusal Coatcheck can give, on one page.

`code` and `status` are promises to clients; docs/errors.md is tested against this page.

RFC 9457 (problem details) for the members, RFC 9110 for the statuses.
"""

from typing import Any, ClassVar


class FieldError:
    """What is wrong with one field of a request; never holds the value that was sent."""

    __slots__ = ("code", "field", "message")

    def __init__(self, field: str, code: str, message: str) -> None:
        self.field, self.code, self.message = field, code, message


class Problem(Exception):
    """A refusal with a stable `code`. `detail` is a sentence for a person that says what to do next."""

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    advice: ClassVar[str]

    def __init__(
        self, detail: str | None = None, *, errors: tuple[FieldError, ...] = (), retry_after: int | None = None
    ) -> None:
        super().__init__(self.code)
        self.detail = detail or self.advice
        self.errors = errors
        self.retry_after = retry_after  # seconds


class Unauthenticated(Problem):
    code, status, title = "unauthenticated", 401, "Not signed in"
    advice = "No credential was sent. Sign in first."


class InvalidCredentials(Problem):
    code, status, title = "invalid_credentials", 401, "Sign-in failed"
    advice = "This address and password don't go together. Check both and try again."


class MfaRequired(Problem):
    """Not signed in yet: continue with `challenge_token` and one of `methods`."""

    code, status, title = "mfa_required", 401, "One more step"
    advice = "The password is right. This account also asks for a second factor."

    def __init__(self, challenge_token: str, methods: tuple[str, ...]) -> None:
        super().__init__()
        self.challenge_token, self.methods = challenge_token, methods


class ChallengeExpired(Problem):
    code, status, title = "challenge_expired", 401, "Begin again"
    advice = "This took too long, was tried too often, or was used already. Begin again."


class SessionLimit(Problem):
    """No room for one more session: continue with `challenge_token`, where there is one, and a session to give up.

    `devices` are the account's, with their living sessions (devices.Ticket); told to who has proved who she is.
    """

    code, status, title = "session_limit", 409, "Signed in on too many devices"
    advice = "This account is signed in on as many devices as it may be. Sign one of them out first."

    def __init__(self, challenge_token: str | None = None, account_id: bytes = b"") -> None:
        super().__init__()
        self.challenge_token, self.account_id = challenge_token, account_id
        self.devices: list[Any] = []


class TokenExpired(Problem):
    code, status, title = "token_expired", 401, "Access token expired"
    advice = "Refresh, then repeat the request once."


class TokenInvalid(Problem):
    code, status, title = "token_invalid", 401, "Credential not recognised"
    advice = (
        "This credential is not one of ours, or was sent to the wrong door. Refresh once; if that fails it is a bug."
    )


class SessionExpired(Problem):
    code, status, title = "session_expired", 401, "Session expired"
    advice = "You have been away for a while. Sign in again."


class SessionRevoked(Problem):
    """`reason` is an `end_reason` of the contract, `ended_by` the name of the device that ended it, where known."""

    code, status, title = "session_revoked", 401, "Signed out"
    advice = "This session has been signed out. Sign in again."

    def __init__(self, reason: str | None = None, ended_by: str | None = None) -> None:
        super().__init__()
        self.reason, self.ended_by = reason, ended_by


def session_ended(reason: str | None, ended_by: str | None = None) -> Problem:
    """What the credentials of an ended session are told."""
    return SessionExpired() if reason in ("idle", "expired") else SessionRevoked(reason, ended_by)


class TokenReused(Problem):
    code, status, title = "token_reused", 401, "Signed out for safety"
    advice = "An old refresh token was presented, so this session was ended for safety. Sign in again."


class ReauthenticationRequired(Problem):
    code, status, title = "reauthentication_required", 401, "Fresh sign-in needed"
    advice = "This needs a proof, less than five minutes old, that it is you. Give your password, then repeat it."


class CsrfFailed(Problem):
    code, status, title = "csrf_failed", 403, "Request origin not trusted"
    advice = "This request did not prove that it comes from our own pages."


class Forbidden(Problem):
    code, status, title = "forbidden", 403, "Not allowed"
    advice = "You are signed in, but this is not yours to do."


class NotFound(Problem):
    code, status, title = "not_found", 404, "Not found"
    advice = "There is nothing here under this name."


class MethodNotAllowed(Problem):
    code, status, title = "method_not_allowed", 405, "Method not allowed"
    advice = "This address does not take that method."


class EmailTaken(Problem):
    code, status, title = "email_taken", 409, "Address already in use"
    advice = "There is an account with this address already. Sign in instead."


class Conflict(Problem):
    code, status, title = "conflict", 409, "Conflict"
    advice = "Something changed meanwhile. Look again, then repeat it."


class MalformedRequest(Problem):
    code, status, title = "malformed_request", 400, "Malformed request"
    advice = "The request could not be read: it must be well-formed, with each name once."


class BodyTooLarge(Problem):
    code, status, title = "body_too_large", 413, "Body too large"
    advice = "A request body may hold 64 KiB at most."


class UnsupportedMediaType(Problem):
    code, status, title = "unsupported_media_type", 415, "Unsupported media type"
    advice = "Send application/json here (application/x-www-form-urlencoded under /oauth/)."


class LinkInvalid(Problem):
    code, status, title = "link_invalid", 410, "This link doesn't work any more"
    advice = "It was used already, it is too old, or a newer one was sent. Ask for a new one."


class InvalidRequest(Problem):
    code, status, title = "invalid_request", 422, "Some fields need another look"
    advice = "See `errors` for each field."


class WeakPassword(Problem):
    code, status, title = "weak_password", 422, "Choose another password"
    advice = "See `errors` for the reason."


class RateLimited(Problem):
    code, status, title = "rate_limited", 429, "Too many tries"
    advice = "Wait a moment, then try again."


class HeadersTooLarge(Problem):
    code, status, title = "headers_too_large", 431, "Headers too large"
    advice = "The request headers are over 32 KiB. Clearing this site's cookies may help."


class Unavailable(Problem):
    code, status, title = "unavailable", 503, "Not available right now"
    advice = "We can't answer at the moment. You're still signed in; try again shortly."

    def __init__(self, detail: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(detail, retry_after=retry_after)


class InternalError(Problem):
    code, status, title = "internal_error", 500, "Our mistake"
    advice = "Something went wrong on our side. Nothing was lost; try again."
