"""What an administrator does on the pages of the desk."""

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx2
from playwright.async_api import expect

from tests.browser.page_acts import Act, Stage
from tests.house import PASSWORD


def give_role(stage: Stage, role: str) -> None:
    """Roles are given on the server."""
    with closing(sqlite3.connect(stage.wire.database, isolation_level=None)) as db:
        db.execute("UPDATE account SET roles = ? WHERE email = ?", (role, stage.email))


async def at_desk(stage: Stage, path: str = "/admin") -> None:
    """Signed in as an administrator."""
    give_role(stage, "admin")
    await stage.signed_in(path)


async def visit_other(stage: Stage) -> None:
    """The page of somebody else's account."""
    other = f"other.{stage.email}"
    body = {"email": other, "password": PASSWORD}
    made = httpx2.post(f"http://127.0.0.1:{stage.wire.upstream}/v1/accounts", json=body)
    assert made.status_code == 201
    await stage.fill("Email address begins with", other)
    await stage.press("Find")
    await stage.follow(other)
    await stage.sees(other)


async def _own_page(stage: Stage) -> None:
    """Find oneself."""
    await stage.sees("Accounts")
    await stage.fill("Email address begins with", stage.email)
    await stage.press("Find")
    await stage.follow(stage.email)
    await stage.sees(stage.email)


async def _accounts(stage: Stage) -> None:
    await stage.signed_in()
    await stage.open("/admin")
    await stage.sees("This isn't yours to do")
    give_role(stage, "support")
    await stage.open("/admin")
    await _own_page(stage)
    await expect(stage.page.get_by_role("link", name="Change role", exact=True)).to_have_count(0)
    await stage.open("/admin/audit")
    await stage.sees("This isn't yours to do")


async def _account(stage: Stage) -> None:
    phone = stage.open_phone()
    await at_desk(stage)
    await _own_page(stage)
    await stage.press("Sign out: Phone app on Ada's phone")
    await stage.reads("It is signed out there.")
    assert phone.call("GET", "/v1/me").status_code == 401
    await stage.follow("What happened")
    await stage.reads("staff.signed_out")


async def _everywhere(stage: Stage) -> None:
    phone = stage.open_phone()
    await at_desk(stage)
    await _own_page(stage)
    await stage.follow("Sign out everywhere")
    await stage.sees("Sign this account out everywhere?")
    await stage.press("Sign it out")
    await stage.sees("Sign in")
    await stage.reads("This browser was signed out by an administrator.")
    assert phone.call("GET", "/v1/me").status_code == 401


async def _disable(stage: Stage) -> None:
    """Another administrator disables and enables this person."""
    phone = stage.open_phone()
    await at_desk(stage)
    await visit_other(stage)
    await stage.follow("Disable")
    await stage.press("Disable it")
    await stage.reads("The account is disabled. Every session of it has ended.")
    await stage.follow("Enable")
    await stage.press("Enable it")
    await stage.reads("The account is enabled.")
    assert phone.call("GET", "/v1/me").status_code == 200


async def _role(stage: Stage) -> None:
    await at_desk(stage)
    await visit_other(stage)
    await stage.follow("Change role")
    await stage.page.get_by_label("Support: sees accounts, ends sessions", exact=True).check()
    await stage.press("Change role")
    await stage.reads("The role is changed.")
    await expect(stage.page.get_by_text("Support", exact=True)).to_be_visible()


async def _everybody(stage: Stage) -> None:
    await at_desk(stage)
    await stage.follow("Sign everybody out")
    await stage.sees("Sign everybody out?")
    await stage.follow("Cancel")  # what it does to everybody: tests/api; here other tests' people live too
    await stage.sees("Accounts")


async def _reset(stage: Stage) -> None:
    await at_desk(stage)
    await visit_other(stage)
    await stage.follow("Send a reset link")
    await stage.press("Send the link")
    await stage.reads("The link is on its way to the person's mailbox.")


async def _audit(stage: Stage) -> None:
    await at_desk(stage, "/admin/audit")
    await stage.sees("Audit log")
    await stage.page.get_by_label("Kind", exact=True).select_option("account.registered")
    await stage.press("Find")
    await expect(stage.page.locator("ol.history [data-part=title]").first).to_have_text("account.registered")
    async with stage.page.expect_download() as coming:
        await stage.follow("Take as a file (CSV)")
    file = await coming.value
    assert file.suggested_filename == "coatcheck-audit.csv"
    assert "account.registered" in Path(await file.path()).read_text()


ACTS: dict[str, Act] = {
    "/admin": _accounts,
    "/admin/accounts/{account_id}": _account,
    "/admin/accounts/{account_id}/activity": _account,
    "/admin/accounts/{account_id}/disable": _disable,
    "/admin/accounts/{account_id}/enable": _disable,
    "/admin/accounts/{account_id}/reset": _reset,
    "/admin/accounts/{account_id}/role": _role,
    "/admin/accounts/{account_id}/sessions/{session_id}/sign-out": _account,
    "/admin/accounts/{account_id}/sign-out": _everywhere,
    "/admin/audit": _audit,
    "/admin/audit.csv": _audit,
    "/admin/everybody": _everybody,
}
