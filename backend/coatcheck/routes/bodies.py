"""What may come in: read strictly, unknown fields refused, each name once."""

import json
import unicodedata
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NoReturn
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..devices import Hint
from ..errors import MalformedRequest

_MOST_FIELDS = 20  # in a form


class StrictRoute(APIRoute):
    """Reads JSON strictly: a repeated name, NaN or Infinity, bad UTF-8 and endless nesting are malformed."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The same handler, with a stricter `request.json()`."""
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request))

        return strict


class _StrictRequest(Request):
    def __init__(self, request: Request) -> None:
        super().__init__(request.scope, request.receive)

    async def json(self) -> Any:
        body = await self.body()
        try:
            return json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_malformed)
        except (ValueError, RecursionError):
            raise json.JSONDecodeError("malformed", "", 0) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _malformed("a repeated name")


def _malformed(what: str) -> NoReturn:
    raise ValueError(what)


async def read_form(request: Request) -> dict[str, str]:
    """The form's fields. Raises MalformedRequest: bad encoding, or a field twice (RFC 6749 section 3.2)."""
    try:
        pairs = parse_qsl(
            (await request.body()).decode(),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise MalformedRequest from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise MalformedRequest("A form field stands twice.")
    return form


_JOINER = "\u200d"  # holds emoji together; all other invisible characters can make one name look like another


def _plain(value: str) -> str:
    """A name as a person types it: NFC, trimmed, without control characters."""
    value = unicodedata.normalize("NFC", value).strip()
    kinds = {unicodedata.category(char) for char in value if char != _JOINER}
    if kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"} or not kinds - {"Zs", "Mn"}:
        raise ValueError("Use a name of visible characters, on one line.")
    return value


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("This holds characters that are not text.")
    return value


Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_plain)]
Email = Annotated[str, Field(min_length=3, max_length=254)]
Password = Annotated[str, Field(min_length=1, max_length=4_096), AfterValidator(_no_nul)]


LinkToken = Annotated[str, Field(min_length=1, max_length=256)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class DeviceIn(_In):
    """What a client says of its device."""

    name: Name | None = None
    platform: Annotated[str, Field(min_length=1, max_length=32), AfterValidator(_plain)] | None = None
    token: Annotated[str, Field(max_length=256)] | None = None


class LoginIn(_In):
    """Address and password."""

    email: Email
    password: Password
    device: DeviceIn | None = None

    def hint(self, secret: str | None = None) -> Hint:
        """For `devices.recognise`; browsers bring their secret in a cookie instead of the body."""
        device = self.device or DeviceIn()
        return Hint(device.name, device.platform, secret if secret is not None else device.token)


class RegisterIn(_In):
    """A new account."""

    email: Email
    password: Password
    name: Name | None = None


class NameIn(_In):
    """A new display name; null removes it."""

    name: Name | None


class ProfileIn(_In):
    """The same from a form, where an empty field is one left out."""

    name: Name | None = None


class DeviceNameIn(_In):
    """A name the person gives a device."""

    name: Name


class ProofIn(_In):
    """A fresh proof of who is there."""

    password: Password


class EmailIn(_In):
    """An address to write to."""

    email: Email


class NewPasswordIn(_In):
    """The token of a link, and the password from now on."""

    token: LinkToken
    new_password: Password


class PasswordIn(_In):
    """The password now, and the one from now on."""

    current_password: Password
    new_password: Password
