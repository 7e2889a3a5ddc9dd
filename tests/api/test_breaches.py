"""Passwords known from a breach: refused, told by five digits of a hash, and the service's trouble is nobody's."""

import logging
import unicodedata
from hashlib import sha1
from typing import get_args

import httpx2
import pytest

from coatcheck import breaches, doctor
from tests.conftest import OpenHouse
from tests.house import PASSWORD, House, link_in
from tests.range_service import Manner, ranging

ADA = "ada@example.test"
BREACHED = "four wise monkeys dancing"
FINE = "five wise monkeys dancing"
BAD = [one for one in get_args(Manner) if one != "well"]


async def _register(house: House, password: str, email: str = ADA) -> httpx2.Response:
    return await house.http().post("/v1/accounts", json={"email": email, "password": password})


def _refused(answer: httpx2.Response, field: str) -> bool:
    [error] = answer.json()["errors"]
    told = answer.status_code, answer.json()["code"], error["field"], error["code"]
    return told == (422, "weak_password", field, "breached") and BREACHED not in answer.text


async def test_breached_password_is_refused_wherever_one_is_chosen(open_house: OpenHouse) -> None:
    """Registering, changing, resetting: refused with a reason of its own, nothing is changed; another one is taken."""
    async with ranging(BREACHED) as service, open_house(breached_passwords_url=service.url) as house:
        assert _refused(await _register(house, BREACHED), "password")
        assert await house.rows("SELECT id FROM account") == []
        assert (await _register(house, PASSWORD)).status_code == 201
        phone = await house.native()
        change = {"current_password": PASSWORD, "new_password": BREACHED}
        assert _refused(await phone.call("POST", "/v1/me/password", json=change), "new_password")
        await house.http().post("/v1/password-reset", json={"email": ADA})
        reset = {"token": link_in((await house.mails())[-1], "/account/reset"), "new_password": BREACHED}
        assert _refused(await house.http().post("/v1/password-reset/confirm", json=reset), "new_password")
        assert (await phone.refresh()).status_code == 200
        reset["new_password"] = FINE
        assert (await house.http().post("/v1/password-reset/confirm", json=reset)).status_code == 204
        assert house.desk.counts["breached", "known"] == 3
        assert house.desk.counts["breached", "unknown"] == 2


async def test_breached_passwords_are_asked_about_by_five_digits(open_house: OpenHouse) -> None:
    """The service hears five digits of the hash of the NFC form, asks for padding, and of padding nobody is refused."""
    password = unicodedata.normalize("NFD", "fünf weise Affen tanzen")
    digest = sha1(unicodedata.normalize("NFC", password).encode(), usedforsecurity=False).hexdigest().upper()
    async with ranging(BREACHED) as service, open_house(breached_passwords_url=service.url) as house:
        assert (await _register(house, password)).status_code == 201
        [head] = service.asked
        assert head.startswith(f"GET /range/{digest[:5]} HTTP/1.1\r\n")
        assert "add-padding: true" in head.lower()
        assert digest[5:] not in head.upper()
        assert "cookie" not in head.lower()


async def test_breached_service_is_asked_past_every_proxy(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that the environment names, for whatever program, is not told: nobody listens at this one."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with ranging(BREACHED) as service, open_house(breached_passwords_url=service.url) as house:
        assert _refused(await _register(house, BREACHED), "password")
        assert len(service.asked) == 1


async def test_breached_service_hears_of_no_password_that_is_refused_anyway(open_house: OpenHouse) -> None:
    """Too short, too common, too personal: our own rules come first."""
    async with ranging() as service, open_house(breached_passwords_url=service.url) as house:
        for password in ("short", "passwordpassword", "coatcheckcoatcheck"):
            assert (await _register(house, password)).status_code == 422
        assert service.asked == []


@pytest.mark.parametrize("manner", BAD)
async def test_breached_service_in_trouble_keeps_nobody_from_a_password(
    open_house: OpenHouse,
    manner: Manner,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However it misbehaves, the password is taken after one request, and only that it failed is counted and logged."""
    assert breaches.PATIENCE <= 2.0
    monkeypatch.setattr(breaches, "PATIENCE", 0.8)
    caplog.set_level(logging.INFO)
    digest = sha1(BREACHED.encode(), usedforsecurity=False).hexdigest()
    async with ranging(BREACHED) as service, open_house(breached_passwords_url=service.url) as house:
        service.manner = manner
        assert (await _register(house, BREACHED)).status_code == 201
        assert len(service.asked) == 1
        assert house.desk.counts["breached", "failed"] == 1
        told = (caplog.text + capsys.readouterr().out).lower()
        assert "breached_passwords.failed" in told
        assert BREACHED not in told
        assert f"range/{digest[:5]}" not in told
        service.manner = "well"
        assert _refused(await _register(house, BREACHED, "bob@example.test"), "password")


async def test_breached_service_that_is_away_keeps_nobody_from_a_password(open_house: OpenHouse) -> None:
    """Nobody listens there: taken."""
    async with open_house(breached_passwords_url="http://127.0.0.1:1/range") as house:
        assert (await _register(house, BREACHED)).status_code == 201
        assert house.desk.counts["breached", "failed"] == 1


async def test_breached_passwords_are_asked_of_nobody_by_default(house: House) -> None:
    """Off: taken, and nothing is counted."""
    assert (await _register(house, BREACHED)).status_code == 201
    assert not [key for key in house.desk.counts if key[0] == "breached"]


async def test_breached_service_is_looked_at_by_doctor(open_house: OpenHouse) -> None:
    """A service that answers well is `ok`, one that does not is warned about."""
    async with ranging() as service, open_house(breached_passwords_url=service.url) as house:
        for manner, level in (("well", "ok"), ("html", "warn")):
            service.manner = manner  # type: ignore[assignment]  # of a tuple
            found = await doctor.examine(house.desk.settings)
            assert [one.level for one in found if one.about == "breached passwords"] == [level]
