"""The evidence of a soak in the order in which it is asked for, and what may have caused an ending. Pure.

Moments are compared with a blur, because the audit log's are whole milliseconds of another process. A call that was not
answered, or answered 503, may have acted at any time after it began.
"""

from collections import defaultdict

from tests.faults.evidence import Call, Event, Evidence, Row

BLUR = 0.02  # seconds
AT_ONCE = 1.0  # an ending that was answered is known everywhere (design.md, guarantee 3), Redis or not
AT_LAST = 3.0  # one that was published to nobody
COMMIT = 3.0  # from the moment an event bears to its commit: two statements' patience


class Case:
    """The evidence, in the order in which it is asked for."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.calls = sorted(evidence.calls, key=lambda call: call.began)
        self.rows = {row.session: row for row in evidence.rows}
        self.of_session: dict[str, list[Call]] = defaultdict(list)
        self.deeds: dict[str, list[Call]] = defaultdict(list)  # of an account: all but mere use
        self.rows_of: dict[str, list[Row]] = defaultdict(list)  # of an account
        self.signed_in: dict[str, Call] = {}
        for call in self.calls:
            self.of_session[call.session].append(call)
            if call.act != "use":
                self.deeds[call.account].append(call)
            if call.act == "sign_in" and call.answer and call.granted:
                self.signed_in[call.answer.session] = call
        self.owner = {
            self.rows[session].device: call.client for session, call in self.signed_in.items() if session in self.rows
        }
        for row in evidence.rows:
            self.rows_of[row.account].append(row)
        self.ending: dict[str, Event] = {}
        for event in evidence.events:
            if event.kind == "session.ended":
                self.ending.setdefault(event.session, event)

    def refreshes(self, session: str) -> list[Call]:
        """What rotates: refreshes, and the new cookie that a changed password gives the web door."""
        by_web = session in self.rows and self.rows[session].door == "web"
        acts = ("refresh", "change_password") if by_web else ("refresh",)
        return [call for call in self.of_session[session] if call.act in acts]

    def causes(self, row: Row, ending: Event) -> list[Call]:
        """Calls that may have brought this ending about, in the order of their beginnings."""
        deeds = self.deeds[row.account]
        return [call for call in deeds if self._explains(call, row, ending) and _may_act(call, ending.at)]

    def ended_when(self, session: str) -> tuple[float, float] | None:
        """From when on nobody should accept it, and how much later at the latest; None while it lives."""
        ending = self.ending.get(session)
        if ending is None or session not in self.rows:
            return None
        answers = [
            call.ended
            for call in self.causes(self.rows[session], ending)
            if call.answer and (call.granted or call.answer.code == "token_reused")
        ]
        if not answers:
            return ending.at + COMMIT, AT_LAST
        since = min(answers)
        return since, self.bound(ending.at - BLUR, since)

    def bound(self, done: float, since: float) -> float:
        """How long after `since` what was done at `done` is known everywhere, at the latest."""
        wiped = [fault for fault in self.evidence.faults if fault.kind == "redis wiped"]
        lost = any(fault.began <= since + AT_LAST and fault.ended >= done for fault in wiped)
        return AT_LAST if lost else AT_ONCE

    def _explains(self, call: Call, row: Row, ending: Event) -> bool:
        own = call.session == row.session
        at_it = call.target in (row.session, row.device)
        match ending.reason:
            case "signed_out":
                return own and (call.act in ("sign_out", "sign_out_all") or at_it)
            case "signed_out_elsewhere":
                return not own and (call.act in ("sign_out_all", "sign_out_others") or at_it)
            case "replaced":
                itself = call.answer is not None and call.answer.session == row.session
                return call.act == "sign_in" and call.client == self.owner.get(row.device) and not itself
            case "password_changed":
                return not own and call.act == "change_password"
            case "reused":
                return own and call.act == "refresh" and call.generation == row.reused_generation
        return False


def _may_act(call: Call, at: float) -> bool:
    """Whether the call may have acted at that moment."""
    if call.began > at + BLUR:
        return False
    if call.answer is None or call.answer.status == 503:
        return True
    refused = not call.granted and call.act not in ("refresh", "change_password")
    return not refused and call.ended >= at - BLUR
