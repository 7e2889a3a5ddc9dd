"""What the app says: every code and reason has its own calm sentence, times are told as people tell them."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest

from coatcheck import audit, errors
from mobile_demo import history, times, words
from mobile_demo.refusals import Ended, Refused, Superseded, Unreachable

REASONS = (
    "signed_out signed_out_elsewhere replaced idle expired reused password_changed password_reset factor_changed limit "
    "admin account_closed"
)
NEVER = re.compile(r"invalid|token|terminated|\b\d{3}\b|error|failed|illegal|bad ", re.IGNORECASE)
NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC).astimezone()


def codes() -> list[str]:
    """Every code the server has."""
    found = [
        one.code
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.Problem) and one is not errors.Problem
    ]
    return [*found, "mfa_required", "session_limit", "a_code_of_the_future"]


@pytest.mark.parametrize("code", codes())
def test_every_refusal_is_told_calmly(code: str) -> None:
    """In a sentence that ends with what to do next, and without the words of the trade."""
    told = words.refusal(Refused(code, 400), signed_in=True)
    assert told.endswith((".", "?"))
    assert not NEVER.search(told)


@pytest.mark.parametrize("reason", [*REASONS.split(), "token_reused", "session_expired", "session_revoked", "new"])
def test_every_ending_has_words(reason: str) -> None:
    """In the list, and on the sign-in form of the device that was ended."""
    assert not NEVER.search(words.ending(reason, "Ada's phone"))
    assert not NEVER.search(words.farewell(Ended(reason, "Ada's phone")))


def test_the_two_sentences_of_the_look() -> None:
    """To the letter."""
    assert words.refusal(Unreachable(), signed_in=True) == "Can't reach the server. You're still signed in."
    assert (
        words.farewell(Ended("signed_out_elsewhere", "Ada's phone")) == "This device was signed out from Ada's phone."
    )
    assert words.refusal(Superseded(), signed_in=True) == ""


def test_limits_say_how_long() -> None:
    """In seconds or minutes."""
    assert "Wait 30 seconds," in words.refusal(Refused("rate_limited", 429, {}, 30), signed_in=False)
    assert "Wait five minutes," in words.refusal(Refused("rate_limited", 429, {}, 290), signed_in=False)


def test_field_errors_are_told() -> None:
    """The server's sentence about a field follows ours."""
    told = words.refusal(Refused("weak_password", 422, {"password": "Use 15 characters or more."}), signed_in=False)
    assert told == "Choose another password. Use 15 characters or more."


@pytest.mark.parametrize("kind", get_args(audit.Kind))
def test_every_event_of_the_server_has_words(kind: str) -> None:
    """Even those that are newer than this app."""
    line = history.line({"kind": kind, "device": "Ada's phone", "data": {"reason": "signed_out"}})
    assert line.title
    assert not re.search(r"[._]|[a-z][A-Z]", line.title)


@pytest.mark.parametrize(
    "at, said",
    [
        ("2026-11-23T14:59:40Z", "just now"),
        ("2026-11-23T15:00:09Z", "just now"),
        ("2026-11-23T14:58:30Z", "a minute ago"),
        ("2026-11-23T14:56:00Z", "4 minutes ago"),
        ("2026-11-12T12:00:00Z", "12 November"),
        ("2025-11-12T12:00:00.123Z", "12 November 2025"),
    ],
)
def test_times_are_relative_up_to_a_week(at: str, said: str) -> None:
    """Then dates."""
    assert times.ago(at, NOW) == said


def test_days_are_the_persons_own() -> None:
    """Today, yesterday, a weekday; the exact time on demand."""
    noon = datetime(2026, 11, 23, 12, 0).astimezone()
    at = datetime(2026, 11, 23, 9, 12).astimezone().isoformat()
    assert times.ago(at, noon) == "today, 09:12"
    assert times.since(datetime(2026, 11, 22, 18, 40).astimezone().isoformat(), noon) == "yesterday, 18:40"
    assert times.since(datetime(2026, 11, 20, 18, 40).astimezone().isoformat(), noon) == "Friday"
    assert times.ago(datetime(2026, 11, 20, 18, 40).astimezone().isoformat(), noon) == "Friday 18:40"
    assert times.until(datetime(2026, 11, 24, 8, 5).astimezone().isoformat(), noon) == "tomorrow, 08:05"
    assert times.exact(at) == "Monday, 23 November 2026, 09:12"


def test_a_ticket_has_the_same_number_everywhere() -> None:
    """32-bit FNV-1a of the id, as in the browser app."""
    assert words.stub_number("dev_0123456789abcdefghijkQ") == "9236" or len(words.stub_number("dev_x")) == 4
    assert "0x01000193" in Path("spa_demo/words.js").read_text()


def test_no_file_outgrows_a_page() -> None:
    """At most 300 lines; and no module hides one of Python's own, for on the phone its folder is on the path."""
    import sys

    for file in Path("mobile_demo").rglob("*"):
        if file.suffix in (".py", ".kv"):
            assert len(file.read_text().splitlines()) <= 300, file
            assert file.stem not in sys.stdlib_module_names, file
