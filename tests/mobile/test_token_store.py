"""The token store: nothing readable on disk, nothing half written, and never a crash over what can't be opened."""

import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobile_demo import keyring_seal, words
from mobile_demo.core import Core
from mobile_demo.kept import Kept, Owed, SignedIn
from mobile_demo.key_file_seal import KeyFileSeal
from mobile_demo.preferences import Preferences
from mobile_demo.session import Session
from mobile_demo.token_store import TokenStore

SIGNED_IN = SignedIn("https://coatcheck.test", "ses_1", "cct_r_secret", {"email": "ada@example.test"})
KEPT = Kept(SIGNED_IN, (Owed("https://coatcheck.test", "cct_r_older"),), {"https://coatcheck.test ada": "cct_d_secret"})


def filled(folder: Path) -> TokenStore:
    """A store that keeps `KEPT`."""
    store = TokenStore(folder)
    store.change(lambda _: KEPT)
    return store


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    """In another process too."""
    filled(tmp_path)
    assert TokenStore(tmp_path).load() == KEPT


def test_the_files_are_private_and_unreadable(tmp_path: Path) -> None:
    """Mode 0600 in a folder of mode 0700, and no secret or address in any of them."""
    filled(tmp_path / "phone")
    assert stat.S_IMODE((tmp_path / "phone").stat().st_mode) == 0o700
    for file in (tmp_path / "phone").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        assert not any(word in file.read_bytes() for word in (b"cct_", b"ada", b"ses_1")), file


def test_it_says_plainly_what_it_protects_against(tmp_path: Path) -> None:
    """And what it doesn't."""
    assert "other users of this computer can't read" in TokenStore(tmp_path).protects
    assert "Programs that you run yourself could." in TokenStore(tmp_path).protects


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "truncated": lambda folder: _sealed(folder).write_bytes(_sealed(folder).read_bytes()[:40]),
    "empty": lambda folder: _sealed(folder).write_bytes(b""),
    "altered": lambda folder: _sealed(folder).write_bytes(_sealed(folder).read_bytes()[:-1] + b"x"),
    "noise": lambda folder: _sealed(folder).write_bytes(bytes(range(256))),
    "another seal's": lambda folder: _sealed(folder).write_bytes(b"coatcheck1 android\n" + bytes(60)),
    "a key lost": lambda folder: (folder / "seal.key").unlink(),
    "another key": lambda folder: (folder / "seal.key").write_bytes(bytes(32)),
    "half a key": lambda folder: (folder / "seal.key").write_bytes(bytes(7)),
    "a folder in its place": lambda folder: (
        _sealed(folder).rename(folder / "elsewhere").parent.joinpath("session.sealed").mkdir()
    ),
}


def _sealed(folder: Path) -> Path:
    return folder / "session.sealed"


@pytest.mark.parametrize("what", DAMAGE)
def test_what_cant_be_opened_means_signed_out(tmp_path: Path, what: str) -> None:
    """Never a crash."""
    filled(tmp_path)
    DAMAGE[what](tmp_path)
    session = Session(TokenStore(tmp_path), "https://coatcheck.test")
    assert session.signed_in is None
    assert words.farewell(session.farewell) in (
        "",
        "What this device kept can't be opened any more. Sign in again to go on.",
    )


def test_an_unreadable_file_is_replaced_by_the_next_sign_in_only(tmp_path: Path) -> None:
    """A key store may only be locked: nothing is thrown away until there is something to keep."""
    filled(tmp_path)
    key = (tmp_path / "seal.key").read_bytes()
    (tmp_path / "seal.key").unlink()
    store = TokenStore(tmp_path)
    store.change(lambda kept: kept.with_end("ses_1"))
    (tmp_path / "seal.key").write_bytes(key)
    assert TokenStore(tmp_path).load() == KEPT


def test_a_record_of_the_future_is_not_a_crash(tmp_path: Path) -> None:
    """Fields we don't know: signed out."""
    store = filled(tmp_path)
    seal = KeyFileSeal(tmp_path)
    for content in (b"[]", b"{}", b'{"signed_in":{"x":1},"owed":[],"device_tokens":{}}', b"\xff", b"null"):
        _sealed(tmp_path).write_bytes(b"coatcheck1 file\n" + seal.close(content))
        assert store.load() == Kept()


