"""How hard a new password is to guess: the phone's words are the browser's, and they come while typing."""

import json
from pathlib import Path
from typing import Any

import pytest

from mobile_demo.strength import strength

from .phone import Phone
from .test_screens import phone

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "strength.json").read_text())

__all__ = ["phone"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["password"] or "nothing")
def test_strength_is_what_both_clients_say(case: dict[str, Any]) -> None:
    """Each password of the list that the browser app is held to as well."""
    assert strength(case["password"], case["least"], case["known"]) == (case["level"], case["words"])


async def test_strength_is_told_while_a_password_is_typed(phone: Phone) -> None:
    """On the sign-up screen: how much is missing, and that an own address is easy to guess."""
    await phone.tap("Make an account")
    await phone.shows("A few words that nobody would guess make a good one.")
    await phone.fill("Password", "short")
    await phone.shows("10 characters to go.")
    await phone.fill("Password", "three wise monkeys dancing")
    await phone.shows("Hard to guess.")
    await phone.fill("Email address", "three.wise.monkeys.dancing@example.test")
    await phone.shows("Easy to guess")
