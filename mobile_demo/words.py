"""What the app says. Plain, calm, second person; each sentence about a failure says what to do next."""

from .refusals import Ended, Refused, Superseded, Unreachable, Untrusted

STILL_SIGNED_IN = "Can't reach the server. You're still signed in."
UNREACHABLE = "Can't reach the server. Check your connection, then try again."
UNTRUSTED = "This server can't prove that it is the right one. Check its address; nothing was sent."
NOT_KEPT = "This device couldn't save your ticket. Make some room on it, then try again."
WRONG_CODE = "This code doesn't fit. Enter the newest one, or go another way."
GONE_ALREADY = "That one is gone already. Choose another, or start again."
STILL_NO_ROOM = "There is still no free hook. Choose one more to sign out."
_OURS = "Something went wrong on our side. Try again in a moment."

_NUMBERS = ["No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten"]

_REFUSALS = {
    "invalid_credentials": "This address and password don't go together. Check both and try again.",
    "mfa_required": "This account asks for one more step. Sign in to go on.",
    "challenge_expired": "That took too long, or was tried too often. Start again.",
    "email_taken": "There is an account with this address already. Sign in instead?",
    "not_found": "That isn't there any more. The list has been brought up to date.",
    "conflict": "This changed in the meantime. Look again, then repeat it.",
    "forbidden": "You're not allowed to do that.",
    "session_limit": "You're signed in on too many devices. Sign one of them out, then try again.",
    "reauthentication_required": "This needs a fresh sign-in. Sign out, sign in again, then repeat it.",
    "invalid_request": "Some of that needs another look.",
    "weak_password": "Choose another password.",
}

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

_AWAY = "You've been away for a while. Sign in to go on."
_COPIED = (
    "This device was signed out for your safety: somebody used a copy of its ticket. Sign in, then look through "
    "your devices."
)
_NEW_PASSWORD = "Your password was changed, so this device was signed out. Sign in with the new one."
_FAREWELLS = {
    "signed_out": "",
    "account_closed": "Your account is closed.",
    "password_changed": _NEW_PASSWORD,
    "password_reset": _NEW_PASSWORD,
    "factor_changed": "Your second step was changed, so this device was signed out.",
    "admin": "This device was signed out by an administrator.",
    "limit": "This device was signed out to make room for a newer sign-in.",
    "replaced": "You signed in again on this device. Sign in to go on here.",
    "reused": _COPIED,
    "token_reused": _COPIED,
    "idle": _AWAY,
    "expired": _AWAY,
    "session_expired": _AWAY,
    "session_revoked": "This device was signed out.",
    "unreadable": "What this device kept can't be opened any more. Sign in again to go on.",
}


def count(number: int, one: str, many: str) -> str:
    """ "Three devices", "12 devices"."""
    return f"{_NUMBERS[number] if number < len(_NUMBERS) else number} {one if number == 1 else many}"


def pause(seconds: float) -> str:
    """A short wait: "30 seconds", "two minutes"."""
    if seconds < 90:
        return count(max(1, round(seconds)), "second", "seconds").lower()
    return count(round(seconds / 60), "minute", "minutes").lower()


def refusal(error: BaseException, *, signed_in: bool) -> str:
    """What to tell about a call that failed; empty when there is nothing to tell."""
    if isinstance(error, Superseded | Ended):
        return ""  # the sign-in screen says why
    if isinstance(error, Untrusted):
        return UNTRUSTED
    if isinstance(error, Unreachable):
        return STILL_SIGNED_IN if signed_in else UNREACHABLE
    if isinstance(error, OSError):
        return NOT_KEPT
    if isinstance(error, Refused):
        if error.code == "rate_limited":
            return f"That was a lot of tries. Wait {pause(error.retry_after or 30)}, then try again."
        return " ".join([_REFUSALS.get(error.code, _OURS), *dict.fromkeys(error.errors.values())])
    return "Something went wrong here. Try again, or start the app anew."


def shape(platform: str | None) -> str:
    """ "phone" or "laptop": which picture a ticket gets."""
    known = (platform or "").lower()
    return "phone" if any(word in known for word in ("android", "ios", "phone", "mobile", "tablet")) else "laptop"


def door_name(door: str, platform: str | None) -> str:
    """How a session came about."""
    if door == "spa":
        return "Browser app"
    if door == "web":
        return "Account pages"
    return "Phone app" if shape(platform) == "phone" else "Installed app"


def ending(reason: str | None, by: str | None = None) -> str:
    """How an ended session ended, for the list of tickets."""
    if reason == "signed_out_elsewhere":
        return f"Signed out by you from {by or 'another device'}"
    return _ENDINGS.get(reason or "", "Signed out")


def farewell(why: Ended | None) -> str:
    """Why this device shows the sign-in form; empty when the person knows."""
    if why is None:
        return ""
    if why.reason == "signed_out_elsewhere":
        return f"This device was signed out from {why.ended_by or 'another device'}."
    return _FAREWELLS.get(why.reason, "Sign in again to go on.")


def stub_number(device_id: str) -> str:
    """The stub's four digits: the 32-bit FNV-1a hash of the device id, modulo 10,000. The same in every client."""
    number = 0x811C9DC5
    for byte in device_id.encode():
        number = (number ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{number % 10_000:04}"
