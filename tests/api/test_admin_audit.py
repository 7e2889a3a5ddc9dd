"""The audit log as administrators read it: filters, pages, and a file that no spreadsheet runs."""

import csv
import json
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest

from coatcheck import audit_reading
from coatcheck.clock import rfc3339
from tests.house import House, NativeClient


async def log(root: NativeClient, query: str = "") -> list[dict[str, Any]]:
    answer = await root.get(f"/v1/admin/audit?limit=100&{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["events"]  # type: ignore[no-any-return]


async def test_audit_log_is_filtered(house: House) -> None:
    """By kind, account, session, actor, address and time, alone and together; newest first."""
    root = await house.staff()
    ada = await house.register()
    phone, own = await house.native(), (await root.get("/v1/me")).json()["id"]
    house.clock.move(60)
    middle = rfc3339(house.clock.now())
    house.clock.move(60)
    await root.call("DELETE", f"/v1/admin/accounts/{ada['id']}/sessions")
    every = await log(root)
    assert [int(one["id"]) for one in every] == sorted((int(one["id"]) for one in every), reverse=True)
    wanted: list[tuple[str, Callable[[dict[str, Any]], bool]]] = [
        ("kind=session.started", lambda one: one["kind"] == "session.started"),
        (f"account={ada['id']}", lambda one: one["account_id"] == ada["id"]),
        (f"session={phone.session_id}", lambda one: one["session_id"] == phone.session_id),
        (f"by={own}", lambda one: one["data"].get("by") == own),
        ("ip=203.0.113.7", lambda one: one["ip"] == "203.0.113.7"),
        (f"since={middle}", lambda one: one["at"] >= middle),
        (f"until={middle}", lambda one: one["at"] < middle),
        (f"kind=session.ended&account={ada['id']}&since={middle}", lambda one: one["kind"] == "session.ended"),
    ]
    for query, true in wanted:
        found = await log(root, query)
        assert found, query
        assert found == [one for one in every if true(one)], query
    assert await log(root, "kind=no.such") == await log(root, "by=acc_" + "A" * 22) == []


async def test_audit_log_goes_page_by_page(house: House) -> None:
    """Each event once, whatever the page's size, although new ones are written meanwhile."""
    root = await house.staff()
    expected = [one["id"] for one in await log(root)]
    for limit in (1, 2, 50):
        seen: list[str] = []
        after = ""
        while True:
            page = (await root.get(f"/v1/admin/audit?limit={limit}{after}")).json()
            seen += [one["id"] for one in page["events"]]
            await root.prove()
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert seen[-len(expected) :] == expected
        assert len(set(seen)) == len(seen)


UNREADABLE = ["account=x", "by=%00", "session=acc_" + "A" * 22, "since=yesterday", "until=99999-01-01", "after=-1"]
UNREADABLE += ["limit=0", "limit=100001", "kind=%00", "kind=" + "x" * 65, "ip=%0a"]


@pytest.mark.parametrize("query", UNREADABLE)
async def test_audit_log_refuses_what_it_can_not_read(house: House, query: str) -> None:
    """A filter that is none is told, never ignored and never our mistake."""
    root = await house.staff()
    for path in ("/v1/admin/audit", "/v1/admin/audit.csv"):
        answer = await root.get(f"{path}?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text


async def test_audit_log_takes_any_moment_there_is(house: House) -> None:
    """The first year and the last are moments like others."""
    root = await house.staff()
    for query in ("since=0001-01-01T00:00:00%2B14:00", "until=9999-12-31T23:59:59-14:00", "since=2026-11-23"):
        assert await log(root, query)


async def test_audit_file_holds_the_same_events(house: House) -> None:
    """The CSV has a heading, and the filtered events as the pages have them; taking it is written down before."""
    root = await house.staff()
    await house.register(name="Ada")
    await house.native(name='A "quoted", name')
    every = await log(root)
    answer = await root.get("/v1/admin/audit.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="coatcheck-audit.csv"'
    assert answer.headers["cache-control"] == "no-store"
    heading, exported, *rows = list(csv.reader(StringIO(answer.text)))
    assert tuple(heading) == audit_reading.HEADING
    assert exported[2] == "audit.exported"
    assert [(row[0], row[1], row[2], json.loads(row[7])) for row in rows] == [
        (one["id"], one["at"], one["kind"], one["data"]) for one in every
    ]
    few = (await root.get("/v1/admin/audit.csv?kind=session.started&limit=1")).text
    assert len(few.splitlines()) == 2


async def test_audit_file_is_taken_in_pieces(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few rows are held at once, each event is there once."""
    monkeypatch.setattr(audit_reading, "_AT_ONCE", 2)
    root = await house.staff()
    ids = [row[0] for row in csv.reader(StringIO((await root.get("/v1/admin/audit.csv")).text))][1:]
    assert ids == [one["id"] for one in await log(root)]


async def test_audit_file_runs_nothing(house: House) -> None:
    """A cell that a spreadsheet would take for a formula begins with an apostrophe, in whatever column it stands."""
    root = await house.staff()
    for ip in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", '=HYPERLINK("x")'):
        await house.rows(
            "INSERT INTO audit_event (at, kind, ip, data) VALUES ($1, 'login.failed', $2, '{}') RETURNING id",
            house.clock.now(),
            ip,
        )
    rows = list(csv.reader(StringIO((await root.get("/v1/admin/audit.csv?kind=login.failed")).text)))[1:]
    assert len(rows) == 9
    assert all(row[6].startswith("'") for row in rows)


async def test_audit_file_wants_a_fresh_proof(house: House) -> None:
    """Minutes after signing in the pages are still shown, the file is not."""
    root = await house.staff()
    house.clock.move(301)
    assert (await root.get("/v1/admin/audit")).status_code == 200
    assert (await root.get("/v1/admin/audit.csv")).json()["code"] == "reauthentication_required"
    assert await house.audit("audit.exported") == []
