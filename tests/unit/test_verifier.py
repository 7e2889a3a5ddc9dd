"""coatcheck.verifier: which tokens it takes, from an issuer whose every word may be an attack (RFC 8725, RFC 9068)."""

import hmac
import json
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any, Literal

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from coatcheck.verifier import (
    Claims,
    KeysUnknown,
    NoCredential,
    Refused,
    RevocationsStale,
    SessionRevoked,
    TokenExpired,
    TokenInvalid,
    Verifier,
    endings,
    keys,
    refusals,
)
from tests.issuer import AUDIENCE, KID, Issuer, b64, jwk, sign

ISSUER = Issuer(port=1)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _verifier(behind: float = 0, **chosen: Any) -> Verifier:
    """One that has heard of the issuer's key, and that nothing has ended, a moment ago; its clock is so much behind."""
    verifier = Verifier(**({"issuer": ISSUER.url, "audience": AUDIENCE} | chosen))
    verifier._keys._keys = keys._parse(json.dumps({"keys": ISSUER.keys}).encode())
    verifier._keys._until = verifier._keys._tried = time.monotonic() + 600
    verifier._endings._wall = lambda: time.time() - behind
    _tell(verifier, iat=time.time() - behind)
    return verifier


def _tell(verifier: Verifier, *session_ids: str, **changed: object) -> None:
    after = verifier._endings.cursor
    listed = {"sessions": [{"sid": sid, "at": 0} for sid in session_ids], **changed}
    text = ISSUER.list(after, ISSUER.next(), **listed)
    verifier._follower._take_in(text)


def _refusal(text: str, verifier: Verifier | None = None) -> type[Refused] | None:
    try:
        (verifier or _verifier()).check(text)
    except Refused as refused:
        return type(refused)
    return None


