"""Who a credential stands for, and this worker's memory of the credentials that it has verified."""

from dataclasses import dataclass

from .access_tokens import Claims


@dataclass(frozen=True, slots=True)
class Caller(Claims):
    """An authenticated caller. `until`, in milliseconds: believed so long without looking again."""

    until: int
    by_cookie: bool
