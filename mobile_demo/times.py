"""Times in words: relative up to a week, then dates. Days are the person's own calendar days."""

from datetime import datetime

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def ago(at: str, now: datetime | None = None) -> str:
    """ "just now", "4 minutes ago", "today, 09:12", "yesterday, 18:40", "Sunday 20:15", "3 November"."""
    then, now = _local(at), _now(now)
    minutes = int((now - then).total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return "a minute ago" if minutes == 1 else f"{minutes} minutes ago"
    return _day(then, now, exact=True)


def since(at: str, now: datetime | None = None) -> str:
    """ "today, 09:12", "yesterday, 18:40", "Friday", "3 November"."""
    return _day(_local(at), _now(now), exact=False)


def until(at: str, now: datetime | None = None) -> str:
    """ "today, 18:00", "tomorrow, 09:12", "3 December"."""
    then, now = _local(at), _now(now)
    days = (then.date() - now.date()).days
    if days < 1:
        return f"today, {then:%H:%M}"
    return f"tomorrow, {then:%H:%M}" if days == 1 else _date(then, now)


def exact(at: str) -> str:
    """ "Sunday, 22 November 2026, 20:15", for a long press."""
    then = _local(at)
    return f"{_DAYS[then.weekday()]}, {then.day} {_MONTHS[then.month - 1]} {then.year}, {then:%H:%M}"


def _day(then: datetime, now: datetime, *, exact: bool) -> str:
    days = (now.date() - then.date()).days
    if days < 1:
        return f"today, {then:%H:%M}"
    if days == 1:
        return f"yesterday, {then:%H:%M}"
    if days > 6:
        return _date(then, now)
    return f"{_DAYS[then.weekday()]} {then:%H:%M}" if exact else _DAYS[then.weekday()]


def _date(then: datetime, now: datetime) -> str:
    return f"{then.day} {_MONTHS[then.month - 1]}" + ("" if then.year == now.year else f" {then.year}")


def _local(at: str) -> datetime:
    return datetime.fromisoformat(at).astimezone()


def _now(now: datetime | None) -> datetime:
    return (now or datetime.now().astimezone()).astimezone()
