"""Refusals on the wire: RFC 9457 problem+json, and RFC 6749 section 5.2 under /oauth/. Input is never echoed."""

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from .. import errors
from ..db import drivers_own
from ..errors import FieldError, Problem
from . import pages, paths
from .answers import DeviceOut

_OAUTH = {
    400: "invalid_request",
    401: "invalid_grant",
    422: "invalid_request",
    429: "temporarily_unavailable",
    503: "temporarily_unavailable",
    500: "server_error",
}
_BY_STATUS: dict[int, type[Problem]] = {
    400: errors.MalformedRequest,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    413: errors.BodyTooLarge,
    415: errors.UnsupportedMediaType,
}
# pydantic's error types -> our stable codes and a sentence; anything else is `invalid`
_FIELD_ERRORS = {
    "missing": ("required", "This field is required."),
    "extra_forbidden": ("unknown_field", "This field is not known here."),
    "string_too_short": ("too_short", "This is too short."),
    "string_too_long": ("too_long", "This is too long."),
    "string_type": ("wrong_type", "This must be text."),
    "string_unicode": ("invalid_text", "This holds characters that are not text."),
}

_MOST_ERRORS = 20  # fields that one answer names

log = structlog.get_logger()


class OAuthRefusal(Exception):
    """A refusal that only RFC 6749 has a name for; `code` is ours."""

    def __init__(self, error: str, detail: str, code: str = "invalid_request", status: int = 400) -> None:
        self.error, self.detail, self.code, self.status = error, detail, code, status


def response(problem: Problem, path: str) -> Response:
    """The answer that tells it; under /oauth/ in OAuth's shape, on a page in words."""
    if paths.is_page(path):
        return pages.problem_page(problem)
    body: dict[str, Any] = {"type": f"urn:coatcheck:problem:{problem.code}", "title": problem.title}
    body |= {"status": problem.status, "code": problem.code, "detail": problem.detail}
    if isinstance(problem, errors.InvalidRequest | errors.WeakPassword):
        named = problem.errors[:_MOST_ERRORS]
        body["errors"] = [{"field": e.field, "code": e.code, "message": e.message} for e in named]
        if len(named) < len(problem.errors):
            body["more_errors"] = True
    if isinstance(problem, errors.SessionRevoked) and problem.reason:
        body |= {"reason": problem.reason, "ended_by": problem.ended_by}
    if isinstance(problem, errors.MfaRequired):
        body |= {"challenge_token": problem.challenge_token, "methods": problem.methods}
    if isinstance(problem, errors.SessionLimit) and problem.challenge_token:
        tickets = [DeviceOut.of(ticket, b"").model_dump() for ticket in problem.devices]
        body |= {"challenge_token": problem.challenge_token, "devices": tickets}
    headers = {"Cache-Control": "no-store"}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if path.startswith("/oauth/"):
        return _oauth(problem, headers)
    if problem.status == 401:
        error = ', error="invalid_token"' if problem.code != "unauthenticated" else ""
        headers["WWW-Authenticate"] = f'Bearer realm="coatcheck"{error}'
    return JSONResponse(body, problem.status, headers, media_type="application/problem+json")


def _oauth(problem: Problem, headers: dict[str, str]) -> Response:
    status = 400 if problem.status in (401, 422) else problem.status
    body = {"error": _OAUTH.get(problem.status, "invalid_request"), "error_description": problem.detail}
    return JSONResponse(body | {"code": problem.code}, status, headers)


def install(app: FastAPI) -> None:
    """Every way a route can fail ends here."""

    @app.exception_handler(Problem)
    async def refused(request: Request, problem: Problem) -> Response:
        path: str = request.scope["path"]
        if isinstance(problem, errors.Unavailable) and problem.__cause__:
            log.warning("outage", path=path, error=type(drivers_own(problem.__cause__)).__name__)
        return pages.refused(request, problem) if paths.is_page(path) else response(problem, path)

    @app.exception_handler(OAuthRefusal)
    async def oauth_refused(_request: Request, refusal: OAuthRefusal) -> Response:
        body = {"error": refusal.error, "error_description": refusal.detail, "code": refusal.code}
        headers = {"Cache-Control": "no-store"}
        if refusal.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="coatcheck"'
        return JSONResponse(body, refusal.status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return response(_of_validation(error), request.scope["path"])

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        answer = response(_BY_STATUS.get(error.status_code, errors.MalformedRequest)(), request.scope["path"])
        answer.headers.update({name: value for name, value in (error.headers or {}).items() if name == "Allow"})
        return answer


def _of_validation(error: RequestValidationError) -> Problem:
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return errors.MalformedRequest()
    return errors.InvalidRequest(errors=tuple(field_error(one) for one in found))


def field_error(one: Mapping[str, Any]) -> FieldError:
    """One of pydantic's errors in our words; the first part of its `loc` says where the fields came from."""
    code, message = _FIELD_ERRORS.get(one["type"], ("invalid", "This value can't be used here."))
    if one["type"] == "value_error":
        message = str(one["ctx"]["error"])
    field = ".".join(str(part) for part in one["loc"][1:]) or "body"
    return FieldError(field[:64], code, message)
