"""What a person does on the pages that mails lead to, by the links in real mails."""

import re
import time
from email import message_from_bytes, policy

from tests.browser.page_acts import NEW, Act, Stage
from tests.browser.profile import sign_in
from tests.house import PASSWORD


async def follow_mail(stage: Stage, path: str, to: str, least: int = 1) -> None:
    """Open the newest link of this kind, once `least` were mailed to somebody; mails are carried once a second."""
    deadline = time.monotonic() + 30
    while len(found := _links(stage, path, to)) < least:
        assert time.monotonic() < deadline, "no mail came"
        await stage.page.wait_for_timeout(100)  # nothing tells us when a mail is written
    await stage.open(f"{path}#{found[0]}")
    if not stage.script:  # the person copies what stands behind the # of the link
        await stage.page.locator("[name=token]").fill(found[0].partition("=")[2] or found[0])


def _links(stage: Stage, path: str, to: str) -> list[str]:
    """What stands behind the # in each mailed link, the newest first."""
    found = []
    for file in sorted((stage.wire.database.parent / "outbox").glob("*.eml"), reverse=True):
        letter = message_from_bytes(file.read_bytes(), policy=policy.default)
        body = letter.get_body(("plain",))
        text = body.get_content() if body and str(letter["To"]) == to else ""
        found += re.findall(re.escape(stage.wire.origin + path) + r"#(\S+)", text)
    return found


async def _reset(stage: Stage) -> None:
    await stage.open("/account/sign-in")
    await stage.follow("Forgot your password?")
    await stage.fill("Email address", stage.email)
    await stage.press("Send the link")
    await stage.sees("Look into your mailbox")
    await follow_mail(stage, "/account/reset", stage.email)
    await stage.sees("Choose a new password")
    await stage.fill("New password", NEW)
    await stage.press("Set the new password")
    await stage.reads("Your new password is set, and you're signed out everywhere. Sign in with it.")
    await sign_in(stage.page, stage.email, NEW)
    await stage.sees("Hello, Ada")


async def _verify(stage: Stage) -> None:
    await stage.signed_in("/account/profile")
    await stage.press("Send it again")
    await stage.reads("A link is on its way to your address.")
    await follow_mail(stage, "/account/verify", stage.email, least=2)  # one came with the account
    await stage.fill("Password", PASSWORD)
    await stage.press("Confirm")
    await stage.reads("Your address is confirmed. Sign in to go on.")


async def _change(stage: Stage) -> None:
    """A new address, confirmed; and taken back by the old one."""
    new = f"new.{stage.email}"
    await stage.signed_in("/account/profile")
    await stage.follow("Change address")
    await stage.fill("New email address", new)
    await stage.press("Send the link")
    await stage.reads("A link is on its way to the new address. Open it within an hour.")
    await follow_mail(stage, "/account/email/confirm", new)
    await stage.fill("Password", PASSWORD)
    await stage.press("Confirm")
    await stage.reads("Your account has its new address. Sign in with it from now on.")
    await follow_mail(stage, "/account/email/undo", stage.email)
    await stage.press("Take it back")
    await stage.reads("Your address is back, and everybody is signed out. A mail brings a link for a new password.")


async def _not_me(stage: Stage) -> None:
    """A mail tells of a new device; its owner ends that session."""
    stage.open_phone()
    await stage.signed_in()
    await follow_mail(stage, "/account/not-me", stage.email)
    await stage.press("End it")
    await stage.reads("That session is over. A mail brings you a link for a new password.")
    await stage.open("/account")
    await stage.sees("Sign in")


ACTS: dict[str, Act] = {
    "/account/email": _change,
    "/account/email/again": _verify,
    "/account/email/confirm": _change,
    "/account/email/undo": _change,
    "/account/forgot": _reset,
    "/account/forgot/sent": _reset,
    "/account/not-me": _not_me,
    "/account/reset": _reset,
    "/account/verify": _verify,
}
