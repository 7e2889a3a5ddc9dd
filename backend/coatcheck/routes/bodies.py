"""What may come in: read strictly, unknown fields refused, each name once."""

import json
import unicodedata
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Annotated, Any, Literal, NoReturn, Self
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .. import ids
from ..devices import Hint
from ..errors import MalformedRequest
from ..factors.proofs import Answer

_MOST_FIELDS = 20  # in a form
_MOST_NAMES = (
    100  # in a JSON object: pydantic takes 20 us for each name it does not know, and we answer with few of them
)


class StrictRoute(APIRoute):
    """Reads JSON strictly.

    A repeated name, NaN or Infinity, bad UTF-8, endless nesting and too many names in an object are malformed.
    """

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
    if len(pairs) > _MOST_NAMES:
        _malformed("too many names")
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
Token = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_no_nul)]
Credential = dict[str, Any]  # the browser's JSON; factors/passkeys.py believes none of it
Method = Literal["totp", "passkey", "recovery_code"]
Code = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_no_nul)]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class DeviceIn(_In):
    """What a client says of its device."""

    name: Name | None = None
    platform: Annotated[str, Field(min_length=1, max_length=32), AfterValidator(_plain)] | None = None
    token: Annotated[str, Field(max_length=256)] | None = None


def _hint(device: DeviceIn | None, secret: str | None) -> Hint:
    """Browsers bring their secret in a cookie instead of the body."""
    device = device or DeviceIn()
    return Hint(device.name, device.platform, secret if secret is not None else device.token)


class LoginIn(_In):
    """Address and password; `reset_token`: of the link by which this password was set a moment ago."""

    email: Email
    password: Password
    device: DeviceIn | None = None
    reset_token: Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_no_nul)] | None = None

    def hint(self, secret: str | None = None) -> Hint:
        """For `devices.recognise`."""
        return _hint(self.device, secret)


def require_one_answer(method: str, code: str | None, credential: dict[str, Any] | None) -> None:
    wanted, other = (credential, code) if method == "passkey" else (code, credential)
    if wanted is None or other is not None:
        raise ValueError("Send `credential` with the method passkey, `code` with any other.")


class VerifyIn(_In):
    """The second factor of a pending sign-in; or a passkey that begins one, then `device` counts as at login.

    After `session_limit`: `sign_out` with the `session_id` of the session to give up.
    """

    challenge_token: Token
    method: Literal[Method, "sign_out"]
    code: Code | None = None
    credential: Credential | None = None
    session_id: Annotated[str, Field(max_length=64), AfterValidator(_no_nul)] | None = None
    device: DeviceIn | None = None

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        if (self.method == "sign_out") != (self.session_id is not None):
            raise ValueError("Send `session_id` with the method sign_out, and with no other.")
        if self.method != "sign_out":
            require_one_answer(self.method, self.code, self.credential)
        elif self.code is not None or self.credential is not None:
            raise ValueError("Send `session_id` alone with the method sign_out.")
        return self

    def answer(self) -> Answer:
        """What was answered."""
        session_id = ids.raw("ses", self.session_id) if self.session_id is not None else None
        return Answer(self.method, self.code, self.credential, session_id)

    def hint(self, secret: str | None = None) -> Hint:
        """As for a login."""
        return _hint(self.device, secret)


class AppIn(_In):
    """A code from the app that is being added."""

    challenge_token: Token
    code: Code
    name: Name | None = None


class ChallengeIn(_In):
    """What to go on with; nothing where a passkey shall begin a sign-in."""

    challenge_token: Token | None = None


class PasskeyIn(_In):
    """What `navigator.credentials.create()` gave."""

    challenge_token: Token
    credential: Credential
    name: Name | None = None


class WebLoginIn(LoginIn):
    """The web door's; `keep`: stay signed in when the browser is closed."""

    keep: bool = False

    def hint(self, secret: str | None = None) -> Hint:
        """The same, with the wish."""
        return replace(super().hint(secret), keep=self.keep)


class RegisterIn(_In):
    """A new account."""

    email: Email
    password: Password
    name: Name | None = None


class NameIn(_In):
    """A new display name; null removes it."""

    name: Name | None


class DeviceNameIn(_In):
    """A name the person gives a device."""

    name: Name


class PasswordProofIn(_In):
    """A fresh proof on a page: the password alone."""

    password: Password


class ProofIn(_In):
    """A fresh proof of who is there: `password`, or the second step that followed it."""

    password: Password | None = None
    challenge_token: Token | None = None
    method: Method | None = None
    code: Code | None = None
    credential: Credential | None = None

    @model_validator(mode="after")
    def _one_proof(self) -> Self:
        second = (self.challenge_token, self.method, self.code, self.credential)
        if self.password is not None:
            if any(given is not None for given in second):
                raise ValueError("Send `password` alone, or the second step alone.")
        elif self.challenge_token is None or self.method is None:
            raise ValueError("Send `password`, or `challenge_token` and `method` of the second step.")
        else:
            require_one_answer(self.method, self.code, self.credential)
        return self

    def answer(self) -> Answer | None:
        """What the second step was answered with; None for a password."""
        return Answer(self.method, self.code, self.credential) if self.method else None


class PasswordIn(_In):
    """The password now, and the one from now on."""

    current_password: Password
    new_password: Password
