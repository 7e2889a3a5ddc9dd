"""The pages that mails lead to, without a script: looking changes nothing, the form does."""

import pytest

from tests.house import PASSWORD, House, link_in
from tests.pages import Visitor

ADA = "ada@example.test"
NEW = "four wise monkeys dancing"


async def test_pages_reset_a_forgotten_password(house: House) -> None:
    """Ask, look into the mailbox, copy the code, choose, sign in."""
    await house.register()
    before = len(await house.mails())
    ada = Visitor(house)
    assert "Forgot your password?" in (await ada.get("/account/sign-in")).text
    sent = await ada.post("/account/forgot", look="/account/forgot", email=ADA)
    assert (sent.status_code, sent.headers["location"]) == (303, "/account/forgot/sent")
    assert "mailbox" in (await ada.get("/account/forgot/sent")).text
    token = link_in((await house.mails())[before], "/account/reset")
    done = await ada.post("/account/reset", look="/account/reset", token=token, new_password=NEW)
    assert (done.status_code, done.headers["location"]) == (303, "/account/sign-in")
    assert "Your new password is set" in (await ada.get("/account/sign-in")).text
    await ada.sign_in(password=NEW)


async def test_pages_forgotten_password_tells_nothing(house: House) -> None:
    """The same way for an address that nobody has, and no mail."""
    await house.register()
    before, answers = len(await house.mails()), []
    for email in (ADA, "nobody@example.test"):
        stranger = Visitor(house)
        answer = await stranger.post("/account/forgot", look="/account/forgot", email=email)
        answers.append((answer.status_code, answer.headers["location"], answer.text))
    assert len(set(answers)) == 1
    assert len(await house.mails()) == before + 1


async def test_pages_of_a_link_change_nothing_when_looked_at(house: House) -> None:
    """A mail scanner that opens the link, by GET or HEAD, with or without its token, uses nothing up."""
    await house.register()
    before = len(await house.mails())
    await house.http().post("/v1/password-reset", json={"email": ADA})
    token = link_in((await house.mails())[before], "/account/reset")
    rows = await house.rows("SELECT * FROM challenge")
    for path in (
        "/account/reset",
        f"/account/reset?token={token}",
        f"/account/reset/{token}",
        f"/account/reset#{token}",
    ):
        for method in ("GET", "HEAD", "OPTIONS"):
            await house.http().request(method, path)
    assert await house.rows("SELECT * FROM challenge") == rows
    answer = await house.http().post("/v1/password-reset/confirm", json={"token": token, "new_password": NEW})
    assert answer.status_code == 204


@pytest.mark.parametrize("token, new, told", [("x", NEW, "used already"), (None, "short", "15 characters or more")])
async def test_pages_refuse_in_words_and_keep_the_link(house: House, token: str | None, new: str, told: str) -> None:
    """A link that is over is told in words with the way to a new one; a weak password can be chosen again."""
    await house.register()
    before = len(await house.mails())
    await house.http().post("/v1/password-reset", json={"email": ADA})
    token = token or link_in((await house.mails())[before], "/account/reset")
    ada = Visitor(house)
    answer = await ada.post("/account/reset", look="/account/reset", token=token, new_password=new)
    assert answer.status_code in (410, 422)
    assert told in answer.text
    assert "/account/forgot" in answer.text
    assert f'value="{token}"' in answer.text
    assert f'value="{new}"' not in answer.text
    await ada.sign_in(password=PASSWORD)
