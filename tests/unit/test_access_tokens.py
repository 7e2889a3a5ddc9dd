"""The access token: one algorithm, our own keys, every claim, one spelling (RFC 8725, RFC 9068)."""

import base64
import hmac
import json
import time
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from coatcheck import access_tokens, ids, settings
from coatcheck.access_tokens import Claims
from coatcheck.errors import TokenExpired, TokenInvalid
from coatcheck.settings import Settings
from coatcheck.signing_keys import KeyRing

NOW = 1_800_000_000_000
SETTINGS = settings.load(
    {}, public_url="https://coatcheck.test", secret_key=["k" * 8 + "unit tests sign with this key"]
)
PRIVATE = generate_private_key(SECP256R1())
KEYS = KeyRing("our-kid-0123", PRIVATE, {"our-kid-0123": PRIVATE.public_key()})
CLAIMS = Claims(b"a" * 16, b"s" * 16, "native", 3, (), ("pwd",), NOW - 60_000, NOW + 600_000)
HEADER = {"typ": "at+jwt", "alg": "ES256", "kid": "our-kid-0123"}
TOKEN = access_tokens.write(SETTINGS, KEYS, CLAIMS, NOW)


class _Parts(NamedTuple):
    header: dict[str, Any]
    payload: dict[str, Any]
    signature: str


def _parts(text: str) -> _Parts:
    header, payload, signature = text.split(".")
    return _Parts(json.loads(_unpadded(header)), json.loads(_unpadded(payload)), signature)


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _b64(data: bytes | object) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _signed(header: object, payload: object, key: EllipticCurvePrivateKey = PRIVATE) -> str:
    """A token signed without the library under test, so that it may say anything."""
    message = f"{_b64(header)}.{_b64(payload)}"
    r, s = decode_dss_signature(key.sign(message.encode(), ECDSA(SHA256())))
    return f"{message}.{_b64(r.to_bytes(32) + s.to_bytes(32))}"


def _read(text: str, now: int = NOW, configured: Settings = SETTINGS) -> Claims:
    return access_tokens.read(configured, KEYS, text, now)


def _refused(text: str) -> bool:
    try:
        _read(text)
    except TokenInvalid:
        return True
    return False


PAYLOAD = _parts(TOKEN).payload


def test_access_token_reads_what_was_written() -> None:
    """A genuine token gives its claims back, and so does the same one signed by other means."""
    assert _read(TOKEN) == CLAIMS
    assert _read(_signed(HEADER, PAYLOAD)) == CLAIMS
    assert _parts(TOKEN).header == HEADER


def test_access_token_says_what_the_contract_lists() -> None:
    """The claims are the contract's, with roles for administrators only, and nothing about the person."""
    names = {"iss", "aud", "sub", "sid", "client_id", "iat", "exp", "jti", "auth_time", "amr", "gen"}
    assert PAYLOAD.keys() == names
    admin = Claims(b"a" * 16, b"s" * 16, "spa", 3, ("admin",), ("pwd",), NOW, NOW + 600_000)
    text = access_tokens.write(SETTINGS, KEYS, admin, NOW)
    assert _parts(text).payload.keys() == names | {"roles"}
    assert _read(text).roles == ("admin",)


def test_access_token_is_short() -> None:
    """A token has 520 bytes at most, also in a session's last generation with a public URL of ordinary length."""
    late = Claims(b"a" * 16, b"s" * 16, "native", 2**31 - 1, (), ("pwd",), NOW, NOW + 600_000)
    assert len(TOKEN) <= 520
    assert len(access_tokens.write(SETTINGS, KEYS, late, NOW)) <= 520


