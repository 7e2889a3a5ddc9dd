"""What the token store keeps: one record, always replaced as a whole, so that its parts agree."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

_MOST_OWED = 20
_MOST_DEVICE_TOKENS = 8


@dataclass(frozen=True)
class SignedIn:
    """The local session. `account` and `device` are the server's words, shown while there is no network."""

    server: str
    session_id: str
    refresh_token: str = field(repr=False)
    account: dict[str, Any]
    device: dict[str, Any] | None = None


@dataclass(frozen=True)
class Owed:
    """A sign-out the server hasn't heard of yet."""

    server: str
    refresh_token: str = field(repr=False)


@dataclass(frozen=True)
class Kept:
    """Everything. A new installation keeps `Kept()`."""

    signed_in: SignedIn | None = None
    owed: tuple[Owed, ...] = ()
    device_tokens: dict[str, str] = field(default_factory=dict, repr=False)

    def device_token(self, server: str, email: str) -> str | None:
        """What proves to the server that this is the device this person signed in on before."""
        return self.device_tokens.get(_key(server, email))

    def with_sign_in(self, new: SignedIn, email: str, device_token: str) -> Self:
        """Somebody signed in; a session that was here before is owed its sign-out."""
        others = {key: token for key, token in self.device_tokens.items() if key != _key(new.server, email)}
        recent = dict(list(others.items())[-_MOST_DEVICE_TOKENS + 1 :])
        signed_out = self.with_sign_out()
        return replace(signed_out, signed_in=new, device_tokens=recent | {_key(new.server, email): device_token})

    def with_refresh(self, presented: str, successor: str) -> Self:
        """The successor, if `presented` is still what is kept: a slow writer never undoes a faster one."""
        if self.signed_in is None or self.signed_in.refresh_token != presented:
            return self
        return replace(self, signed_in=replace(self.signed_in, refresh_token=successor))

    def with_sign_out(self) -> Self:
        """Nobody signed in; the server has yet to be told."""
        if self.signed_in is None:
            return self
        owed = Owed(self.signed_in.server, self.signed_in.refresh_token)
        return replace(self, signed_in=None, owed=(*self.owed, owed)[-_MOST_OWED:])

    def with_end(self, session_id: str) -> Self:
        """The server ended that session, so nothing is owed. Another session, signed in since, stays."""
        if self.signed_in is None or self.signed_in.session_id != session_id:
            return self
        return replace(self, signed_in=None)

    def without_owed(self, paid: Owed) -> Self:
        """The server knows of this sign-out now."""
        return replace(self, owed=tuple(one for one in self.owed if one != paid))

    def told(self, session_id: str, **news: Any) -> Self:
        """Newer `account` or `device` of the session."""
        if self.signed_in is None or self.signed_in.session_id != session_id:
            return self
        return replace(self, signed_in=replace(self.signed_in, **news))

    def to_bytes(self) -> bytes:
        """For the store to seal."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Raises ValueError for anything `to_bytes` doesn't write."""
        try:
            read = json.loads(content)
            signed_in = SignedIn(**read["signed_in"]) if read["signed_in"] else None
            return cls(signed_in, tuple(Owed(**one) for one in read["owed"]), dict(read["device_tokens"]))
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise ValueError("not a record of ours") from error


def _key(server: str, email: str) -> str:
    return f"{server} {email.strip().casefold()}"