def _parts(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload = (json.loads(urlsafe_b64decode(part + "==")) for part in text.split(".")[:2])
    return header, payload


HEADER, PAYLOAD = _parts(ISSUER.token())


# -- what it takes -------------------------------------------------------------------------------------------------


def test_verifier_reads_a_genuine_token() -> None:
    """A genuine token gives its claims, the first time and when it is known already."""
    verifier, text = _verifier(), ISSUER.token(roles=["admin"])
    claims = verifier.check(text)
    assert (
        claims == verifier.check(text) == verifier.authorize(f"Bearer {text}") == verifier.authorize(f"bearer {text}")
    )
    assert claims.account_id == "acc_AAAAAAAAAAAAAAAAAAAAAA"
    assert (claims.door, claims.roles, claims.auth_methods) == ("native", ("admin",), ("pwd",))


def test_verifier_ignores_claims_it_does_not_know() -> None:
    """The contract may add claims; they change nothing."""
    assert _refusal(ISSUER.token(something={"new": [1]})) is None


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token x", ISSUER.token()])
def test_verifier_wants_a_bearer_credential(header: str | None) -> None:
    """A missing or foreign Authorization header is `unauthenticated`."""
    with pytest.raises(NoCredential):
        _verifier().authorize(header)


@pytest.mark.parametrize(
    "issuer",
    [
        *("http://accounts.example.com", "ftp://accounts.example.com", "file:///etc/passwd", "data:text/plain,x", ""),
        *("accounts.example.com", "https://", "//accounts.example.com", "http://127.0.0.1.example.com", "http://[::2]"),
        *(
            "https://user@accounts.example.com",
            "https://a.example.com?x=1",
            "https://a.example.com#x",
            "http://localhost.",
        ),
    ],
)
def test_verifier_takes_no_odd_issuer(issuer: str) -> None:
    """Keys come over https, or over http from this machine; from no other place and by no other scheme."""
    with pytest.raises(ValueError, match="issuer"):
        Verifier(issuer=issuer, audience=AUDIENCE)


@pytest.mark.parametrize(
    "issuer", ["https://accounts.example.com", "http://localhost:8000", "http://127.0.0.2", "http://[::1]:1"]
)
def test_verifier_takes_an_ordinary_issuer(issuer: str) -> None:
    """https anywhere and http on this machine are good."""
    Verifier(issuer=issuer, audience=AUDIENCE)


@pytest.mark.parametrize("chosen", [{"when_stale": "maybe"}, {"max_staleness": 0}, {"clock_skew": -1}])
def test_verifier_takes_no_odd_policy(chosen: dict[str, Any]) -> None:
    """A policy that can't be followed is refused at the start."""
    with pytest.raises(ValueError, match="when_stale"):
        Verifier(issuer=ISSUER.url, audience=AUDIENCE, **chosen)


def test_verifier_stands_alone() -> None:
    """Importing it brings in no store, no web framework and no other part of Coatcheck."""
    script = "import json, sys, coatcheck.verifier; print(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    loaded = set(json.loads(answer.stdout))
    foreign = {"fastapi", "starlette", "sqlmodel", "sqlalchemy", "redis", "asyncpg", "aiosqlite", "pydantic", "passlib"}
    assert not foreign & {name.partition(".")[0] for name in loaded}
    ours = {name for name in loaded if name.startswith("coatcheck.")}
    assert ours == {name for name in ours if name.startswith("coatcheck.verifier")} != set()


def test_verifier_refusals_are_the_contracts() -> None:
    """Codes, statuses and headers are those of Coatcheck itself."""
    found = {(one.code, one.status): one() for one in refusals.Refused.__subclasses__()}
    assert found.keys() == {
        ("unauthenticated", 401),
        ("token_invalid", 401),
        ("token_expired", 401),
        ("session_revoked", 401),
        ("unavailable", 503),
    }
    for (code, status), refused in found.items():
        assert ("WWW-Authenticate" in refused.headers) == (status == 401)
        assert ("Retry-After" in refused.headers) == (status == 503)
        assert (refused.body["code"], refused.body["status"]) == (code, status)


# -- forgeries -----------------------------------------------------------------------------------------------------


def test_verifier_any_changed_character_is_refused() -> None:
    """A token with any one character of header, payload or signature changed is refused."""
    verifier, text = _verifier(), ISSUER.token()
    for place in range(0, len(text) - 1, 3):
        if text[place] != ".":
            other = ALPHABET[(ALPHABET.index(text[place]) + 1) % 64]
            assert _refusal(text[:place] + other + text[place + 1 :], verifier) is TokenInvalid, place


@pytest.mark.parametrize("more", ["=", "==", " ", "\n", ".", ".AAAA", "\0", "é", "\ud800"])
def test_verifier_anything_more_is_refused(more: str) -> None:
    """Padding, blanks and further parts are refused wherever they stand."""
    header, payload, signature = ISSUER.token().split(".")
    for text in (f"{header}.{payload}.{signature}{more}", f"{more}{header}.{payload}.{signature}"):
        assert _refusal(text) is TokenInvalid
    assert _refusal(f"{header}{more}.{payload}.{signature}") is TokenInvalid


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, "HS256", "ES384", "RS256", ["ES256"]])
def test_verifier_knows_one_algorithm(alg: object) -> None:
    """Another algorithm, or none, is refused, with any signature and with a good one."""
    header = HEADER | {"alg": alg}
    assert all(_refusal(f"{b64(header)}.{b64(PAYLOAD)}.{end}") is TokenInvalid for end in ("", "AA", "A" * 86))
    assert _refusal(sign(header, PAYLOAD, ISSUER.private)) is TokenInvalid


@pytest.mark.parametrize("alg", ["HS256", "HS512", "ES256"])
def test_verifier_public_key_is_no_secret(alg: str) -> None:
    """The public key, in every spelling that everybody has, is no HMAC secret (CVE-2022-29217)."""
    public = ISSUER.private.public_key()
    spellings = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        json.dumps(ISSUER.keys[0]).encode(),
        b"",
    ]
    message = f"{b64(HEADER | {'alg': alg})}.{b64(PAYLOAD)}"
    for key in spellings:
        assert _refusal(f"{message}.{b64(hmac.digest(key, message.encode(), 'sha256'))}") is TokenInvalid