def test_access_token_two_are_never_equal() -> None:
    """Two tokens of the same claims and moment differ in their id."""
    assert len({_parts(access_tokens.write(SETTINGS, KEYS, CLAIMS, NOW)).payload["jti"] for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "after, lives", [(0, True), (600_000, True), (605_000, True), (605_001, False), (10**9, False)]
)
def test_access_token_lives_until_five_seconds_after_exp(after: int, lives: bool) -> None:
    """A token is accepted up to five seconds after `exp`, to the millisecond, and called expired from then on."""
    if lives:
        assert _read(TOKEN, NOW + after) == CLAIMS
    else:
        with pytest.raises(TokenExpired):
            _read(TOKEN, NOW + after)


def test_access_token_of_a_worker_ahead_is_accepted() -> None:
    """A token whose `iat` lies in our future was made by a worker whose clock is ahead: it is good."""
    assert _read(TOKEN, NOW - 30_000) == CLAIMS


def test_access_token_shorter_life_bites_tokens_already_out() -> None:
    """With ACCESS_TTL lowered a token already handed out lives no longer than the new life."""
    shorter = SETTINGS.model_copy(update={"access_ttl": 60})
    assert _read(TOKEN, NOW + 65_000, shorter) == replace(CLAIMS, expires_at=NOW + 60_000)
    with pytest.raises(TokenExpired):
        _read(TOKEN, NOW + 65_001, shorter)


def test_access_token_any_changed_character_is_refused() -> None:
    """A token with any one character changed is refused: each part has one spelling."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place, char in enumerate(TOKEN):
        if char != ".":
            other = alphabet[(alphabet.index(char) + 1) % 64]
            assert _refused(TOKEN[:place] + other + TOKEN[place + 1 :]), place


@pytest.mark.parametrize("more", ["=", "==", " ", "\n", ".", ".AAAA", "\0", "é"])
def test_access_token_with_anything_more_is_refused(more: str) -> None:
    """Padding, blanks, a fourth part or anything else behind, before or within a token is refused."""
    header, payload, signature = TOKEN.split(".")
    assert _refused(TOKEN + more)
    assert _refused(more + TOKEN)
    assert _refused(f"{header}{more}.{payload}.{signature}")
    assert _refused(f"{header}.{payload}{more}.{signature}")


@pytest.mark.parametrize("cut", [1, 2, 43, 86, 87, 200])
def test_access_token_cut_short_is_refused(cut: int) -> None:
    """A token that lost its end, or any of its parts, is refused."""
    assert _refused(TOKEN[:-cut])
    header, payload, signature = TOKEN.split(".")
    assert all(_refused(text) for text in ("", "..", f"{header}.{payload}.", f".{payload}.{signature}"))


def test_access_token_unsigned_is_refused() -> None:
    """`alg: none`, in any spelling and with any signature, is refused."""
    for alg in ("none", "None", "NONE", "nOnE", "", None):
        header, payload, signature = _b64(HEADER | {"alg": alg}), _b64(PAYLOAD), _parts(TOKEN).signature
        assert all(_refused(f"{header}.{payload}.{end}") for end in ("", "AA", signature))


@pytest.mark.parametrize("alg", ["HS256", "HS512", "ES256"])
def test_access_token_signed_with_the_public_key_is_refused(alg: str) -> None:
    """Our public key, which everybody has, is no HMAC secret."""
    public = PRIVATE.public_key()
    keys = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        b"",
    ]
    message = f"{_b64(HEADER | {'alg': alg})}.{_b64(PAYLOAD)}"
    for key in keys:
        signature = hmac.digest(key, message.encode(), "sha512" if alg == "HS512" else "sha256")
        assert _refused(f"{message}.{_b64(signature)}")


def test_access_token_of_a_foreign_key_is_refused() -> None:
    """A token signed by another key is refused, under our kid, its own kid or none."""
    foreign = generate_private_key(SECP256R1())
    assert _refused(_signed(HEADER, PAYLOAD, foreign))
    assert _refused(_signed(HEADER | {"kid": "another-kid"}, PAYLOAD, foreign))
    assert _refused(_signed(HEADER | {"kid": "another-kid"}, PAYLOAD))
    assert _refused(_signed({"typ": "at+jwt", "alg": "ES256"}, PAYLOAD))


@pytest.mark.parametrize("r, s", [(0, 0), (1, 1), (0, 1)])
def test_access_token_trivial_signature_is_refused(r: int, s: int) -> None:
    """A signature of zeros (CVE-2022-21449) or ones fits no message."""
    assert _refused(f"{_b64(HEADER)}.{_b64(PAYLOAD)}.{_b64(r.to_bytes(32) + s.to_bytes(32))}")


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}},
        {"jku": "https://attacker.test/jwks.json"},
        {"x5u": "https://attacker.test/cert.pem"},
        {"x5c": ["AAAA"]},
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"b64": False},
        {"cty": "JWT"},
        {"zip": "DEF"},
    ],
)
def test_access_token_with_a_foreign_header_parameter_is_refused(extra: dict[str, object]) -> None:
    """A header that brings a key, a place of one, or an extension is refused, even signed by us."""
    assert _refused(_signed(HEADER | extra, PAYLOAD))


@pytest.mark.parametrize(
    "kid", [None, 0, "", [], {}, "../../etc/passwd", "our-kid-0123\0", "OUR-KID-0123", ["our-kid-0123"], "k" * 1_000]
)
def test_access_token_with_an_odd_kid_is_refused(kid: object) -> None:
    """Only the exact name of a key in the ring finds it."""
    assert _refused(_signed(HEADER | {"kid": kid}, PAYLOAD))


@pytest.mark.parametrize(
    "typ", ["JWT", "at+JWT", "AT+JWT", "application/at+jwt", "", None, 1, "logout+jwt", ["at+jwt"]]
)
def test_access_token_of_another_type_is_refused(typ: object) -> None:
    """A token that does not call itself `at+jwt` is another kind of token."""
    assert _refused(_signed(HEADER | {"typ": typ}, PAYLOAD))


@pytest.mark.parametrize("name", sorted(PAYLOAD))
def test_access_token_without_a_claim_is_refused(name: str) -> None:
    """Every claim is required."""
    assert _refused(_signed(HEADER, {claim: value for claim, value in PAYLOAD.items() if claim != name}))
    assert _refused(_signed(HEADER, PAYLOAD | {name: None}))


@pytest.mark.parametrize(
    "name, value",
    [
        ("exp", str(PAYLOAD["exp"])),
        ("exp", PAYLOAD["exp"] + 0.5),
        ("exp", True),
        ("exp", 1e400),
        ("exp", [PAYLOAD["exp"]]),
        ("iat", str(PAYLOAD["iat"])),
        ("iat", float(PAYLOAD["iat"])),
        ("auth_time", str(PAYLOAD["auth_time"])),
        ("gen", "3"),
        ("gen", True),
        ("gen", 3.0),
        ("sub", 1),
        ("sub", "acc_"),
        ("sub", PAYLOAD["sid"]),
        ("sub", PAYLOAD["sub"] + "A"),
        ("sub", ids.text("acc", b"a" * 16)[:-1] + "R"),
        ("sid", PAYLOAD["sub"]),
        ("sid", {"a": 1}),
        ("amr", 5),
        ("amr", "pwd"),
        ("amr", [1]),
        ("client_id", 1),
        ("client_id", ["native"]),
        ("client_id", "someone-else"),
        ("roles", "admin"),
        ("roles", [1]),
        ("roles", 7),
        ("jti", 1),
        ("iss", "https://coatcheck.test/"),
        ("iss", "https://attacker.test"),
        ("iss", ["https://coatcheck.test"]),
        ("aud", "https://attacker.test"),
        ("aud", "https://coatcheck.test.attacker.test"),
        ("aud", ["https://coatcheck.test", "https://attacker.test"]),
        ("aud", ["https://coatcheck.test"]),
        ("aud", ""),
    ],
)
def test_access_token_with_an_odd_claim_is_refused(name: str, value: object) -> None:
    """A claim of a type or value that we never write is refused, even signed by us."""
    assert _refused(_signed(HEADER, PAYLOAD | {name: value}))


@pytest.mark.parametrize("payload", [b"[]", b"null", b"1", b"{", b"\xff\xfe", b'"exp"', b"[" * 1_000, b""])
def test_access_token_with_an_odd_payload_is_refused(payload: bytes) -> None:
    """A payload that is no JSON object is refused, even signed by us."""
    assert _refused(_signed(HEADER, payload))
    assert _refused(_signed(payload, PAYLOAD))


def test_access_token_huge_is_refused_at_once() -> None:
    """Megabytes are refused without being decoded, also when they are well formed."""
    huge = [
        "A" * 5_000_000,
        f"{TOKEN.split('.')[0]}.{'A' * 5_000_000}.{_parts(TOKEN).signature}",
        "." * 5_000_000,
        _signed(HEADER, PAYLOAD | {"roles": ["a" * 2_000]}),
    ]
    began = time.thread_time()
    assert all(_refused(text) for text in huge)
    assert time.thread_time() - began < 1
