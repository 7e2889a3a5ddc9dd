"""The verdict on a soak: what the clients were told, held against what the server wrote down. Pure: each rule takes the
case and names what breaks it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from tests.faults.case import BLUR, COMMIT, Case
from tests.faults.evidence import Call, Evidence, Row

ANSWER = 2.0

_SIGNED_OUT = {"session_expired", "session_revoked", "token_reused"}
_SHOWS_CREDENTIAL = {"use", "refresh", "sign_out_session", "sign_out_device", "sign_out_others", "sign_out_all"}
_SHOWS_CREDENTIAL |= {"change_password"}


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule, and what breaks it."""

    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


def violations(evidence: Evidence) -> list[Violation]:
    """Everything that should not have happened."""
    case = Case(evidence)
    return [Violation(rule.__name__.replace("_", " "), what) for rule in RULES for what in rule(case)]


# -- signed out ----------------------------------------------------------------------------------------------------


def lost_session(case: Case) -> Iterator[str]:
    """Nobody is told she is signed out before an ending is in the audit log; nor that it was reuse when it wasn't."""
    for call in case.calls:
        if call.answer and call.answer.code in _SIGNED_OUT:
            ending = case.ending.get(call.session)
            if ending is None or ending.at > call.ended + BLUR:
                yield f"{_name(call)} was told {call.answer.code}, and nothing had ended it"
            elif (call.answer.code == "token_reused") is not _presents_reused(case, call) and ending.at < call.began:
                yield f"{_name(call)} was told {call.answer.code}, and the session ended as {ending.reason}"


def _presents_reused(case: Case, call: Call) -> bool:
    row = case.rows.get(call.session)
    return bool(row and call.act == "refresh" and row.reason == "reused" and row.reused_generation == call.generation)


def unexplained_ending(case: Case) -> Iterator[str]:
    """Each ending has a cause in somebody's history, that fits its reason."""
    for session, ending in case.ending.items():
        if session not in case.rows:
            yield f"{session} ended and has no row"
        elif not case.causes(case.rows[session], ending):
            yield f"{session} ended as {ending.reason} at {ending.at:.3f}, and nobody did that"


def unjust_reuse(case: Case) -> Iterator[str]:
    """A session ends as reused only by a token whose successor was in use a race window ago; or by the limit below."""
    for row in _reused_early(case):
        if row.generation == row.reused_generation + 1:
            yield f"{row.session} ended as reused at {row.ended:.3f}, and its successor was not in use for long enough"


def within_the_limit(case: Case) -> int:
    """Sessions that ended as reused sooner: by tokens two or more rotations late, as ADR 0001 accepts."""
    return sum(row.generation > row.reused_generation + 1 for row in _reused_early(case))


def _reused_early(case: Case) -> Iterator[Row]:
    for row in case.rows.values():
        if row.reason == "reused":
            old, latest = row.reused_generation, row.ended - case.evidence.race_window + BLUR
            if not any(call.generation > old and call.began <= latest for call in case.of_session[row.session]):
                yield row


# -- signed out, and yet in ----------------------------------------------------------------------------------------


def acceptances(case: Case) -> Iterator[tuple[Call, float, float]]:
    """Each call that was accepted after its session's ending, by how much (seconds), and what is allowed."""
    for session, calls in case.of_session.items():
        if found := case.ended_when(session):
            since, allowed = found
            for call in calls:
                if call.granted and call.act in _SHOWS_CREDENTIAL and call.began > since:
                    yield call, call.began - since, allowed


def revived_session(case: Case) -> Iterator[str]:
    """Nothing is accepted that began later than the bound after the ending was answered."""
    for call, late, allowed in acceptances(case):
        if late > allowed + BLUR:
            yield f"{_name(call)} was accepted {late:.3f} s after its session had ended; allowed are {allowed} s"


def outdated_cookie(case: Case) -> Iterator[str]:
    """A changed password gives the web door another cookie, and the old one dies like the other sessions."""
    for calls in case.of_session.values():
        for change in calls:
            if change.act == "change_password" and change.answer and change.answer.token:
                latest = change.ended + case.bound(change.began, change.ended) + BLUR
                for call in calls:
                    if call.granted and call.generation < change.answer.generation and call.began > latest:
                        yield f"{_name(call)} was accepted, though replaced at {change.ended:.3f}"


