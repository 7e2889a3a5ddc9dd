"""The refresh token's text: genuine or refused, before anything is looked up."""

import hashlib
import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coatcheck import refresh_tokens
from coatcheck.errors import TokenInvalid
from coatcheck.refresh_tokens import Door, RefreshToken
from coatcheck.secrets import RootSecrets

OLD, NEW, FOREIGN = ("old root secret " * 3, "new root secret " * 3, "foreign root secret " * 3)
ROOTS = RootSecrets([OLD])
SESSION_ID, NONCE = bytes(range(16)), bytes(range(100, 116))
TOKEN = RefreshToken(Door.NATIVE, ROOTS.writing, SESSION_ID, 7, NONCE)
TEXT = refresh_tokens.write(ROOTS, TOKEN)


def _refused(text: str, door: Door = Door.NATIVE, roots: RootSecrets = ROOTS) -> bool:
    try:
        refresh_tokens.read(roots, text, door)
    except TokenInvalid:
        return True
    return False


@given(
    st.sampled_from(list(Door)), st.binary(min_size=16, max_size=16), st.integers(0, 2**32 - 1), st.binary(min_size=16)
)
def test_refresh_token_reads_what_was_written(door: Door, session_id: bytes, generation: int, nonce: bytes) -> None:
    """A genuine token says exactly what it was made of, and has 82 characters of a cookie's alphabet."""
    token = RefreshToken(door, ROOTS.writing, session_id, generation, nonce[:16])
    text = refresh_tokens.write(ROOTS, token)
    assert refresh_tokens.read(ROOTS, text, door) == token
    assert len(text) == 82
    assert text.startswith("cct_w_" if door is Door.WEB else "cct_r_")


def test_refresh_token_successor_is_derived() -> None:
    """The next generation is made from the presented token alone, the same at every retry."""
    successor = refresh_tokens.write(ROOTS, TOKEN.at(8, ROOTS.writing))
    again = refresh_tokens.read(ROOTS, TEXT, Door.NATIVE).at(8, ROOTS.writing)
    assert refresh_tokens.write(ROOTS, again) == successor != TEXT
    assert refresh_tokens.read(ROOTS, successor, Door.NATIVE).generation == 8


def test_refresh_token_any_flipped_bit_is_refused() -> None:
    """Each of the 456 bits counts: with any one of them flipped, the token is forged."""
    sealed = bytearray(urlsafe_b64decode(TEXT[6:]))
    for bit in range(len(sealed) * 8):
        sealed[bit // 8] ^= 1 << bit % 8
        assert _refused("cct_r_" + urlsafe_b64encode(sealed).decode()), bit
        sealed[bit // 8] ^= 1 << bit % 8
    assert not _refused("cct_r_" + urlsafe_b64encode(sealed).decode())


def test_refresh_token_one_character_more_or_less_is_refused() -> None:
    """A token cut short anywhere, or with anything before or behind it, is refused."""
    assert all(_refused(TEXT[:length]) for length in range(len(TEXT)))
    assert all(_refused(TEXT + more) for more in ("A", "=", "==", " ", "\n", "\0", TEXT))
    assert all(_refused(more + TEXT) for more in ("A", " ", "\n", "Bearer "))


@pytest.mark.parametrize(
    "spelling",
    [
        TEXT.replace("cct_r_", "cct_w_"),
        TEXT.replace("cct_r_", "CCT_R_"),
        TEXT[6:],
        TEXT + "=",
        TEXT[:-2] + "=" + TEXT[-1],
        "cct_r_" + TEXT[6:].replace("_", "/").replace("-", "+") + "\n",
        TEXT[:-1] + "٣",
    ],
)
def test_refresh_token_has_one_spelling(spelling: str) -> None:
    """Another prefix, case, alphabet or padding makes another token, which is none."""
    assert _refused(spelling)


def test_refresh_token_standard_alphabet_is_refused() -> None:
    """The same bytes in base64's other alphabet are refused, also when no character would differ in length."""
    for generation in range(200):
        text = refresh_tokens.write(ROOTS, TOKEN.at(generation, ROOTS.writing))
        other = "cct_r_" + text[6:].replace("-", "+").replace("_", "/")
        assert (other == text) or _refused(other)


@pytest.mark.parametrize("door", list(Door))
def test_refresh_token_opens_its_own_door_only(door: Door) -> None:
    """A genuine token of one door is refused at the two others."""
    text = refresh_tokens.write(ROOTS, RefreshToken(door, ROOTS.writing, SESSION_ID, 0, NONCE))
    for tried in Door:
        assert _refused(text, tried) == (tried is not door)


def test_refresh_token_of_a_foreign_root_is_refused() -> None:
    """A token made under a secret that is not listed is refused, whatever kid it claims."""
    foreign = RootSecrets([FOREIGN])
    assert _refused(refresh_tokens.write(foreign, TOKEN.at(7, foreign.writing)))
    body = urlsafe_b64decode(TEXT[6:])[:-16]
    forged = body + foreign.mac(foreign.writing, "refresh token", body)[:16]
    assert _refused("cct_r_" + urlsafe_b64encode(forged).decode())


def test_refresh_token_mac_needs_the_derived_key() -> None:
    """The root secret itself, a plain hash, zeros and another purpose's key make no MAC that is accepted."""
    body = urlsafe_b64decode(TEXT[6:])[:-16]
    macs = [
        hmac.digest(OLD.encode(), body, "sha256"),
        hashlib.sha256(body).digest(),
        bytes(32),
        ROOTS.mac(ROOTS.writing, "csrf", body),
        ROOTS.mac(ROOTS.writing, "signing key", body),
    ]
    for mac in macs:
        assert _refused("cct_r_" + urlsafe_b64encode(body + mac[:16]).decode())


def test_refresh_token_root_secrets_rotate() -> None:
    """With a new secret listed first, old tokens are read, answers given do not change, new ones use the new secret."""
    both = RootSecrets([NEW, OLD])
    token = refresh_tokens.read(both, TEXT, Door.NATIVE)
    assert token == TOKEN
    assert refresh_tokens.write(both, token) == TEXT
    renewed = refresh_tokens.write(both, token.at(8, both.writing))
    assert refresh_tokens.read(RootSecrets([NEW]), renewed, Door.NATIVE).kid == both.writing != token.kid
    assert _refused(TEXT, roots=RootSecrets([NEW]))


def test_refresh_token_hides_its_nonce_behind_a_hash() -> None:
    """What a row keeps of the nonce is its SHA-256, from which no token can be made."""
    assert TOKEN.nonce_hash == hashlib.sha256(NONCE).digest()
    thief = TOKEN.__class__(Door.NATIVE, ROOTS.writing, SESSION_ID, 7, TOKEN.nonce_hash[:16])
    assert thief.nonce_hash != TOKEN.nonce_hash


@given(st.one_of(st.text(max_size=200), st.from_regex(r"cct_[rw]_[A-Za-z0-9_-]{70,80}", fullmatch=True)))
def test_refresh_token_any_text_is_refused_cleanly(text: str) -> None:
    """No text, however shaped, is anything but refused."""
    assert _refused(text)


def test_refresh_token_huge_text_is_refused_cleanly() -> None:
    """A megabyte is refused like anything else."""
    assert _refused("cct_r_" + "A" * 1_000_000)
    assert _refused(os.urandom(1_000).decode("latin-1"))
