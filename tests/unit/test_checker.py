"""The checker of the soak: an honest evening breaks no rule, and each kind of lie that is planted is named."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.faults.case import Case
from tests.faults.checker import acceptances, violations
from tests.faults.evidence import Act, Call, Event, Evidence, Fault, Row, Told

WINDOW = 10.0
REVOKED, EXPIRED, REUSED = Told(401, "session_revoked"), Told(401, "token_expired"), Told(400, "token_reused")
DOWN = Told(503, "unavailable", waits=True)
CALLERS = {"A": 1, "B": 2, "W": 3}  # sessions of one account, each with a client and a device of its own


def call(session: str, act: Act, began: float, told: object = Told(200), generation: int = 0, **more: object) -> Call:
    """A tenth of a second long, unless told otherwise."""
    given = {"client": CALLERS.get(session, 9), "account": "acc", "worker": 0, "ended": began + 0.1, **more}
    return Call(act=act, began=began, told=told, session=session, generation=generation, **given)  # type: ignore[arg-type]


def rotated(
    session: str, began: float, generation: int, to: int | None = None, token: str = "", **more: object
) -> Call:
    """A refresh that was granted."""
    to = generation + 1 if to is None else to
    told = Told(200, session=session, token=token or f"{session}{to}", generation=to)
    return call(session, "refresh", began, told, generation, **more)


def signed_in(session: str, began: float) -> Call:
    """Who signs in shows no credential."""
    told = Told(200, session=session, token=f"{session}0", generation=0)
    return replace(call("", "sign_in", began, told), client=CALLERS[session])


def evening() -> Evidence:
    """Three devices sign in; A loses an answer and asks again; then it signs B out, B comes back and is told."""
    calls = [signed_in("A", 0), signed_in("B", 1), signed_in("W", 2)]
    calls += [call("A", "refresh", 3, "hung up"), rotated("A", 4, 0), rotated("A", 4, 0, worker=1)]
    calls += [call("A", "use", 5, generation=1), rotated("B", 5, 0), call("B", "use", 6, generation=1)]
    calls += [call("A", "sign_out_session", 10, Told(204), 1, target="B")]
    calls += [call("B", "use", 10.5, generation=1), call("B", "use", 12, REVOKED, 1)]
    rows = [
        Row("A", "acc", "devA", "native", 1, 0.05),
        Row("B", "acc", "devB", "spa", 1, 1.05, 10.05, "signed_out_elsewhere"),
        Row("W", "acc", "devW", "web", 0, 2.05),
    ]
    events = [Event("session.started", row.session, row.created) for row in rows]
    events += [Event("session.ended", "B", 10.05, "signed_out_elsewhere")]
    return Evidence(WINDOW, calls, rows, events)


def with_calls(*calls: Call, events: Sequence[Event] = (), **rows: Row) -> Evidence:
    """The evening with more calls and events, and some rows otherwise."""
    found = evening()
    found.calls, found.events = [*found.calls, *calls], [*found.events, *events]
    found.rows = [rows.get(row.session, row) for row in found.rows]
    return found


def with_events(*events: Event, rows: Sequence[Row] = ()) -> Evidence:
    """The evening with more events, and more rows."""
    found = evening()
    found.events, found.rows = [*found.events, *events], [*found.rows, *rows]
    return found


def with_faults(found: Evidence, *faults: Fault) -> Evidence:
    """The same, while this was done to the servers."""
    found.faults = faults
    return found


def row(session: str) -> Row:
    """As the evening leaves it."""
    return next(row for row in evening().rows if row.session == session)


def ended(found: Evidence, session: str, at: float, reason: str, old: int = -1) -> Evidence:
    """The same, and this session ended."""
    kinds = ["session.ended", *(["token.reused"] if reason == "reused" else [])]
    found.events = [*found.events, *(Event(kind, session, at, reason) for kind in kinds)]
    ending = {"ended": at, "reason": reason, "reused_generation": old}
    found.rows = [replace(row, **ending) if row.session == session else row for row in found.rows]  # type: ignore[arg-type]
    return found


def names(found: Evidence) -> set[str]:
    """Of the rules that are broken."""
    return {violation.rule for violation in violations(found)}


def test_checker_finds_nothing_in_an_honest_evening() -> None:
    """Lost answers, repeats, remote logouts and a second of grace are as they should be."""
    assert violations(evening()) == []


def test_checker_measures_how_long_an_ended_session_was_accepted() -> None:
    """From the answer to the beginning of the accepted request."""
    [(late, by, allowed)] = acceptances(Case(evening()))
    assert (late.session, round(by, 3), allowed) == ("B", 0.4, 1.0)


LIES = {
    "told without an ending": (with_calls(call("A", "use", 20, REVOKED, 1)), "lost session"),
    "told before the ending": (with_calls(call("B", "use", 9, REVOKED, 1)), "lost session"),
    "told reuse where somebody signed out": (with_calls(call("B", "refresh", 12, REUSED, 1)), "lost session"),
    "ended by nobody": (ended(with_calls(), "A", 20, "signed_out_elsewhere"), "unexplained ending"),
    "ended for a reason nobody gave": (ended(with_calls(), "A", 20, "expired"), "unexplained ending"),
    "ended by a call that came later": (
        ended(with_calls(call("A", "sign_out", 30, Told(204), 1)), "A", 20, "signed_out"),
        "unexplained ending",
    ),
    "ended by a call that was refused": (
        ended(with_calls(call("W", "sign_out_all", 20, EXPIRED)), "A", 20.05, "signed_out_elsewhere"),
        "unexplained ending",
    ),
    "replaced by another client's sign-in": (ended(with_calls(), "W", 20, "replaced"), "unexplained ending"),
    "reused within the window": (
        ended(with_calls(call("A", "refresh", 12, REUSED, 0)), "A", 12.05, "reused", 0),
        "unjust reuse",
    ),
    "reused where the successor was never used": (
        ended(with_calls(rotated("A", 7, 1), call("A", "refresh", 50, REUSED, 1), A=replace(row("A"), generation=2)),
              "A", 50.05, "reused", 1),
        "unjust reuse",
    ),
    "accepted later than the bound": (with_calls(call("B", "use", 11.3, generation=1)), "revived session"),
    "refreshed later than the bound": (
        with_calls(rotated("B", 11.3, 1), B=replace(row("B"), generation=2)),
        "revived session",
    ),
    "an outdated cookie that is accepted": (
        ended(
            with_calls(
                call("W", "change_password", 19, Told(204, session="W", token="W1", generation=1)),
                call("W", "use", 21),
                W=replace(row("W"), generation=1),
            ),
            "A", 19.05, "password_changed",
        ),
        "outdated cookie",
    ),
    "a sign-out that ended nothing": (
        with_calls(call("A", "sign_out_device", 20, Told(204), 1, target="devW")),
        "lost sign out",
    ),
    "everybody signed out but one": (with_calls(call("A", "sign_out_others", 20, Told(200), 1)), "lost sign out"),
    "two tokens of one generation": (with_calls(rotated("A", 4.5, 0, token="another")), "fork"),
    "somebody else's token": (
        with_calls(call("A", "refresh", 4.5, Told(200, session="W", token="W1", generation=1), 0)),
        "fork",
    ),
    "an older generation handed out": (
        with_calls(rotated("A", 7, 1), rotated("A", 8, 0, 1), A=replace(row("A"), generation=2)),
        "step back",
    ),
    "its own generation again": (with_calls(rotated("A", 7, 1, 1)), "step back"),
    "rotated twice for one request": (
        with_calls(rotated("A", 7, 1, 3), A=replace(row("A"), generation=3)),
        "double rotation",
    ),
    "a row ahead of all that was presented": (with_calls(A=replace(row("A"), generation=3)), "double rotation"),
    "a row behind what was handed out": (with_calls(A=replace(row("A"), generation=0)), "double rotation"),
    "a replay that is answered": (
        with_calls(rotated("A", 7, 1), rotated("A", 18, 0, 2), A=replace(row("A"), generation=2)),
        "replay let through",
    ),
    "a crash": (with_calls(call("A", "use", 20, Told(500, "internal_error"), 1)), "wrong answer"),
    "a 503 that doesn't say when to come back": (
        with_calls(call("A", "use", 20, Told(503, "unavailable"), 1)),
        "wrong answer",
    ),
    "somebody else's 503": (with_calls(call("A", "use", 20, Told(503, "", waits=True), 1)), "wrong answer"),
    "a token that nobody knows": (with_calls(call("A", "refresh", 20, Told(400, "token_invalid"), 1)), "wrong answer"),
    "a wrong password": (with_calls(call("", "sign_in", 20, Told(401, "invalid_credentials"))), "wrong answer"),
    "an answer that takes long": (with_calls(call("A", "use", 20, generation=1, ended=22.5)), "late answer"),
    "no answer": (with_calls(call("A", "use", 20, "silent", 1, ended=25)), "late answer"),
    "a connection that breaks": (with_calls(call("A", "use", 20, "broken", 1)), "late answer"),
    "a session whose row is gone": (
        with_calls(replace(signed_in("A", 3), told=Told(200, session="X"))),
        "session out of nowhere",
    ),
    "a session that nobody was handed": (
        with_events(Event("session.started", "X", 3), rows=[Row("X", "acc", "devX", "native", 0, 3)]),
        "session out of nowhere",
    ),
    "an ending written down twice": (
        with_events(Event("session.ended", "B", 10.05, "signed_out_elsewhere")),
        "audit differs",
    ),
    "an ending in the audit log alone": (
        with_calls(call("A", "sign_out", 20, DOWN, 1), events=[Event("session.ended", "A", 20, "signed_out")]),
        "audit differs",
    ),
    "a reuse that did not end it": (with_events(Event("token.reused", "A", 10)), "audit differs"),
    "a living twin": (with_calls(W=replace(row("W"), device="devA", door="native")), "two living"),
}  # fmt: skip


@pytest.mark.parametrize("found,rule", LIES.values(), ids=LIES)
def test_checker_names_what_is_planted(found: Evidence, rule: str) -> None:
    """Each lie breaks its own rule and no other."""
    assert names(found) == {rule}


STOPPED = Fault("worker stopped", 19, 24, worker=0)
SIGNED_IN_UNSEEN = with_events(Event("session.started", "X", 3), rows=[Row("X", "acc", "devX", "native", 0, 3)])
SIGNED_IN_UNSEEN.calls = [*SIGNED_IN_UNSEEN.calls, replace(signed_in("A", 3), told=DOWN)]
CHANGING = call("W", "change_password", 18, "hung up")

EXCUSES = {
    "a stopped worker answers nobody": with_faults(
        with_calls(call("A", "use", 20, "silent", 1, ended=25), call("A", "use", 20, generation=1, ended=24.2)), STOPPED
    ),
    "a full machine takes four times as long": with_faults(
        with_calls(call("A", "use", 20, generation=1, ended=27.9)), Fault("machine", 19, 22), Fault("machine", 22, 28)
    ),
    "a sign-in that comes through when all are signed out": with_calls(
        call("A", "sign_out_others", 1.08, Told(200), ended=1.09)
    ),
    "a wiped Redis leaves it to the sweep": with_faults(
        with_calls(call("B", "use", 12, generation=1)), Fault("redis wiped", 10.2, 10.2)
    ),
    "nobody was answered": with_calls(call("A", "use", 20, DOWN, 1), call("A", "refresh", 21, DOWN, 1)),
    "a 503 that rotated": with_calls(call("A", "refresh", 20, DOWN, 1), A=replace(row("A"), generation=2)),
    "a 503 that signed out": ended(with_calls(call("A", "sign_out", 20, DOWN, 1)), "A", 21, "signed_out"),
    "a 503 that signed in": SIGNED_IN_UNSEEN,
    "a repeat within the window": with_calls(rotated("A", 13, 0), A=replace(row("A"), generation=1)),
    "a repeat when nobody has used the successor": with_calls(
        rotated("A", 7, 1), rotated("A", 60, 1), A=replace(row("A"), generation=2)
    ),
    "a replay": ended(with_calls(call("A", "refresh", 20, REUSED, 0)), "A", 20.05, "reused", 0),
    "a password that may have changed": with_calls(
        CHANGING, replace(call("", "sign_in", 19, Told(401, "invalid_credentials")), client=1)
    ),
    "a cookie that may have been renewed": with_calls(CHANGING, call("W", "use", 19, Told(401, "token_invalid"))),
}


@pytest.mark.parametrize("found", EXCUSES.values(), ids=EXCUSES)
def test_checker_excuses_what_may_happen(found: Evidence) -> None:
    """What a fault, a lost answer or a true replay brings about is nobody's mistake."""
    assert violations(found) == []


@pytest.mark.parametrize("worker,at", [(1, 19), (0, 26)])
def test_checker_excuses_nobody_for_a_fault_elsewhere(worker: int, at: float) -> None:
    """Another worker's fault, or one that is over, excuses no delay."""
    found = with_calls(call("A", "use", at, generation=1, ended=at + 3, worker=worker))
    assert names(with_faults(found, STOPPED)) == {"late answer"}


def test_checker_excuses_a_full_machine_not_for_ever() -> None:
    """However full it is, eight seconds are too long."""
    found = with_calls(call("A", "use", 20, generation=1, ended=28.1))
    assert names(with_faults(found, Fault("machine", 19, 29))) == {"late answer"}
