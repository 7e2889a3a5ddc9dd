"""Six hours of guessing at one account from many networks: the guesses stay few, and the owner always gets in.

This was an attack that worked: thirty guesses an hour from four addresses kept the owner out of every new device for as
long as they went on, and a new password by mail did not help.
"""

from dataclasses import dataclass, field

import httpx2
import pytest

from tests.factors import enrol_passkey, passkey_sign_in
from tests.house import PASSWORD, House, MovableClock, link_in
from tests.pages import Visitor

ADA = "ada@example.test"
WRONG = "certainly not this one"
LIMITED = 429
HOURS = 6
WINDOW, ROUND = 7_200, 600  # seconds: the longest window of LIMIT_ACCOUNT, and of one round of guesses
BOUND, SPARE = 60 + 30, 30  # failures by unknown devices in a window, and those of them that a reset renews


@pytest.fixture(autouse=True)
def window(clock: MovableClock, patient: None) -> None:
    """Start with a window, so that the failures of each can be counted; `patient`: an outage would halve the limits."""
    clock.move(WINDOW - clock.now() / 1000 % WINDOW)


async def sign_in(house: House, ip: str, password: str = PASSWORD, **more: object) -> httpx2.Response:
    body = {"email": ADA, "password": password} | more
    return await house.http(ip=ip).post("/v1/native/login", json=body)


@dataclass
class Guesser:
    """Tries wrong passwords from each of its networks, round after round, until each is refused."""

    house: House
    networks: int
    email: str = ADA
    verified: list[int] = field(default_factory=list)  # guesses of each round

    async def guess(self) -> None:
        """Guess from all networks until none of them is let any more."""
        asking, verified = list(range(self.networks)), 0
        while asking:
            asking = [n for n in asking if await self._try(f"198.18.{n}.1")]
            verified += len(asking)
        self.verified.append(verified)

    async def _try(self, ip: str) -> bool:
        return (await sign_in(self.house, ip, WRONG, email=self.email)).status_code == 401

    def in_windows(self) -> list[int]:
        """Verified guesses of each window."""
        rounds = WINDOW // ROUND
        return [sum(self.verified[n : n + rounds]) for n in range(0, len(self.verified), rounds)]


def new_address(number: int) -> str:
    return f"203.0.{number}.7"


async def reset(house: House, new: str) -> str:
    """Choose a new password by mail; the token of the link."""
    before = len(await house.mails())
    http = house.http(ip="192.0.2.9")
    await http.post("/v1/password-reset", json={"email": ADA})
    [token] = [link_in(letter, "/account/reset") for letter in (await house.mails())[before:]]
    answer = await http.post("/v1/password-reset/confirm", json={"token": token, "new_password": new})
    assert answer.status_code == 204
    return token


async def test_login_under_attack_from_few_networks_works_as_ever(house: House) -> None:
    """Guesses from ten networks for six hours: the owner signs in on new devices, on a known one and by passkey."""
    await house.register()
    phone = await house.native()
    passkey, _ = await enrol_passkey(phone)
    guesser = Guesser(house, 10)
    for round_ in range(HOURS * 3_600 // ROUND):
        await guesser.guess()
        for device in ({}, {"token": phone.device_token}):
            answer = await sign_in(house, new_address(round_), device=device)
            assert answer.json()["code"] == "mfa_required", (round_, answer.text)
            token = answer.json()["challenge_token"]
            assert (await passkey_sign_in(house, passkey, token=token)).status_code == 200
        assert (await passkey_sign_in(house, passkey)).status_code == 200
        house.clock.move(ROUND)
    assert guesser.verified[0] > 20  # the limit was full in truth
    assert max(guesser.in_windows()) <= BOUND


async def test_login_under_attack_from_many_networks_leaves_ways_in(house: House) -> None:
    """Guesses from forty networks for six hours: a known device and a link just used let the owner in every time."""
    await house.register()
    phone, guesser, password = await house.native(), Guesser(house, 40), PASSWORD
    for round_ in range(HOURS * 3_600 // ROUND):
        await guesser.guess()
        assert (await sign_in(house, new_address(round_), password)).status_code == LIMITED
        known = {"token": phone.device_token}
        assert (await sign_in(house, new_address(round_), password, device=known)).status_code == 200
        if round_ % 6 == 5:
            password = f"{round_} wise monkeys dancing"
            token = await reset(house, password)
            await guesser.guess()
            assert (await sign_in(house, new_address(round_), password, reset_token=token)).status_code == 200
        house.clock.move(ROUND)
    assert max(guesser.in_windows()) <= BOUND + 2 * SPARE  # of the owner's two resets in a window


async def test_login_after_a_reset_on_another_device(house: House) -> None:
    """A new password, set on the phone that has the mail, lets the owner in on a new computer at once."""
    await house.register()
    guesser = Guesser(house, 40)
    await guesser.guess()
    assert (await sign_in(house, new_address(1))).status_code == LIMITED
    await reset(house, "four wise monkeys dancing")
    assert (await sign_in(house, new_address(1), "four wise monkeys dancing")).status_code == 200


async def test_login_after_a_reset_in_a_browser(house: House) -> None:
    """The browser that used the link signs in at once, while guesses go on; afterwards the cookie for it is gone."""
    await house.register()
    guesser, ada = Guesser(house, 40), Visitor(house)
    before = len(await house.mails())
    await ada.post("/account/forgot", look="/account/forgot", email=ADA)
    token = link_in((await house.mails())[before], "/account/reset")
    new = "four wise monkeys dancing"
    await ada.post("/account/reset", look="/account/reset", token=token, new_password=new)
    await guesser.guess()
    assert (await sign_in(house, new_address(1), new)).status_code == LIMITED
    assert any(name.endswith("coatcheck-reset") for name in ada.http.cookies)
    await ada.sign_in(password=new)
    assert not any(name.endswith("coatcheck-reset") for name in ada.http.cookies)


async def test_login_with_a_used_link_is_limited_and_ends(house: House) -> None:
    """A thief of a used link guesses five times; the link is no way in for another account, nor after its time."""
    await house.register()
    await house.register("eve@example.test")
    guesser, new = Guesser(house, 40), "four wise monkeys dancing"
    token = await reset(house, new)
    await guesser.guess()
    tries = [await sign_in(house, new_address(n), WRONG, reset_token=token) for n in range(7)]
    assert [answer.status_code for answer in tries] == [401] * 5 + [LIMITED] * 2
    house.clock.move(300)
    assert (await sign_in(house, new_address(1), new, reset_token=token)).status_code == 200
    await Guesser(house, 40, "eve@example.test").guess()
    others = await sign_in(house, new_address(1), email="eve@example.test", reset_token=token)
    assert others.status_code == LIMITED
    house.clock.move(600)
    await guesser.guess()
    assert (await sign_in(house, new_address(1), new, reset_token=token)).status_code == LIMITED
    assert (await house.http().post("/v1/password-reset/confirm", json={"token": token, "new_password": new})).is_error


async def test_login_with_a_used_link_ends_with_the_password(house: House) -> None:
    """When the password is changed again, the link of the reset before proves nothing more."""
    await house.register()
    guesser, new = Guesser(house, 40), "four wise monkeys dancing"
    token = await reset(house, new)
    phone = await house.native(password=new)
    newer = "five wise monkeys dancing"
    body = {"current_password": new, "new_password": newer}
    assert (await phone.call("POST", "/v1/me/password", json=body)).status_code == 204
    await guesser.guess()
    assert (await sign_in(house, new_address(1), newer, reset_token=token)).status_code == LIMITED
