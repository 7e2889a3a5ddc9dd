"""A walk past every page there is, for what has to hold on each of them."""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing

import pyotp

from tests.browser.page_acts import Stage
from tests.browser.page_acts_security import next_code
from tests.browser.profile import sign_in
from tests.house import PASSWORD

Check = Callable[[str], Awaitable[None]]

_MAILED = ("/account/forgot", "/account/reset", "/account/verify", "/account/email/", "/account/not-me")
_GUEST = ("/account/sign-in", "/account/sign-up", "/account/sign-in/passkey")
# Seen on the way, or no page to look at.
_APART = {
    "/account/coatcheck-export.json",
    "/account/security/app",
    "/account/security/codes",
    "/account/sign-in/limit",
    "/admin/audit.csv",
    "/account/sign-in/verify",
    "/account/step-up/verify",
}


async def walk(stage: Stage, addresses: set[str], check: Check) -> None:
    """Look at each of `addresses` (routes, with their ids in braces) as somebody who may see it."""
    guest = {*_GUEST, *(path for path in addresses if path.startswith(_MAILED))}
    for path in sorted(guest & addresses):
        await stage.open(path)
        await check(path)
    await stage.signed_in("/account/security/app")
    _make_admin(stage)
    await check("/account/security/app")
    totp = pyotp.TOTP((await stage.page.locator(".key").inner_text()).replace(" ", ""))
    await stage.fill("Code", totp.now())
    await stage.press("Add it")
    await stage.sees("Your recovery codes")
    await check("/account/security/codes")
    await stage.press("I've kept them")
    ids = await _ids(stage)
    for path in [*sorted(addresses - guest - _APART), "/account/nothing"]:
        await stage.open(path.format(**ids))
        await check(path)
    await stage.open("/account/step-up")
    await stage.fill("Your password", PASSWORD)
    await stage.press("Go on")
    await stage.sees("Is it you?")
    await check("/account/step-up/verify")
    await stage.open("/account")
    await stage.press("Sign out")
    await sign_in(stage.page, stage.email)
    await stage.sees("One more step")
    await check("/account/sign-in/verify")
    await stage.fill("Code", next_code(totp))
    await stage.press("Continue")
    await stage.sees("Hello, Ada")


def _make_admin(stage: Stage) -> None:
    """Roles are given on the server."""
    with closing(sqlite3.connect(stage.wire.database, isolation_level=None)) as db:
        db.execute("UPDATE account SET roles = 'admin' WHERE email = ?", (stage.email,))


async def _ids(stage: Stage) -> dict[str, str]:
    """What stands in the braces."""
    await stage.open("/account/security")
    factor = await stage.page.get_by_role("link", name="Change Authenticator app").get_attribute("href")
    await stage.open("/account/devices")
    device = await stage.page.get_by_role("link", name="Rename").first.get_attribute("href")
    await stage.open("/admin/audit?kind=factor.added")
    account = await stage.page.locator("ol.history a").first.get_attribute("href")
    return {
        "account_id": str(account).rpartition("/")[2],
        "factor_id": str(factor).rpartition("/")[2],
        "device_id": str(device).rpartition("/")[2],
    }