@pytest.mark.parametrize("r, s", [(0, 0), (1, 1), (0, 1), (1, 0)])
def test_verifier_trivial_signature_is_refused(r: int, s: int) -> None:
    """Zeros and ones sign nothing (CVE-2022-21449)."""
    assert _refusal(f"{b64(HEADER)}.{b64(PAYLOAD)}.{b64(r.to_bytes(32) + s.to_bytes(32))}") is TokenInvalid


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": jwk(generate_private_key(SECP256R1()), KID)},
        *({"jku": "http://127.0.0.1:9/jwks.json"}, {"x5u": "file:///etc/passwd"}, {"x5c": ["AAAA"]}, {"zip": "DEF"}),
        *({"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": False}, {"b64": True}, {"cty": "JWT"}, {"enc": "A128GCM"}),
    ],
)
def test_verifier_foreign_header_parameter_is_refused(extra: dict[str, object]) -> None:
    """What would bring in a key, a place of one, or an extension is refused even if the issuer has signed it."""
    assert _refusal(ISSUER.token(extra)) is TokenInvalid


@pytest.mark.parametrize(
    "kid", [None, 0, [], {}, KID + "\0", KID.upper(), [KID], "../../dev/null", "' OR 1=1", "k" * 900]
)
def test_verifier_odd_kid_is_refused(kid: object) -> None:
    """Only the exact name of a key finds it; an unknown one is 401, or 503 while keys are being fetched, never good."""
    assert _refusal(ISSUER.token({"kid": kid})) in (TokenInvalid, KeysUnknown)


@pytest.mark.parametrize("typ", ["JWT", "at+JWT", "application/at+jwt", "", None, 1, "coatcheck-revocations+jwt"])
def test_verifier_other_kinds_are_refused(typ: object) -> None:
    """A token that does not call itself `at+jwt` is of another kind; a signed list is no token."""
    assert _refusal(ISSUER.token({"typ": typ})) is TokenInvalid
    assert _refusal(ISSUER.list(None, "1")) is TokenInvalid


def test_verifier_list_is_no_token_and_token_no_list() -> None:
    """A token in the place of a list teaches nothing, whatever it says."""
    verifier = _verifier()
    lists: dict[str, Any] = {"keep": 610, "after": verifier._endings.cursor, "sessions": [], "next": "9", "more": False}
    assert not verifier._follower._take_in(ISSUER.token(None, **lists))
    assert not verifier._follower._take_in(ISSUER.list(verifier._endings.cursor, "9", typ="at+jwt"))
    assert verifier._follower._take_in(ISSUER.list(verifier._endings.cursor, "9"))


def test_verifier_foreign_key_is_refused() -> None:
    """Another key's signature is refused, under the issuer's `kid` too."""
    foreign = generate_private_key(SECP256R1())
    assert _refusal(sign(HEADER, PAYLOAD, foreign)) is TokenInvalid
    assert _refusal(sign({"typ": "at+jwt", "alg": "ES256"}, PAYLOAD, ISSUER.private)) is TokenInvalid


@pytest.mark.parametrize("name", sorted(PAYLOAD))
def test_verifier_every_claim_is_required(name: str) -> None:
    """A token without one of the claims, or with null in its place, is refused."""
    assert _refusal(ISSUER.token(**{name: None})) is TokenInvalid
    assert _refusal(sign(HEADER, PAYLOAD | {name: None}, ISSUER.private)) is TokenInvalid


@pytest.mark.parametrize(
    "name, value",
    [
        *(("iss", "http://127.0.0.1"), ("iss", ISSUER.url + "/"), ("iss", ISSUER.url.upper()), ("iss", [ISSUER.url])),
        *(("aud", [AUDIENCE]), ("aud", AUDIENCE + "/"), ("aud", AUDIENCE[:-1]), ("aud", ""), ("aud", 1)),
        *(("exp", "9999999999"), ("exp", 9e9), ("exp", True), ("exp", -1), ("exp", [9999999999]), ("exp", 2**70)),
        *(("iat", "1"), ("iat", 1.5), ("auth_time", "1"), ("gen", "0"), ("gen", True), ("gen", -1)),
        *(("sub", 1), ("sub", "acc_"), ("sub", "ses_AAAAAAAAAAAAAAAAAAAAAA"), ("sub", ["acc_AAAAAAAAAAAAAAAAAAAAAA"])),
        *(("sid", "acc_AAAAAAAAAAAAAAAAAAAAAA"), ("sid", "ses_AAAAAAAAAAAAAAAAAAAAAA\n"), ("sid", {})),
        *(("jti", 1), ("jti", ""), ("client_id", ""), ("client_id", ["native"]), ("amr", "pwd"), ("amr", [1])),
        *(("roles", "admin"), ("roles", [["admin"]]), ("roles", {"admin": 1})),
        *(("cnf", "x"), ("cnf", {}), ("cnf", {"jkt": 1}), ("cnf", [])),
    ],
)
def test_verifier_claims_of_another_shape_are_refused(name: str, value: object) -> None:
    """Claims have one type each; issuer and audience are compared as they stand."""
    assert _refusal(ISSUER.token(None, **{name: value})) is TokenInvalid


