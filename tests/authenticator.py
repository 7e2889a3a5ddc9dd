"""An authenticator in software, and the browser before it. It tells the truth, unless a test asks it to lie."""

import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import encode_cbor

from tests.house import URL

UP, UV, BE, BS, AT = 0x01, 0x04, 0x08, 0x10, 0x40


def text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw(text_: str) -> bytes:
    return urlsafe_b64decode(text_ + "=" * (-len(text_) % 4))


@dataclass
class Authenticator:
    """One passkey. Fields may be changed to lie; `lies` of a call replace parts of what is signed."""

    origin: str = URL
    flags: int = UP | UV
    counter: int = 0
    algorithm: int = -7
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user_handle: bytes | None = None
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def create(self, public_key: dict[str, Any], **lies: Any) -> dict[str, Any]:
        """What `navigator.credentials.create()` gives for these options."""
        self.user_handle = raw(public_key["user"]["id"])
        client_data = self._client_data("webauthn.create", public_key["challenge"], **lies)
        rp_id = lies.get("rp_id", public_key["rp"]["id"])
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: self.algorithm, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        attested = bytes(16) + len(self.credential_id).to_bytes(2) + self.credential_id + encode_cbor(cose)
        flags = (lies.get("flags", self.flags) | AT).to_bytes(1)
        auth_data = sha256(rp_id.encode()).digest() + flags + self.counter.to_bytes(4) + attested
        statement = {"fmt": lies.get("fmt", "none"), "attStmt": lies.get("statement", {}), "authData": auth_data}
        response = {"clientDataJSON": text(client_data), "attestationObject": text(encode_cbor(statement))}
        return self._credential(response | {"transports": ["internal"]})

    def get(self, public_key: dict[str, Any], **lies: Any) -> dict[str, Any]:
        """What `navigator.credentials.get()` gives for these options."""
        client_data = self._client_data("webauthn.get", public_key["challenge"], **lies)
        rp_id = lies.get("rp_id", public_key["rpId"])
        counter = lies.get("counter", self.counter).to_bytes(4)
        auth_data = sha256(rp_id.encode()).digest() + lies.get("flags", self.flags).to_bytes(1) + counter
        signature = self.key.sign(auth_data + sha256(client_data).digest(), ec.ECDSA(SHA256()))
        handle = lies.get("user_handle", self.user_handle)
        auth_data = lies.get("auth_data", auth_data)
        response = {
            "clientDataJSON": text(lies.get("shown", client_data)),
            "authenticatorData": text(auth_data),
            "signature": text(lies.get("signature", signature)),
            "userHandle": text(handle) if handle is not None else None,
        }
        return self._credential(response)

    def _client_data(self, kind: str, asked: str, /, **lies: Any) -> bytes:
        told = {"type": kind, "challenge": asked, "origin": self.origin, "crossOrigin": False}
        return json.dumps(told | {name: lies[name] for name in told | {"topOrigin": 0} if name in lies}).encode()

    def _credential(self, response: dict[str, Any]) -> dict[str, Any]:
        known = {"id": text(self.credential_id), "rawId": text(self.credential_id), "type": "public-key"}
        return known | {"response": response, "clientExtensionResults": {}, "authenticatorAttachment": "platform"}
