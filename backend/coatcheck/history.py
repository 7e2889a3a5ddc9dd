"""Security events in words: what happened, where, and how serious it is; the app's history.js says the same."""

from collections.abc import Callable
from dataclasses import dataclass

from .words import ending

_About = dict[str, str]


@dataclass(frozen=True, slots=True)
class Line:
    """One event as a person reads it. `icon` is a picture's name; an alarm is drawn in the colour of one."""

    icon: str
    title: str
    detail: str = ""
    alarm: bool = False


def _ended(device: str, about: _About) -> Line:
    stolen = about.get("reason") == "reused"
    detail = ending(about.get("reason"), about.get("ended_by"))
    return Line("alert" if stolen else "leave", f"Signed out on {device}", detail, alarm=stolen)


_KINDS: dict[str, Callable[[str, _About], Line]] = {
    "account.registered": lambda _d, _a: Line("check", "You made this account"),
    "account.closed": lambda _d, _a: Line("leave", "You closed this account"),
    "account.exported": lambda _d, _a: Line("leave", "You took a copy of your data"),
    "login.failed": lambda _d, _a: Line("alert", "Somebody tried a wrong password", alarm=True),
    "session.started": lambda device, _a: Line("enter", f"Signed in on {device}"),
    "session.ended": _ended,
    "refresh.refused": lambda device, _a: Line("alert", f"An ended ticket was shown on {device}", "It was refused"),
    "token.reused": lambda device, _a: Line(
        "alert",
        f"A copied ticket was used on {device}",
        "That session was ended. If this wasn't you, change your password",
        alarm=True,
    ),
    "password.changed": lambda _d, _a: Line("key", "You changed your password"),
    "device.renamed": lambda device, about: Line(
        "pencil", "You renamed a device", f"Now called {about.get('name') or device}"
    ),
    "account.disabled": lambda _d, _a: Line("alert", "An administrator closed this account", alarm=True),
    "account.enabled": lambda _d, _a: Line("check", "An administrator opened this account again"),
    "role.granted": lambda _d, about: Line(
        "key", "An administrator gave you a role", f"You are {about.get('role')} now"
    ),
    "role.taken": lambda _d, about: Line(
        "key", "An administrator took a role from you", f"You are {about.get('role')} now"
    ),
    "staff.reset_started": lambda _d, _a: Line("key", "An administrator had a link for a new password sent to you"),
    "staff.signed_out": lambda _d, _a: Line("leave", "An administrator signed you out"),
    "factor.added": lambda _d, about: Line("key", "You added a second step", about.get("name", "")),
    "factor.removed": lambda _d, about: Line("key", "You removed a second step", about.get("name", "")),
    "factor.failed": lambda _d, _a: Line("alert", "Somebody gave a wrong second step", alarm=True),
    "recovery_codes.made": lambda _d, _a: Line("key", "You made new recovery codes"),
    "recovery_code.used": lambda _d, about: Line(
        "key", "A recovery code was used", f"{about.get('left', '?')} are left"
    ),
    "password.reset_asked": lambda _d, _a: Line("key", "Somebody asked for a new password by mail"),
    "password.reset": lambda _d, _a: Line("key", "A new password was set by a link from a mail"),
    "step_up.proved": lambda _d, _a: Line("key", "You confirmed that it is you"),
    "step_up.failed": lambda _d, _a: Line("alert", "A confirmation that it is you failed", alarm=True),
}


def line(kind: str, device: str | None, about: _About) -> Line:
    """The event's line; a kind without words of its own still says something: `factor.added` is "Factor added"."""
    if known := _KINDS.get(kind):
        return known(device or "a device", about)
    return Line("check", kind.replace(".", " ").replace("_", " ").capitalize())
