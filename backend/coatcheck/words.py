"""What pages say: times, counts, and why a session ended. Plain, calm, second person; the app's words.js says the same.

Without a script the days are those of UTC, and said to be; with one, `pages.js` puts the person's own.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from . import ids
from .clock import MINUTE, rfc3339

_NUMBERS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
_WEEK = 7  # days told by name

_ENDINGS = {
    "signed_out": "Signed out by you",
    "replaced": "Replaced when you signed in again",
    "idle": "Ended because it wasn't used for a while",
    "expired": "Ended because it reached its full age",
    "reused": "Ended for your safety: somebody used a copy of its ticket",
    "password_changed": "Signed out when you changed your password",
    "password_reset": "Signed out when your password was reset",
    "factor_changed": "Signed out when your second step changed",
    "limit": "Made room for a newer sign-in",
    "admin": "Signed out by an administrator",
}
_FAREWELLS = {
    "account_closed": "Your account is closed.",
    "password_changed": "Your password was changed, so this browser was signed out. Sign in with the new one.",
    "password_reset": "Your password was changed, so this browser was signed out. Sign in with the new one.",
    "factor_changed": "Your second step was changed, so this browser was signed out.",
    "admin": "This browser was signed out by an administrator.",
    "limit": "This browser was signed out to make room for a newer sign-in.",
    "reused": "This browser was signed out for your safety: somebody used a copy of its ticket. Sign in, then look"
    " through your devices.",
}


def ending(reason: str | None, by: str | None = None) -> str:
    """How a session ended, for the list of tickets."""
    if reason == "signed_out_elsewhere":
        return f"Signed out by you from {by or 'another device'}"
    return _ENDINGS.get(reason or "", "Signed out")


def farewell(reason: str | None, by: str | None = None) -> str:
    """Why this browser shows the sign-in page."""
    if reason == "signed_out_elsewhere":
        return f"This browser was signed out from {by or 'another device'}."
    return _FAREWELLS.get(reason or "", "This browser was signed out.")


def count(n: int, one: str, many: str) -> str:
    """`Three devices`, `12 devices`."""
    return f"{_NUMBERS[n] if n < len(_NUMBERS) else n} {one if n == 1 else many}"


def pause(seconds: int) -> str:
    """A short wait: `30 seconds`, `five minutes`."""
    if seconds < 90:
        return count(max(1, seconds), "second", "seconds").lower()
    return count(-(-seconds // 60), "minute", "minutes").lower()


def ago(at: int, now: int) -> str:
    """`just now`, `4 minutes ago`, `today, 09:12 UTC`, `Sunday 20:15 UTC`, `3 November`."""
    minutes = (now - at) // MINUTE
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return "a minute ago" if minutes == 1 else f"{minutes} minutes ago"
    return _day(at, now, exact=True)


def since(at: int, now: int) -> str:
    """`today, 09:12 UTC`, `Friday`, `3 November`."""
    return _day(at, now, exact=False)


def until(at: int, now: int) -> str:
    """`today, 18:00 UTC`, `tomorrow, 09:12 UTC`, `3 December`."""
    then, days = _moment(at), (_moment(at).date() - _moment(now).date()).days
    if days < 1:
        return f"today, {then:%H:%M} UTC"
    return f"tomorrow, {then:%H:%M} UTC" if days == 1 else _date(then, _moment(now))


def exactly(at: int) -> str:
    """`Sunday, 22 November 2026, 20:15:07 UTC`."""
    then = _moment(at)
    return f"{then:%A}, {then.day} {then:%B} {then.year}, {then:%H:%M:%S} UTC"


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)


def _day(at: int, now: int, exact: bool) -> str:
    then, today = _moment(at), _moment(now)
    days = (today.date() - then.date()).days
    if days < 1:
        return f"today, {then:%H:%M} UTC"
    if days == 1:
        return f"yesterday, {then:%H:%M} UTC"
    if days >= _WEEK:
        return _date(then, today)
    return f"{then:%A %H:%M} UTC" if exact else f"{then:%A}"


def _date(then: datetime, today: datetime) -> str:
    return f"{then.day} {then:%B}" + ("" if then.year == today.year else f" {then.year}")


def shape(platform: str | None) -> str:
    """Which picture a device gets: `phone` or `laptop`."""
    small = ("android", "ios", "ipados", "phone", "mobile", "tablet")
    return "phone" if any(word in (platform or "").lower() for word in small) else "laptop"


def door_name(door: str, platform: str | None) -> str:
    """What the door is to a person."""
    if door == "spa":
        return "Web app"
    if door == "web":
        return "Account pages"
    return "Phone app" if shape(platform) == "phone" else "Installed app"


def stub_number(device_id: str) -> str:
    """The stub's four digits: the 32-bit FNV-1a hash of the public device id, modulo 10,000, as in every client."""
    found = 0x811C9DC5
    for byte in device_id.encode():
        found = (found ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{found % 10_000:04}"


# What templates may call.
SPOKEN: dict[str, Callable[..., Any]] = {
    "ago": ago,
    "count": count,
    "door_name": door_name,
    "ending": ending,
    "exactly": exactly,
    "pause": pause,
    "public_id": ids.text,
    "rfc3339": rfc3339,
    "shape": shape,
    "since": since,
    "stub_number": stub_number,
    "until": until,
}