@pytest.mark.parametrize(
    "payload",
    [
        *(b"", b"[]", b"1", b"null", b'"x"', b"{", b"\xff", b"[" * 2_000, b'{"a":NaN}', b'{"exp":1e999}'),
        json.dumps(PAYLOAD).encode()[:-1] + b',"sub":"acc_BBBBBBBBBBBBBBBBBBBBBB"}',
        json.dumps(PAYLOAD).encode().replace(b'"exp": ', b'"exp": 1e'),
    ],
)
def test_verifier_malformed_payload_is_refused(payload: bytes) -> None:
    """Signed text that is no object, or says a thing twice, is refused."""
    assert _refusal(sign(HEADER, payload, ISSUER.private)) is TokenInvalid


def test_verifier_huge_token_is_refused_quickly() -> None:
    """Megabytes of anything cost next to nothing."""
    verifier, began = _verifier(), time.thread_time()
    texts = ["A" * 5_000_000, b64(b"[" * 100_000) + ".AA.AA", "." * 1_000_000, ISSUER.token(jti="x" * 5_000)]
    assert {_refusal(text, verifier) for text in texts} == {TokenInvalid}
    assert time.thread_time() - began < 0.5


def _point(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    made = dict(ISSUER.keys[0])
    change(made)
    return made


@pytest.mark.parametrize(
    "key",
    [
        _point(lambda one: one.update(kty="oct", k="AAAA")),
        _point(lambda one: one.update(crv="P-384")),
        _point(lambda one: one.update(use="enc")),
        _point(lambda one: one.update(alg="HS256")),
        _point(lambda one: one.update(x=b64(b"\1" * 32))),
        _point(lambda one: one.pop("y")),
        _point(lambda one: one.update(kid=1)),
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": KID},
        "key",
    ],
)
def test_verifier_takes_only_signing_keys_of_its_curve(key: object) -> None:
    """A published key of another type, curve, use or shape is no key; the good one beside it is not lent its name."""
    assert keys._parse(json.dumps({"keys": [key]}).encode()) == {}
    good = ISSUER.keys[0] | {"kid": "good"}
    assert keys._parse(json.dumps({"keys": [key, good, key]}).encode()).keys() == {"good"}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": {}}', b"\xff", b"[" * 60_000, b"null"])
def test_verifier_malformed_key_sets_hold_no_key(body: bytes) -> None:
    """What is no JWK Set has no keys, and raises nothing."""
    assert keys._parse(body) == {}


# -- time, endings, keys taken back --------------------------------------------------------------------------------


def test_verifier_takes_a_token_until_five_seconds_after_exp() -> None:
    """`exp` counts at each look, also at a token that is known already."""
    verifier, now = _verifier(), time.time()
    good, over = ISSUER.token(exp=int(now) - 3), ISSUER.token(exp=int(now) - 7)
    assert _refusal(good, verifier) is None
    assert _refusal(over, verifier) is TokenExpired
    verifier._endings._wall = lambda: now + 4
    assert _refusal(good, verifier) is TokenExpired


def test_verifier_takes_no_token_older_than_the_lists_remember() -> None:
    """A token that outlives what the issuer remembers of ended sessions has expired, whatever its `exp` says."""
    now = int(time.time())
    assert _refusal(ISSUER.token(iat=now - 600, exp=now + 9_999)) is None
    assert _refusal(ISSUER.token(iat=now - 615, exp=now + 9_999)) is TokenExpired


def test_verifier_goes_by_the_later_clock() -> None:
    """A clock of ours that is put back revives no token: the issuer's last date counts too."""
    verifier, text = _verifier(), ISSUER.token(exp=int(time.time()) - 10)
    verifier._endings._wall = lambda: time.time() - 3_600
    assert _refusal(text, verifier) is TokenExpired
    assert _refusal(ISSUER.token(), verifier) is None


def test_verifier_has_one_clock() -> None:
    """Its own and the issuer's lists decide alone: the library that reads a token goes by no other clock."""
    verifier, then = _verifier(behind=3_600), int(time.time()) - 3_600
    good = ISSUER.token(iat=then - 300, exp=then + 300)
    over = ISSUER.token(iat=then - 300, exp=then - 10)
    assert [_refusal(text, verifier) for text in (good, over)] == [None, TokenExpired]


def test_verifier_refuses_every_spelling_of_an_ended_session() -> None:
    """The session counts, not the token's text: each token of it is refused, known or new; others are good."""
    verifier, known = _verifier(), ISSUER.token()
    other = ISSUER.token(sid="ses_BBBBBBBBBBBBBBBBBBBBBA")
    assert _refusal(known, verifier) is _refusal(other, verifier) is None
    _tell(verifier, "ses_AAAAAAAAAAAAAAAAAAAAAA")
    for text in (known, ISSUER.token(), ISSUER.token(jti="two", gen=7)):
        assert _refusal(text, verifier) is SessionRevoked
    assert _refusal(other, verifier) is None


def test_verifier_refuses_tokens_of_a_key_that_was_taken_back() -> None:
    """A key that the issuer no longer publishes takes its tokens with it, known ones too."""
    verifier, text = _verifier(), ISSUER.token()
    assert _refusal(text, verifier) is None
    verifier._keys._keys = {}
    assert _refusal(text, verifier) is TokenInvalid


def test_verifier_stale_refuses_or_accepts_as_told() -> None:
    """Stale, it refuses with a 503 of its own, or accepts until expiry; a session known to have ended never."""
    text, over = ISSUER.token(), ISSUER.token(exp=int(time.time()) - 10)
    ended = ISSUER.token(sid="ses_BBBBBBBBBBBBBBBBBBBBBA")
    for policy, expected in (("refuse", RevocationsStale), ("accept", None)):
        verifier = _verifier(when_stale=policy)
        _tell(verifier, "ses_BBBBBBBBBBBBBBBBBBBBBA")
        assert _refusal(text, verifier) is None
        verifier._endings._heard -= 11
        assert (_refusal(text, verifier), verifier.is_fresh) == (expected, False)
        assert (_refusal(ended, verifier), _refusal(over, verifier)) == (SessionRevoked, TokenExpired)
        assert _refusal("x.y.z", verifier) is TokenInvalid


def test_verifier_without_keys_says_it_cannot_know() -> None:
    """Before the first keys, and after they have been too old for too long, the answer is 503, whatever the policy."""
    policies: tuple[Literal["refuse", "accept"], ...] = ("refuse", "accept")
    for policy in policies:
        verifier = Verifier(issuer=ISSUER.url, audience=AUDIENCE, when_stale=policy)
        assert _refusal(ISSUER.token(), verifier) is KeysUnknown
        known = _verifier(when_stale=policy)
        assert _refusal(ISSUER.token(), known) is None
        known._keys._until = time.monotonic()
        assert _refusal(ISSUER.token(), known) is KeysUnknown


def test_verifier_key_bound_token_is_no_bearer_token() -> None:
    """A token bound to a key is refused without that key's thumbprint; an ordinary one needs none."""
    verifier, bound = _verifier(), ISSUER.token(cnf={"jkt": "thumbprint"})
    for thumbprint in (None, "", "another"):
        with pytest.raises(TokenInvalid):
            verifier.check(bound, key_thumbprint=thumbprint)
    assert verifier.check(bound, key_thumbprint="thumbprint").key_thumbprint == "thumbprint"
    assert isinstance(verifier.check(ISSUER.token()), Claims)


def test_verifier_remembers_a_bounded_number_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest token known is forgotten for a new one; forgeries are not remembered at all."""
    monkeypatch.setattr("coatcheck.verifier.verifier._MOST", 5)
    verifier = _verifier()
    for number in range(12):
        verifier.check(ISSUER.token(jti=str(number + 1)))
        assert _refusal(ISSUER.token(aud="x"), verifier) is TokenInvalid
    assert len(verifier._verified) == 5
    assert endings.Endings(10, 5).is_fresh() is False
