"""What goes out about second factors. A seed and recovery codes go out once, when they are made."""

from typing import Any

from pydantic import BaseModel

from .. import ids
from ..clock import rfc3339
from ..factors.holdings import Holdings
from ..tables import Factor


class FactorOut(BaseModel):
    """A second factor. `synced`: a passkey that may be on several devices; null for an app."""

    id: str
    method: str
    name: str
    created_at: str
    last_used_at: str | None
    synced: bool | None

    @classmethod
    def of(cls, factor: Factor) -> "FactorOut":
        """From the row."""
        return cls(
            id=ids.text("fac", factor.id),
            method=factor.method,
            name=factor.name,
            created_at=rfc3339(factor.created_at),
            last_used_at=rfc3339(factor.last_used_at) if factor.last_used_at is not None else None,
            synced=factor.synced,
        )


class FactorsOut(BaseModel):
    """All of them, oldest first, and how many recovery codes are left."""

    factors: list[FactorOut]
    recovery_codes_left: int
    recovery_codes_made_at: str | None

    @classmethod
    def of(cls, held: Holdings) -> "FactorsOut":
        """From the rows."""
        return cls(
            factors=[FactorOut.of(factor) for factor in held.factors],
            recovery_codes_left=len(held.codes),
            recovery_codes_made_at=rfc3339(held.codes[0].made_at) if held.codes else None,
        )


class SeedOut(BaseModel):
    """For the authenticator app: text, link, and picture (an `<svg>` element)."""

    challenge_token: str
    secret: str
    uri: str
    qr_svg: str


class AddedOut(BaseModel):
    """The new factor; with the first one, ten recovery codes, shown this once."""

    factor: FactorOut
    recovery_codes: list[str]


class PublicKeyOut(BaseModel):
    """A passkey's ceremony: `public_key` as WebAuthn level 3 spells it in JSON."""

    challenge_token: str
    public_key: dict[str, Any]


class CodesOut(BaseModel):
    """Ten recovery codes, shown this once."""

    recovery_codes: list[str]
