"""The administrators' desk on pages, over HTTP: who may, after what proof, and what is left behind."""

import re

import pytest

from tests.house import PASSWORD, House, MovableClock
from tests.pages import Visitor

ADA, ROOT = "ada@example.test", "root@example.test"


async def desk(house: House, role: str = "admin") -> tuple[Visitor, str]:
    """Somebody with a role, and the address of Ada's page."""
    account = await house.register(name="<b>Ada</b>")
    staff = await house.register(ROOT)
    await house.give_role(staff["id"], role)  # type: ignore[arg-type]
    return await Visitor(house).sign_in(ROOT), f"/admin/accounts/{account['id']}"


@pytest.mark.parametrize("role", ["user", "support"])
async def test_pages_of_the_desk_want_the_role(role: str, house: House) -> None:
    """A page that the role does not reach is 403 in words, a form changes nothing, and no menu shows it."""
    visitor, ada = await desk(house, role)
    phone = await house.native()
    closed = ["/admin/audit", "/admin/audit.csv", "/admin/everybody", f"{ada}/role", f"{ada}/disable", f"{ada}/reset"]
    if role == "user":
        closed += ["/admin", ada, f"{ada}/activity", f"{ada}/sign-out"]
    for path in closed:
        answer = await visitor.get(path)
        assert (answer.status_code, "This isn&#39;t yours to do" in answer.text) == (403, True), path
    for path in (f"{ada}/role", f"{ada}/disable", "/admin/everybody"):
        assert (await visitor.post(path, role="admin")).status_code == 403
    assert ('href="/admin"' in (await visitor.get("/account")).text) is (role == "support")
    assert (await phone.get("/v1/me")).status_code == 200


async def test_pages_of_the_desk_want_a_fresh_proof_for_every_act(house: House, clock: MovableClock) -> None:
    """An old sign-in may look; each act leads to the step-up page first, and changes nothing before."""
    visitor, ada = await desk(house)
    phone = await house.native()
    clock.move(301)
    assert (await visitor.get(ada)).status_code == 200
    acts = [f"{ada}/{act}" for act in ("sign-out", "disable", "enable", "role", "reset")]
    for path in (*acts, "/admin/everybody", "/admin/audit.csv"):
        assert (await visitor.get(path)).headers["location"].startswith("/account/step-up?next=%2Fadmin"), path
    for path in (*acts, "/admin/everybody"):
        assert (await visitor.post(path, role="admin")).headers["location"].startswith("/account/step-up"), path
    one = await visitor.post(f"{ada}/sessions/{phone.session_id}/sign-out")
    assert one.headers["location"] == "/account/step-up?next=" + ada.replace("/", "%2F")
    assert (await phone.get("/v1/me")).status_code == 200
    assert [row["roles"] for row in await house.rows("SELECT roles FROM account ORDER BY roles")] == ["", "admin"]


async def test_pages_of_the_desk_find_see_and_end(house: House) -> None:
    """Found by the beginning of the address; one session, all of them, everybody's: refused at once."""
    visitor, ada = await desk(house)
    phone, tablet = await house.native(name="<i>Phone"), await house.native(name="Tablet")
    found = await visitor.post("/admin", look="/admin", email="ada@", role="", state="enabled")
    assert (ada in found.text, "&lt;b&gt;Ada" in found.text, ROOT in found.text) == (True, True, False)
    assert "&lt;i&gt;Phone" in (await visitor.get(ada)).text
    await visitor.post(f"{ada}/sessions/{phone.session_id}/sign-out")
    assert visitor.last.headers["location"] == ada
    assert [(await one.get("/v1/me")).status_code for one in (phone, tablet)] == [401, 200]
    await visitor.post(f"{ada}/sign-out")
    assert (await tablet.get("/v1/me")).status_code == 401
    again = await house.native()
    await visitor.post("/admin/everybody")
    assert (await again.get("/v1/me")).status_code == 401
    assert (await visitor.get("/admin")).status_code == 200
    missing = f"/admin/accounts/acc_{'A' * 22}"
    assert [(await visitor.get(path)).status_code for path in (missing, "/admin/accounts/x")] == [404, 404]


async def test_pages_of_the_desk_disable_give_roles_and_start_resets(house: House) -> None:
    """Each does what the API does, and the last administrator stays one, told in words."""
    visitor, ada = await desk(house)
    await visitor.post(f"{ada}/disable")
    assert "nobody signs in to it" in (await visitor.get(ada)).text
    form = "/account/sign-in"
    assert (await Visitor(house).post(form, look=form, email=ADA, password=PASSWORD)).status_code == 401
    await visitor.post(f"{ada}/enable")
    await visitor.post(f"{ada}/role", role="support")
    assert [row["roles"] for row in await house.rows("SELECT roles FROM account ORDER BY roles")] == [
        "admin",
        "support",
    ]
    assert (await visitor.post(f"{ada}/role", role="emperor")).status_code == 422
    [root] = re.findall(r"/admin/accounts/(acc_[\w-]+)", (await visitor.post("/admin", look="/admin", email=ROOT)).text)
    last = await visitor.post(f"/admin/accounts/{root}/role", role="user")
    assert (last.status_code, "last administrator" in last.text) == (409, True)
    before = len(await house.audit("password.reset_asked"))
    await visitor.post(f"{ada}/reset")
    assert len(await house.audit("password.reset_asked")) == before + 1
    assert [row["account_id"] for row in await house.audit("staff.reset_started")] == [
        row["id"] for row in await house.rows("SELECT id FROM account WHERE email = $1", ADA)
    ]


async def test_pages_of_the_desk_show_the_audit_log(house: House) -> None:
    """With filters, page by page, and as a file that runs nothing."""
    visitor, _ = await desk(house)
    for _ in range(17):
        phone = await house.native(name="=cmd()")
        await phone.call("DELETE", "/v1/sessions/current")
    first = (await visitor.get("/admin/audit?kind=session.started")).text
    assert first.count('data-part="title">session.started<') == 18
    every = (await visitor.get("/admin/audit")).text
    assert every.count('data-part="title">') == 30
    earlier = re.search(r'href="(/admin/audit\?after=[^"]+)"', every)
    assert earlier
    assert 'data-part="title">account.registered<' in (await visitor.get(earlier[1].replace("&amp;", "&"))).text
    file = await visitor.get("/admin/audit.csv?kind=session.started")
    assert file.headers["content-disposition"] == 'attachment; filename="coatcheck-audit.csv"'
    assert file.text.count("session.started") == 18
    assert (await visitor.get("/admin/audit?account=x")).status_code == 422
