"""What a form sends: read strictly, after it has proved that it is a form of ours.

A form of somebody signed in carries the session's own token; one for guests (sign in, sign up, links from mails) a
token that belongs to a cookie of this browser, so that nobody can be signed in to another's account by a form he didn't
fill in himself (login CSRF). Both only from our own origin.
"""

from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from .. import refresh_tokens
from ..callers import Outdated
from ..errors import Conflict, EmailTaken, InvalidCredentials, InvalidRequest, RateLimited, Unavailable, WeakPassword
from ..refresh_tokens import Door, RefreshToken
from ..verified_credentials import Caller
from . import cookies, csrf
from .authentication import desk_of
from .bodies import read_form
from .pages import caller_of_page
from .problems import field_error

M = TypeVar("M", bound=BaseModel)

# Refusals that a form tells itself, filled in again; all others lead elsewhere (pages.refused).
TOLD = (Conflict, EmailTaken, InvalidCredentials, InvalidRequest, RateLimited, Unavailable, WeakPassword)


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form that has proved where it comes from."""

    fields: dict[str, str]

    def read(self, model: type[M]) -> M:
        """The fields as `model`, unknown ones refused; an empty one counts as left out. Raises InvalidRequest."""
        try:
            return model.model_validate({name: value for name, value in self.fields.items() if value})
        except ValidationError as error:
            found = tuple(field_error({**one, "loc": ("form", *one["loc"])}) for one in error.errors())
            raise InvalidRequest("Some fields need another look.", errors=found) from None

    def kept(self, *names: str) -> dict[str, str]:
        """What the person typed in these fields, to fill the form in again. Never a password."""
        return {name: self.fields.get(name, "") for name in names}


async def _of_caller(request: Request) -> Form:
    """Raises CsrfFailed, MalformedRequest, and what refused the session."""
    csrf.require_own_form(request, desk_of(request))
    return await _of(request, caller_of_page(request))


async def _of_holder(request: Request) -> Form:
    """The same, of an outdated cookie's holder as well: no newer one is needed to sign out: it may be lost."""
    desk = desk_of(request)
    csrf.require_own_form(request, desk)
    if not isinstance(request.scope["caller"], Outdated):
        return await _of(request, caller_of_page(request))
    cookie = cookies.of(request, desk.settings, "session") or ""
    return await _of(request, refresh_tokens.read(desk.roots, cookie, Door.WEB))


async def _of(request: Request, holder: Caller | RefreshToken) -> Form:
    fields = await read_form(request)
    csrf.require_form_token(desk_of(request), fields.pop("csrf_token", ""), holder)
    return Form(fields)


async def _of_guest(request: Request) -> Form:
    """Raises CsrfFailed, MalformedRequest."""
    desk = desk_of(request)
    csrf.require_own_form(request, desk)
    fields = await read_form(request)
    csrf.require_guest_token(desk, fields.pop("csrf_token", ""), cookies.of(request, desk.settings, "guest"))
    return Form(fields)


HolderFormOf = Annotated[Form, Depends(_of_holder)]
FormOf = Annotated[Form, Depends(_of_caller)]
GuestFormOf = Annotated[Form, Depends(_of_guest)]
