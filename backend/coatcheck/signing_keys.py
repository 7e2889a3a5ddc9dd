"""The key ring: which ES256 key signs now, and which public keys still verify.

Private halves live in the database, wrapped by a root secret with the `kid` as associated data. The first worker that
starts on an empty database makes the first key; a unique index decides when several start together.
"""

from base64 import urlsafe_b64encode
from contextlib import suppress
from hashlib import sha256
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from .clock import Clock
from .db import Database
from .secrets import CannotUnwrap, RootSecrets
from .settings import SettingsError
from .tables import SigningKey

_PURPOSE = "signing key"


class KeyRing:
    """The keys of this process: one private, some public."""

    def __init__(
        self, current: str, private: EllipticCurvePrivateKey, public: dict[str, EllipticCurvePublicKey]
    ) -> None:
        self.current, self.private, self.public = current, private, public

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys as a JWK Set (RFC 7517)."""
        return {"keys": [_jwk(kid, key) for kid, key in self.public.items()]}


async def load(db: Database, roots: RootSecrets, clock: Clock) -> KeyRing:
    """The ring as the database has it, with a first key made if there is none.

    Raises SettingsError when no listed root secret opens the current key: better no start than new keys for all.
    """
    found = await rows(db)
    if not any(row.state == "current" for row in found):
        await _make_first(db, roots, clock)
        found = await rows(db)
    current = next(row for row in found if row.state == "current")
    try:
        der = roots.unwrap(_PURPOSE, current.kid.encode(), current.private_key)
    except CannotUnwrap:
        raise SettingsError(
            "COATCHECK_SECRET_KEY does not open this database's signing keys; list the earlier secret after it."
        ) from None
    private = load_der_private_key(der, password=None)
    return KeyRing(current.kid, cast("EllipticCurvePrivateKey", private), {row.kid: _public(row) for row in found})


async def rows(db: Database) -> list[SigningKey]:
    """All keys, the oldest first."""
    async with db.reading() as session:
        return list(await session.exec(select(SigningKey).order_by(SigningKey.created_at)))  # type: ignore[arg-type]


async def _make_first(db: Database, roots: RootSecrets, clock: Clock) -> None:
    key = generate_private_key(SECP256R1())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    kid = urlsafe_b64encode(sha256(public).digest())[:12].decode()
    sealed = roots.wrap(_PURPOSE, kid.encode(), private)
    async with db.writing() as session:
        session.add(SigningKey(kid=kid, state="current", public_key=public, private_key=sealed, created_at=clock.now()))
        with suppress(IntegrityError):  # another worker was first; its key is the one
            await session.commit()


def _public(row: SigningKey) -> EllipticCurvePublicKey:
    return cast("EllipticCurvePublicKey", load_der_public_key(row.public_key))


def _jwk(kid: str, key: EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()

    def coordinate(value: int) -> str:
        return urlsafe_b64encode(value.to_bytes(32)).rstrip(b"=").decode()

    return {
        "kty": "EC",
        "crv": "P-256",
        "x": coordinate(numbers.x),
        "y": coordinate(numbers.y),
        "kid": kid,
        "alg": "ES256",
        "use": "sig",
    }
