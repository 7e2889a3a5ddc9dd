"""Somebody else's id (IDOR): each route of the table that takes one answers 404, and no row of any table changes."""

import re
from typing import Any

import pytest

from coatcheck.tables import SQLModel
from tests.factors import enrol_app
from tests.house import House, NativeClient
from tests.pages import Visitor
from tests.unit.test_permissions_page import routes_of

MALLORY = "mallory@example.test"
UNKNOWN = {"device_id": "dev_" + "A" * 22, "session_id": "ses_" + "A" * 22, "factor_id": "fac_" + "A" * 22}
_BODIES: dict[str, dict[str, Any]] = {"PATCH": {"name": "Mallory's now"}}


async def everything(house: House) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables. The chain over the audit log grows behind what is written; the log itself is compared."""
    await house.desk.presence.flush()
    await house.mails()  # or one on its way is there before, and gone after
    names = sorted(set(SQLModel.metadata.tables) - {"audit_link"})
    return {name: sorted(await house.rows(f"SELECT * FROM {name}"), key=repr) for name in names}


def taking_ids(house: House, *beginnings: str) -> list[tuple[str, str]]:
    """Routes with an id in their path."""
    return [(method, path) for method, path in routes_of(house.app) if "_id" in path and path.startswith(beginnings)]


async def ids_of(client: NativeClient) -> dict[str, str]:
    """Her device, session and factor."""
    factors = (await client.get("/v1/me/factors")).json()["factors"]
    devices = (await client.get("/v1/devices")).json()["devices"]
    return {"device_id": devices[0]["id"], "session_id": client.session_id, "factor_id": factors[0]["id"]}


def filled(path: str, ids: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], path)


async def test_others_ids_are_not_found_and_nothing_changes(house: House) -> None:
    """With Ada's device, session and factor, and with ids of nobody, Mallory gets the same 404 everywhere."""
    await house.register()
    await house.register(MALLORY)
    ada, mallory = await house.native(), await house.native(MALLORY)
    await enrol_app(house, ada)
    hers = await ids_of(ada)
    await mallory.get("/v1/me")
    before = await everything(house)
    routes = taking_ids(house, "/v1/")
    mine = [(method, path) for method, path in routes if not path.startswith("/v1/admin/")]
    assert len(mine) >= 5
    for method, path in mine:
        answers = [await mallory.call(method, filled(path, ids), json=_BODIES.get(method)) for ids in (hers, UNKNOWN)]
        assert [answer.status_code for answer in answers] == [404, 404], (method, path)
        assert answers[0].json() == answers[1].json(), (method, path)
    assert await everything(house) == before


async def test_others_ids_on_pages_are_not_found_and_nothing_changes(house: House) -> None:
    """The same on the pages, forms included."""
    await house.register()
    await house.register(MALLORY)
    ada = await house.native()
    await enrol_app(house, ada)
    hers = await ids_of(ada)
    visitor = await Visitor(house).sign_in(MALLORY)
    await visitor.get("/account")
    before = await everything(house)
    routes = taking_ids(house, "/account")
    assert len(routes) >= 4
    for method, path in routes:
        for ids in (hers, UNKNOWN):
            where = filled(path, ids)
            answer = await (visitor.get(where) if method == "GET" else visitor.post(where, name="Mallory's now"))
            assert answer.status_code == 404, (method, path)
            assert "ada@example.test" not in answer.text
    assert await everything(house) == before


@pytest.mark.parametrize("role", ["user", "support"])
async def test_others_ids_open_nothing_of_the_administrators(house: House, role: str) -> None:
    """Who lacks the role is told 403, whatever the id; who has one finds no session under another account."""
    ada = await house.register()
    await house.register("bob@example.test")
    phone, bob = await house.native(), await house.native("bob@example.test")
    caller = await house.staff(role, MALLORY)  # type: ignore[arg-type]
    await caller.get("/v1/me")
    before = await everything(house)
    for method, path in taking_ids(house, "/v1/admin/"):
        ids = {"account_id": ada["id"], "session_id": bob.session_id}
        answer = await caller.call(method, filled(path, ids), json={"role": "admin"} if method == "PUT" else None)
        if role == "user":
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
        elif "session_id" in path:
            assert answer.status_code == 404, path
        elif method in ("PUT", "POST"):
            assert answer.status_code == 403, path
        elif method == "DELETE":
            # Support may end all sessions of an account: hers end, and nobody else's.
            assert answer.json() == {"ended": 1}
            assert (await bob.get("/v1/me")).status_code == 200
            before = await everything(house)
    assert await everything(house) == before
    assert (await phone.get("/v1/me")).status_code == (200 if role == "user" else 401)
