"""The security history in words: what happened, where, and how serious it is."""

from dataclasses import dataclass
from typing import Any

from .words import ending


@dataclass(frozen=True)
class Line:
    """`icon` is a name in icons.py; `alarm` lines are worth a second look."""

    icon: str
    title: str
    detail: str = ""
    alarm: bool = False


_PLAIN = {
    "account.registered": Line("check", "You made this account"),
    "account.closed": Line("leave", "You closed this account"),
    "account.disabled": Line("alert", "An administrator closed this account", alarm=True),
    "account.enabled": Line("check", "An administrator opened this account again"),
    "login.failed": Line("alert", "Somebody tried a wrong password", alarm=True),
    "staff.reset_started": Line("key", "An administrator had a link for a new password sent to you"),
    "staff.signed_out": Line("leave", "An administrator signed you out"),
    "factor.added": Line("key", "You added a second step"),
    "factor.removed": Line("key", "You removed a second step"),
    "factor.failed": Line("alert", "Somebody got the second step wrong", alarm=True),
    "recovery_codes.made": Line("key", "You made new recovery codes"),
    "recovery_code.used": Line("key", "A recovery code was used"),
    "password.changed": Line("key", "You changed your password"),
    "step_up.proved": Line("key", "You confirmed that it's you"),
    "step_up.failed": Line("alert", "Somebody signed in here gave a wrong password", alarm=True),
}


def line(event: dict[str, Any]) -> Line:
    """One event of `GET /v1/me/activity`; a newer server's unknown kinds still make sense."""
    device, data, kind = event.get("device") or "a device", event.get("data") or {}, str(event.get("kind", ""))
    match kind:
        case "role.granted":
            return Line("key", "An administrator gave you a role", f"You are {data.get('role')} now")
        case "role.taken":
            return Line("key", "An administrator took a role from you", f"You are {data.get('role')} now")
        case "session.started":
            return Line("enter", f"Signed in on {device}")
        case "session.ended":
            copied = data.get("reason") == "reused"
            return Line("alert" if copied else "leave", f"Signed out on {device}", _how(data), alarm=copied)
        case "refresh.refused":
            return Line("alert", f"An ended ticket was shown on {device}", "It was refused")
        case "token.reused":
            advice = "That session was ended. If this wasn't you, change your password"
            return Line("alert", f"A copied ticket was used on {device}", advice, alarm=True)
        case "device.renamed":
            return Line("pencil", "You renamed a device", f"Now called {data.get('name') or device}")
    return _PLAIN.get(kind) or Line("check", _unknown(kind))


def _unknown(kind: str) -> str:
    return kind.replace(".", " ").replace("_", " ").capitalize() or "Something happened"


def _how(data: dict[str, Any]) -> str:
    return ending(data.get("reason"), data.get("ended_by"))
