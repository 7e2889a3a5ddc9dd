"""As many devices as the account may have: the person chooses on the phone which one gives way."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pyotp
import pytest

from mobile_demo import words
from mobile_demo.core import Core
from mobile_demo.refusals import NoRoom, Refused
from mobile_demo.token_store import TokenStore
from tests.house import PASSWORD
from tests.live import Live, serving

from .conftest import register
from .phone import Phone, opened

LIMITS: dict[str, Any] = {"limit_login": "off", "limit_register": "off", "session_limit": 2}
TABLET, LAPTOP = "Ada's tablet", "Ada's laptop"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server where an account may have two sessions, and people are asked."""
    folder = tmp_path_factory.mktemp("full")
    with serving(folder / "log", data_dir=folder, session_limit_policy="ask", **LIMITS) as live:
        yield live


class Other:
    """Another device of the same person."""

    def __init__(self, server: Live, email: str, name: str, code: str = "") -> None:
        """With a recovery `code` if the account asks for one."""
        body = {"email": email, "password": PASSWORD, "device": {"name": name, "platform": "Android"}}
        answer = httpx2.post(f"{server.url}/v1/native/login", json=body)
        if code:
            proof = {"challenge_token": answer.json()["challenge_token"], "method": "recovery_code", "code": code}
            answer = httpx2.post(f"{server.url}/v1/native/login/verify", json=proof)
        grant = answer.raise_for_status().json()
        self.refresh_token = grant["refresh_token"]
        self.session_id = str(grant["session"]["id"])
        self.headers, self.url = {"Authorization": f"Bearer {grant['access_token']}"}, server.url

    def reason(self) -> str | None:
        """Why its session has ended; None while it lives."""
        answer = httpx2.get(f"{self.url}/v1/me", headers=self.headers)
        return None if answer.status_code == 200 else str(answer.json()["reason"])

    def sign_out(self) -> None:
        """It leaves by itself."""
        httpx2.post(f"{self.url}/oauth/revoke", data={"token": self.refresh_token}).raise_for_status()

    def guard(self) -> list[str]:
        """Give the account a second step; its recovery codes."""
        seed = httpx2.post(f"{self.url}/v1/me/factors/totp", headers=self.headers).raise_for_status().json()
        proof = {"challenge_token": seed["challenge_token"], "code": pyotp.TOTP(seed["secret"]).now()}
        confirm = httpx2.post(f"{self.url}/v1/me/factors/totp/confirm", json=proof, headers=self.headers)
        return confirm.raise_for_status().json()["recovery_codes"]  # type: ignore[no-any-return]


def change(server: Live, sql: str) -> None:
    """What time, or somebody else, would do to the server's rows."""
    with contextlib.closing(sqlite3.connect(server.log.parent / "coatcheck.sqlite3", timeout=10)) as db, db:
        db.execute(sql)


@pytest.fixture
def email(full: Live) -> str:
    """Somebody with an account there."""
    return register(full)


@pytest.fixture
def others(full: Live, email: str) -> tuple[Other, Other]:
    """Both places are taken; the tablet was there first."""
    return Other(full, email, TABLET), Other(full, email, LAPTOP)


async def asked(core: Core, email: str) -> NoRoom:
    """The password, and what the server wants to know then."""
    with pytest.raises(NoRoom) as raised:
        await core.session.sign_in(email, PASSWORD)
    return raised.value


async def test_no_room_ends_only_what_was_chosen(
    full: Live, email: str, others: tuple[Other, Other], tmp_path: Path
) -> None:
    """Nothing is kept or ended before the choice; one of somebody else's leaves it open; the one chosen gives way."""
    tablet, laptop = others
    core = Core(tmp_path / "phone", full.url)
    step = await asked(core, email)
    assert [device["name"] for device, _ in step.held()] == [TABLET, LAPTOP]
    assert TokenStore(core.folder).load().signed_in is None
    files = [file.read_bytes() for file in core.folder.rglob("*") if file.is_file()]
    assert not any(step.challenge_token.encode() in content for content in files)
    stranger = Other(full, register(full), "Not Ada's")
    with pytest.raises(Refused, match="not_found"):
        await core.session.make_room(email, step.challenge_token, stranger.session_id)
    assert [one.reason() for one in (stranger, tablet, laptop)] == [None, None, None]
    await core.session.make_room(email, step.challenge_token, laptop.session_id)
    assert (await core.api.me())["email"] == email
    assert TokenStore(core.folder).load().signed_in is not None
    assert [tablet.reason(), laptop.reason()] == [None, "limit"]
    await core.close()