def lost_sign_out(case: Case) -> Iterator[str]:
    """Who was told that somebody is signed out was told the truth."""
    for call in case.calls:
        if call.granted and call.act not in ("sign_in", "use", "refresh"):
            for row in case.rows_of[call.account]:
                if _must_end(case, call, row) and row.ended > call.ended + BLUR:
                    yield f"{_name(call)} was granted, and {row.session} did not end"


def _must_end(case: Case, call: Call, row: Row) -> bool:
    there = case.signed_in[row.session].ended if row.session in case.signed_in else row.created + COMMIT
    if row.account != call.account or there > call.began - BLUR:
        return False
    own = call.session == row.session
    match call.act:
        case "sign_out":
            return own
        case "sign_out_all":
            return True
        case "sign_out_others" | "change_password":
            return not own
    return call.target in (row.session, row.device)


# -- one chain -----------------------------------------------------------------------------------------------------


def fork(case: Case) -> Iterator[str]:
    """A generation of a session is one token, to the letter, whoever was handed it."""
    tokens: dict[tuple[str, int], set[str]] = defaultdict(set)
    for call in case.calls:
        if call.answer and call.answer.token:
            tokens[call.answer.session, call.answer.generation].add(call.answer.token)
            if call.act == "refresh" and call.answer.session != call.session:
                yield f"{_name(call)} was handed a credential of {call.answer.session}"
    for (session, generation), different in tokens.items():
        if len(different) > 1:
            yield f"{session} has {len(different)} tokens of generation {generation}"


def step_back(case: Case) -> Iterator[str]:
    """Whoever asks after somebody else was answered gets no older generation; and never his own again."""
    for calls in case.of_session.values():
        answered = sorted((call.ended, call.answer.generation) for call in calls if call.answer and call.answer.token)
        for call in calls:
            if call.answer and call.answer.token and call.act == "refresh":
                before = max((one for ended, one in answered if ended < call.began), default=-1)
                if call.answer.generation < max(before, call.generation + 1):
                    yield f"{_name(call)} was handed generation {call.answer.generation}, after {before}"


def double_rotation(case: Case) -> Iterator[str]:
    """Each rotation was asked for: whatever generation is handed out, somebody had presented each one below it."""
    for session, row in case.rows.items():
        asked = case.refreshes(session)
        for call in asked:
            if call.answer and call.answer.token:
                known = {one.generation for one in asked if one.began <= call.ended}
                if missing := set(range(call.generation, call.answer.generation)) - known:
                    yield f"{_name(call)} was handed {call.answer.generation}, and nobody had presented {missing}"
        handed = max((call.answer.generation for call in asked if call.answer), default=0)
        if missing := set(range(row.generation)) - {call.generation for call in asked}:
            yield f"{session} is at generation {row.generation}, and nobody had presented {missing}"
        if row.generation < handed:
            yield f"{session} is at generation {row.generation}, and {handed} was handed out"


def replay_let_through(case: Case) -> Iterator[str]:
    """A token whose successor was rotated away a race window ago gets no answer, whatever happened since."""
    for calls in case.of_session.values():
        granted = [call for call in calls if call.act == "refresh" and call.granted]
        for call in granted:
            latest = call.began - case.evidence.race_window - BLUR
            if any(one.generation > call.generation and one.ended < latest for one in granted):
                yield f"{_name(call)} was granted, long after its successor had been used"


# -- answers -------------------------------------------------------------------------------------------------------


def wrong_answer(case: Case) -> Iterator[str]:
    """Granted, signed out, expired, or a 503 that says when to come back; and nothing else, least of all a 500."""
    for call in case.calls:
        if call.answer and not call.granted and not _is_fit(case, call):
            yield f"{_name(call)} was answered {call.answer.status} {call.answer.code}"


