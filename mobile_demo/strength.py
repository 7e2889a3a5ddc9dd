"""How hard a new password is to guess, in calm words while it is typed. An estimate for the person; the server decides.

The browser app says the same (spa_demo/strength.js): tests/strength.json holds both to it.
"""

import re
import unicodedata
from collections.abc import Sequence

LEAST = 15  # characters that a server wants if it wasn't told otherwise
_ROWS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_COMMON = ("password", "passwort", "letmein", "welcome", "iloveyou", "monkey123", "coatcheck", "qwerty")
_EASY = "Easy to guess: much of it repeats, counts up, or is your address."
_WORD, _REPEATED = re.compile(r"[^\W\d_]{3,}"), re.compile(r"(.+?)\1+")


def strength(password: str, least: int = LEAST, known: Sequence[str] = ()) -> tuple[int, str]:
    """A level, 0: too short yet, to 3: hard to guess; and the words for it. `known`: the person's address."""
    text = unicodedata.normalize("NFC", password)
    missing = least - len(text)
    if not text or missing > 0:
        return 0, f"{'One character' if missing == 1 else f'{missing} characters'} to go." if text else ""
    rest = _essence(text.lower(), known)
    if len(rest) < 11:
        return 1, "Easy to guess: it is short." if len(text) < 12 else _EASY
    if len(set(_WORD.findall(rest))) >= 3 or len(rest) >= 18:
        return 3, "Hard to guess."
    return 2, "Good. One or two words more make it hard to guess."


def _essence(text: str, known: Sequence[str]) -> str:
    """What is left without known words, runs of a row of keys, and repetitions."""
    for word in [part for address in known for part in _parts(address)] + list(_COMMON):
        text = text.replace(word, "")
    for row in _ROWS:
        text = _without_runs(text, row)
    return _REPEATED.sub(r"\1", text)


def _parts(address: str) -> list[str]:
    small = address.lower()
    return [part for part in [small, *[one for one in re.split(r"[\W_]+", small) if len(one) > 2]] if part]


def _without_runs(text: str, row: str) -> str:
    for line in (row, row[::-1]):
        for size in range(len(line), 3, -1):
            for at in range(len(line) - size + 1):
                text = text.replace(line[at : at + size], "")
    return text