async def test_no_room_asks_again_while_there_is_none(
    full: Live, email: str, others: tuple[Other, Other], tmp_path: Path
) -> None:
    """The chosen one had left already and a newcomer took its place: a new choice, and the old one is used up."""
    tablet, laptop = others
    core = Core(tmp_path / "phone", full.url)
    first = await asked(core, email)
    tablet.sign_out()
    newcomer = Other(full, email, "Ada's watch")
    with pytest.raises(NoRoom) as again:
        await core.session.make_room(email, first.challenge_token, tablet.session_id)
    assert [session["id"] for _, session in again.value.held()] == [laptop.session_id, newcomer.session_id]
    with pytest.raises(Refused, match="challenge_expired"):
        await core.session.make_room(email, first.challenge_token, laptop.session_id)
    await core.session.make_room(email, again.value.challenge_token, newcomer.session_id)
    assert [laptop.reason(), newcomer.reason()] == [None, "limit"]
    await core.close()


async def test_no_room_without_a_choice_is_a_sentence(tmp_path: Path) -> None:
    """Where the policy is to refuse, nobody is asked and nothing ends."""
    server = serving(tmp_path / "log", data_dir=tmp_path, session_limit_policy="refuse", **LIMITS)
    with server as strict:
        email = register(strict)
        others = Other(strict, email, TABLET), Other(strict, email, LAPTOP)
        core = Core(tmp_path / "phone", strict.url)
        with pytest.raises(Refused, match="session_limit") as refused:
            await core.session.sign_in(email, PASSWORD)
        assert not isinstance(refused.value, NoRoom)
        told = words.refusal(refused.value, signed_in=False)
        assert told == "You're signed in on too many devices. Sign one of them out, then try again."
        assert [other.reason() for other in others] == [None, None]
        await core.close()


async def test_no_room_screen_lets_the_person_choose(
    full: Live, email: str, others: tuple[Other, Other], tmp_path: Path
) -> None:
    """Both are shown; given up, nothing has ended; of the two only the one touched gives way."""
    tablet, laptop = others
    change(full, f"UPDATE session SET last_seen_at = last_seen_at - 1200000 WHERE device_id IN {of(TABLET)}")
    async with opened(tmp_path, full.url) as phone:
        await password(phone, email)
        await phone.at("no_room")
        await phone.shows("No free hook")
        await phone.shows("Phone app, last seen 20 minutes ago")
        assert await phone.do("overlaps") == []
        await phone.tap("Start again")
        await password(phone, email)
        assert [tablet.reason(), laptop.reason()] == [None, None]
        await phone.tap(LAPTOP)
        await phone.tap("Sign it out and go on")
        await phone.at("home")
        await phone.back()
        assert await phone.do("screen") == "home"
    assert [tablet.reason(), laptop.reason()] == [None, "limit"]


async def test_no_room_screen_follows_the_second_step(
    full: Live, email: str, others: tuple[Other, Other], tmp_path: Path
) -> None:
    """Back leads to the password from there, not to a code that was used; the one unused for longest is chosen."""
    codes = others[1].guard()  # which ends the tablet's session
    watch = Other(full, email, "Ada's watch", codes[2])
    async with opened(tmp_path, full.url) as phone:
        for code in codes[:2]:
            await password(phone, email)
            await phone.at("second_step")
            await phone.tap("Use a recovery code")
            await phone.fill("Recovery code", code)
            await phone.tap("Continue")
            await phone.at("no_room")
            if code == codes[0]:
                await phone.back()
        await phone.tap("Sign it out and go on")
        await phone.at("home")
    assert [others[1].reason(), watch.reason()] == ["limit", None]


async def test_no_room_screen_says_what_went_wrong(
    full: Live, email: str, others: tuple[Other, Other], tmp_path: Path
) -> None:
    """The hook was taken meanwhile: the new choice. It took too long: so it is said, and nothing else has ended."""
    tablet, laptop = others
    async with opened(tmp_path, full.url) as phone:
        await password(phone, email)
        await phone.tap(TABLET)
        tablet.sign_out()
        watch = Other(full, email, "Ada's watch")
        await phone.tap("Sign it out and go on")
        await phone.shows("There is still no free hook.")
        await phone.shows("Ada's watch")
        await phone.hides(TABLET)
        change(full, "DELETE FROM challenge")
        await phone.tap("Sign it out and go on")
        await phone.shows("That took too long, or was tried too often. Start again.")
        await phone.tap("Start again")
        await phone.at("sign_in")
    assert [laptop.reason(), watch.reason()] == [None, None]


def of(name: str) -> str:
    """The device's ids, in SQL."""
    return "(SELECT id FROM device WHERE name = '" + name.replace("'", "''") + "')"


async def password(phone: Phone, email: str) -> None:
    """Address and password, from the first screen."""
    await phone.at("sign_in")
    await phone.fill("Email address", email)
    await phone.fill("Password", PASSWORD)
    await phone.tap("Sign in")
