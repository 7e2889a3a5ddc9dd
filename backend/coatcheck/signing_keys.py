"""The key ring: which ES256 key signs now, and which public keys still verify.

Private halves live in the database, wrapped by a root secret with the `kid` as associated data. The first worker that
starts on an empty database makes the first key; a unique index decides when several start together. How a key becomes
another one's successor is told in key_rotation.py.
"""

from base64 import b32encode, urlsafe_b64encode
from collections.abc import Sequence
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
from sqlmodel import col, select

from .clock import Clock
from .db import Database
from .secrets import CannotUnwrap, RootSecrets
from .settings import SettingsError
from .tables import SigningKey

PURPOSE = "signing key"  # of the key that wraps them


class KeyRing:
    """The keys of this process: one private, some public. The same object for the life of a worker."""

    def __init__(
        self, current: str, private: EllipticCurvePrivateKey, public: dict[str, EllipticCurvePublicKey]
    ) -> None:
        self.current, self.private, self.public = current, private, public

    def take(self, found: Sequence[SigningKey]) -> bool:
        """Verify by what the database holds; whether a key is gone. It needs no secret, so nothing keeps one alive."""
        gone = not self.public.keys() <= {row.kid for row in found}
        if len(found) != len(self.public) or gone:
            self.public = {row.kid: _public(row) for row in found}
        return gone

    def sign_with(self, roots: RootSecrets, current: SigningKey) -> None:
        """Sign with this key from now on. Raises CannotUnwrap and goes on with the one before then."""
        if current.kid != self.current:
            self.private, self.current = _private(roots, current), current.kid

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
        private = _private(roots, current)
    except CannotUnwrap:
        raise SettingsError(
            "COATCHECK_SECRET_KEY does not open this database's signing keys; list the earlier secret after it."
        ) from None
    return KeyRing(current.kid, private, {row.kid: _public(row) for row in found})


async def rows(db: Database) -> list[SigningKey]:
    """All keys, the oldest first."""
    async with db.reading() as session:
        return list(await session.exec(select(SigningKey).order_by(col(SigningKey.created_at))))


def make(roots: RootSecrets, state: str, now: int) -> SigningKey:
    """A new key's row; its name is the beginning of its public half's hash."""
    key = generate_private_key(SECP256R1())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    # 60 bits without `-` or capitals: `coatcheck keys revoke` would read a name that begins with `-` as an option.
    kid = b32encode(sha256(public).digest())[:12].decode().lower()
    sealed = roots.wrap(PURPOSE, kid.encode(), private)
    return SigningKey(kid=kid, state=state, public_key=public, private_key=sealed, created_at=now, since=now)


async def _make_first(db: Database, roots: RootSecrets, clock: Clock) -> None:
    async with db.writing() as session:
        session.add(make(roots, "current", clock.now()))
        with suppress(IntegrityError):  # another worker was first; its key is the one
            await session.commit()


def _private(roots: RootSecrets, row: SigningKey) -> EllipticCurvePrivateKey:
    der = roots.unwrap(PURPOSE, row.kid.encode(), row.private_key)
    return cast("EllipticCurvePrivateKey", load_der_private_key(der, password=None))


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