def _is_fit(case: Case, call: Call) -> bool:
    answer = call.answer
    assert answer
    match answer.status, answer.code:
        case 503, "unavailable":
            return answer.waits
        case ((400 | 401), code) if code in _SIGNED_OUT:
            return True
        case 401, "token_expired":
            return call.act not in ("sign_in", "refresh")
        case 401, "invalid_credentials":
            return any(_meanwhile(one, call) for one in case.deeds[call.account])
        case 401, "token_invalid":  # a cookie that a changed password has replaced
            changes = [one for one in case.of_session[call.session] if one.act == "change_password"]
            return any(one.began < call.ended and one.generation == call.generation for one in changes)
    return False


def _meanwhile(change: Call, call: Call) -> bool:
    """Whether the password may have been changed by this call, without the client of that one knowing yet."""
    known = change.ended if change.answer and change.answer.status != 503 else inf
    return change.act == "change_password" and change is not call and change.began < call.ended and call.began < known


def late_answer(case: Case) -> Iterator[str]:
    """Whoever's worker runs is answered in time, or told 503. Of the time when the machine is full a quarter counts."""
    for call in case.calls:
        took = call.ended - call.began
        late = took > ANSWER and call.answer and call.answer.status != 503 and took - 0.75 * _full(case, call) > ANSWER
        if (late or call.told in ("broken", "silent")) and not _excused(case, call):
            yield f"{_name(call)} took {took:.2f} s, {call.told if call.answer is None else call.answer.status}"


def _full(case: Case, call: Call) -> float:
    """Seconds of the call in which others wanted the machine's turns all the time."""
    full = [fault for fault in case.evidence.faults if fault.kind == "machine"]
    return sum(max(0, min(one.ended, call.ended) - max(one.began, call.began)) for one in full)


def _excused(case: Case, call: Call) -> bool:
    """Its worker was dead or stopped meanwhile."""
    own = [fault for fault in case.evidence.faults if fault.worker == call.worker]
    return any(one.began - BLUR <= call.ended and call.began <= one.ended + BLUR for one in own)


# -- what was written down -----------------------------------------------------------------------------------------


def audit_differs(case: Case) -> Iterator[str]:
    """One event a beginning, one an ending, one a reuse; and each says what the row says."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for event in case.evidence.events:
        counts[event.kind, event.session] += 1
    for session, row in case.rows.items():
        due = {"session.started": 1, "session.ended": not row.lives, "token.reused": row.reason == "reused"}
        for kind, number in due.items():
            if counts[kind, session] != number:
                yield f"{session} has {counts[kind, session]} events {kind} in place of {int(number)}"
        if (ending := case.ending.get(session)) and (ending.reason, ending.at) != (row.reason, row.ended):
            yield f"{session} ended as {row.reason} by its row, as {ending.reason} by the audit log"


def session_out_of_nowhere(case: Case) -> Iterator[str]:
    """Every session was handed to somebody, or to a client that got no answer; and none has vanished."""
    for session in case.signed_in.keys() - case.rows.keys():
        yield f"{session} was handed out and has no row"
    unknown: dict[str, int] = defaultdict(int)
    for row in case.rows.values():
        unknown[row.account] += row.session not in case.signed_in
    for account, number in unknown.items():
        calls = [call for call in case.deeds[account] if call.act == "sign_in"]
        lost = sum(call.answer is None or call.answer.status == 503 for call in calls)
        if number > lost:
            yield f"{account} has {number} sessions that nobody was handed; {lost} sign-ins were not answered"


def two_living(case: Case) -> Iterator[str]:
    """One living session a device and door."""
    living = sorted((row.device, row.door, row.session) for row in case.rows.values() if row.lives)
    for one, other in pairwise(living):
        if one[:2] == other[:2]:
            yield f"{one[2]} and {other[2]} both live on {one[0]}"


def _name(call: Call) -> str:
    return (
        f"{call.act} of {call.session or call.account} ({call.generation}) at {call.began:.3f}, worker {call.worker},"
    )


RULES: tuple[Callable[[Case], Iterator[str]], ...] = (
    *(lost_session, unexplained_ending, unjust_reuse),
    *(revived_session, outdated_cookie, lost_sign_out),
    *(fork, step_back, double_rotation, replay_let_through),
    *(wrong_answer, late_answer),
    *(audit_differs, session_out_of_nowhere, two_living),
)