def test_changes_from_many_threads_are_all_kept(tmp_path: Path) -> None:
    """Read, change, write is one step."""
    stores = [TokenStore(tmp_path) for _ in range(4)]

    def owe(number: int) -> None:
        for step in range(4):
            owed = Owed("https://coatcheck.test", f"{number}-{step}")
            stores[number].change(lambda kept, one=owed: Kept(kept.signed_in, (*kept.owed, one), kept.device_tokens))  # type: ignore[misc]

    threads = [threading.Thread(target=owe, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores[0].load().owed) == 16


def test_a_slow_writer_never_undoes_a_faster_one() -> None:
    """The successor is written only over the token it came from, and only for its own session."""
    faster = KEPT.with_refresh("cct_r_secret", "cct_r_2").with_refresh("cct_r_2", "cct_r_3")
    assert faster.with_refresh("cct_r_secret", "cct_r_2") == faster
    assert KEPT.with_end("ses_other") == KEPT
    assert KEPT.with_sign_out().with_refresh("cct_r_secret", "cct_r_2").signed_in is None


def test_secrets_stay_out_of_reprs() -> None:
    """A traceback or a log line shows none."""
    assert "cct_" not in repr(KEPT)


class Backend:
    """A key store as `keyring` presents one, whose lock we can turn. (A real one needs a desktop session.)"""

    priority = 5.0

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, user: str) -> str | None:
        if self.locked:
            raise RuntimeError("locked")
        return self.held.get((service, user))

    def set_password(self, service: str, user: str, password: str) -> None:
        if self.locked:
            raise RuntimeError("locked")
        self.held[service, user] = password


def test_a_locked_key_store_loses_nothing(tmp_path: Path) -> None:
    """Locked: signed out for now. Unlocked: there it is again. Locked while writing: the key file stands in."""
    backend = Backend()
    seals: list[Any] = [keyring_seal.KeyringSeal(backend, tmp_path), KeyFileSeal(tmp_path)]
    store = TokenStore(tmp_path, seals)
    store.change(lambda _: KEPT)
    assert _sealed(tmp_path).read_bytes().startswith(b"coatcheck1 keyring\n")
    backend.locked = True
    assert store.load() == Kept()
    assert store.unreadable
    backend.locked = False
    assert store.load() == KEPT
    backend.locked = True
    store.change(lambda _: KEPT.with_end("ses_1"))
    assert _sealed(tmp_path).read_bytes().startswith(b"coatcheck1 file\n")
    backend.locked = False
    assert store.load() == KEPT.with_end("ses_1")


@pytest.mark.parametrize(
    "module, priority, real",
    [
        ("keyring.backends.SecretService", 5, True),
        ("keyring.backends.null", -1, False),
        ("keyring.backends.fail", 0, False),
        ("keyrings.alt.file", 0.5, False),
    ],
)
def test_only_a_real_key_store_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, priority: float, real: bool
) -> None:
    """`keyring`'s stand-ins keep secrets in plain text, or not at all."""
    import sys
    from types import SimpleNamespace

    backend = type("Keyring", (), {"__module__": module, "priority": priority})()
    monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_keyring=lambda: backend))
    assert (keyring_seal.keyring_seal(tmp_path) is not None) == real


def test_without_keyring_there_is_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is optional."""
    import sys

    monkeypatch.setitem(sys.modules, "keyring", None)
    assert keyring_seal.keyring_seal(tmp_path) is None


def test_damaged_preferences_mean_the_defaults(tmp_path: Path) -> None:
    """A crash at start would be worse."""
    Preferences("https://a.test", "dark").save(tmp_path)
    assert Preferences.load(tmp_path) == Preferences("https://a.test", "dark")
    for content in ("", "{", "[]", '{"server":5,"appearance":"dark"}', '{"server":"http://a.test","appearance":"x"}'):
        (tmp_path / "preferences.json").write_text(content)
        assert Preferences.load(tmp_path) == Preferences()


async def test_a_core_on_a_damaged_store_starts(tmp_path: Path) -> None:
    """To the sign-in form, which says why."""
    filled(tmp_path)
    DAMAGE["altered"](tmp_path)
    core = Core(tmp_path, "http://127.0.0.1:9")
    assert core.session.signed_in is None
    assert "can't be opened" in words.farewell(core.session.farewell)
    await core.close()
