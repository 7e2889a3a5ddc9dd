"""What a form may hold, where that is not what the JSON routes take: text alone, and an empty field is left out."""

from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Json, model_validator

from ..devices import Hint
from ..factors.proofs import Answer
from ..roles import Role
from .bodies import Code, Credential, LoginIn, Method, Name, Token, require_one_answer


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SecondStepIn(_In):
    """The same from a form. A passkey's answer is text, and brings its own token; a code goes on with the cookie's."""

    method: Method
    code: Code | None = None
    credential: Json[Credential] | None = None
    challenge_token: Token | None = None

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        require_one_answer(self.method, self.code, self.credential)
        return self

    def answer(self) -> Answer:
        """What was answered."""
        return Answer(self.method, self.code, self.credential)


class NewPasskeyIn(_In):
    """`PasskeyIn` from a form."""

    challenge_token: Token
    credential: Json[Credential]
    name: Name | None = None


class SignInIn(LoginIn):
    """The same from a form, where a ticked box is `on` and any other isn't sent."""

    keep: Literal["on"] | None = None

    def hint(self, secret: str | None = None) -> Hint:
        """The same, with the wish."""
        return replace(super().hint(secret), keep=self.keep == "on")


class ProfileIn(_In):
    """The same from a form, where an empty field is one left out."""

    name: Name | None = None


class AccountSearchIn(_In):
    """Which accounts; `email` is the beginning of an address, an absent field is any."""

    email: Annotated[str, Field(max_length=254)] | None = None
    role: Role | None = None
    state: Literal["enabled", "disabled"] | None = None
    after: Annotated[str, Field(max_length=64)] | None = None


class GiveUpIn(_In):
    """The session to give up for a new one."""

    session_id: Annotated[str, Field(max_length=64)]
