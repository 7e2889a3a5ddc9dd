"""What may be used once is used once: of fifty who use it at the same moment one succeeds, and each other one is told
why he does not. On SQLite, and over two workers on PostgreSQL and Redis. Nobody is told that the house is busy."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest_asyncio

from tests.authenticator import Authenticator
from tests.conftest import OpenHouse, Stores
from tests.factors import ADA, App, enrol_app, enrol_passkey, options, pending, sign_in, verify
from tests.house import PASSWORD, House, NativeClient, link_in

NEW = "ada@new.test"
FIFTY = range(50)
LINK = {(410, "link_invalid")}
OVER, WRONG, WAIT = (401, "challenge_expired"), (401, "invalid_credentials"), (429, "rate_limited")

Workers = list[House]
Ask = Callable[[House, int], Awaitable[httpx2.Response]]


@asynccontextmanager
async def opened_workers(open_house: OpenHouse, stores: Stores, **chosen: Any) -> AsyncIterator[Workers]:
    """One worker where there can be but one, two elsewhere. Limits are not what is tested."""
    chosen |= {"limit_login": "off", "limit_mail": "off"}
    async with AsyncExitStack() as stack:
        number = 2 if "redis_url" in stores else 1
        yield [await stack.enter_async_context(open_house(**chosen)) for _ in range(number)]


@pytest_asyncio.fixture
async def workers(open_house: OpenHouse, stores: Stores) -> AsyncIterator[Workers]:
    """With the settings everybody starts with."""
    async with opened_workers(open_house, stores) as opened:
        yield opened


async def one_of_fifty(workers: Workers, ask: Ask, said: int, refusals: set[tuple[int, str]]) -> int:
    """Ask fifty times at once, every worker in turn: who succeeded. Each other one got one of these refusals."""
    answers = await asyncio.gather(*(ask(workers[number % len(workers)], number) for number in FIFTY))
    statuses = [answer.status_code for answer in answers]
    refused = Counter((one.status_code, one.json()["code"]) for one in answers if one.status_code != said)
    assert (statuses.count(said), refused.total()) == (1, 49), refused
    assert set(refused) <= refusals, refused
    return statuses.index(said)


async def one_link_of_fifty(workers: Workers, path: str, token: str, **body: str) -> None:
    """A link of a mail, used fifty times at once."""

    async def use(worker: House, _: int) -> httpx2.Response:
        return await worker.http().post(path, json={"token": token} | body)

    await one_of_fifty(workers, use, 204, LINK)


async def newest(house: House, path: str, to: str = ADA) -> str:
    """The token of the newest link to a page, in one person's mails."""
    return link_in([one for one in await house.mails(to) if path in one.as_string()][-1], path)


async def generation(house: House) -> int:
    """How often everything that was proved before has been declared void."""
    [row] = await house.rows("SELECT auth_generation FROM account")
    return int(row["auth_generation"])


async def living(house: House) -> int:
    return len(await house.rows("SELECT id FROM session WHERE ended_at IS NULL"))


# -- links -------------------------------------------------------------------------------------------------------------


async def test_single_use_reset_link_sets_one_password(workers: Workers) -> None:
    """The password is that of the one who succeeded; changed once, every session ended, one alert."""
    house = workers[0]
    await house.register()
    await house.native()
    await house.http().post("/v1/password-reset", json={"email": ADA})
    token, wanted = await newest(house, "/account/reset"), [f"wise monkeys dancing number {n}" for n in FIFTY]

    async def use(worker: House, number: int) -> httpx2.Response:
        body = {"token": token, "new_password": wanted[number]}
        return await worker.http().post("/v1/password-reset/confirm", json=body)

    winner = await one_of_fifty(workers, use, 204, LINK)
    assert (await generation(house), await living(house)) == (1, 0)
    assert len(await house.audit("password.reset")) == 1
    assert [one["Subject"] for one in await house.mails(ADA)].count("Your new password is set") == 1
    assert (await sign_in(house, password=wanted[winner])).status_code == 200
    assert (await sign_in(house, password=wanted[winner - 1])).status_code == 401


async def test_single_use_verify_link_confirms_once(workers: Workers) -> None:
    """The address is confirmed, one event says so, and the session from before goes on."""
    house = workers[0]
    await house.register()
    phone = await house.native()
    token = await newest(house, "/account/verify")
    await one_link_of_fifty(workers, "/v1/email-verification/confirm", token, password=PASSWORD)
    assert (await phone.get("/v1/me")).json()["email_verified"] is True
    assert len(await house.audit("email.verified")) == 1
    assert await generation(house) == 0


async def test_single_use_email_change_link_changes_once(workers: Workers) -> None:
    """One change, one event, one mail to the old address, with one link that undoes it."""
    house = workers[0]
    await house.register()
    await (await house.native()).call("POST", "/v1/me/email", json={"email": NEW})
    token = await newest(house, "/account/email/confirm", NEW)
    await one_link_of_fifty(workers, "/v1/email-change/confirm", token, password=PASSWORD)
    assert [row["email"] for row in await house.rows("SELECT email FROM account")] == [NEW]
    assert len(await house.audit("email.changed")) == 1
    assert len(await house.rows("SELECT key FROM challenge WHERE purpose = 'email.undo'")) == 1
    assert len([one for one in await house.mails(ADA) if "/account/email/undo" in one.as_string()]) == 1


async def test_single_use_undo_link_gives_the_address_back_once(workers: Workers) -> None:
    """One event, one link for a new password, every session ended once."""
    house = workers[0]
    await house.register()
    await (await house.native()).call("POST", "/v1/me/email", json={"email": NEW})
    body = {"token": await newest(house, "/account/email/confirm", NEW), "password": PASSWORD}
    assert (await house.http().post("/v1/email-change/confirm", json=body)).status_code == 204
    await one_link_of_fifty(workers, "/v1/email-change/undo", await newest(house, "/account/email/undo"))
    assert [row["email"] for row in await house.rows("SELECT email FROM account")] == [ADA]
    assert (await generation(house), await living(house)) == (1, 0)
    assert len(await house.audit("email.restored")) == len(await house.audit("session.ended")) == 1
    assert len(await house.rows("SELECT key FROM challenge WHERE purpose = 'password.reset'")) == 1
    assert len([one for one in await house.mails(ADA) if "/account/reset" in one.as_string()]) == 1


async def test_single_use_not_me_link_answers_one_alert_once(workers: Workers) -> None:
    """The session it told of has ended, the other has not; one event, one link for a new password."""
    house = workers[0]
    await house.register()
    owner, thief = await house.native(), await house.native()
    await one_link_of_fifty(workers, "/v1/not-me", await newest(house, "/account/not-me"))
    assert (await thief.get("/v1/me")).json()["code"] == "session_revoked"
    assert (await owner.get("/v1/me")).status_code == 200
    assert len(await house.audit("alert.denied")) == len(await house.audit("session.ended")) == 1
    assert len(await house.rows("SELECT key FROM challenge WHERE purpose = 'password.reset'")) == 1
    assert len([one for one in await house.mails(ADA) if "/account/reset" in one.as_string()]) == 1


async def test_single_use_register_link_makes_one_account(open_house: OpenHouse, stores: Stores) -> None:
    """Where addresses must be proved first, and with two links of one address in use at once: one account."""
    async with opened_workers(open_house, stores, require_verified_email=True) as workers:
        house = workers[0]
        for _ in range(2):
            await house.http().post("/v1/accounts", json={"email": ADA, "password": PASSWORD})
        links = [link_in(one, "/account/verify") for one in await house.mails(ADA)]

        async def use(worker: House, number: int) -> httpx2.Response:
            body = {"token": links[number % 2], "password": PASSWORD}
            return await worker.http().post("/v1/email-verification/confirm", json=body)

        await one_of_fifty(workers, use, 204, LINK)
        assert len(await house.rows("SELECT id FROM account")) == 1
        assert len(await house.audit("account.registered")) == len(await house.audit("email.verified")) == 1


# -- second factors ----------------------------------------------------------------------------------------------------


async def with_app(house: House) -> tuple[NativeClient, App]:
    """Ada, with an authenticator app."""
    await house.register()
    phone = await house.native()
    return phone, await enrol_app(house, phone)


async def fifty_pending(house: House) -> tuple[App, list[str]]:
    """Sign-ins of Ada's that want a code, from so many of her devices that nobody has tried too often to be heard."""
    await house.register()
    devices = [await house.native() for _ in range(13)]
    app = await enrol_app(house, await house.native())
    return app, [await pending(house, device={"token": devices[number // 4].device_token}) for number in FIFTY]


async def assert_one_came_in(house: House) -> None:
    """Beside the session that was there; and nothing was begun that is not there any more."""
    assert await living(house) == 2
    [row] = await house.rows("SELECT max(created_at) AS newest FROM session")
    assert len(await house.rows("SELECT id FROM session WHERE created_at = $1", row["newest"])) == 1
    assert len(await house.audit("session.started")) == len(await house.rows("SELECT id FROM session"))


async def test_single_use_recovery_code_signs_in_once(workers: Workers) -> None:
    """One code on fifty sign-ins: one gets in and nine codes are left."""
    house = workers[0]
    app, tokens = await fifty_pending(house)

    async def use(worker: House, number: int) -> httpx2.Response:
        return await verify(worker, tokens[number], "recovery_code", code=app.codes[0])

    await one_of_fifty(workers, use, 200, {WRONG})
    assert len(await house.rows("SELECT slot FROM recovery_code")) == 9
    assert len(await house.audit("recovery_code.used")) == 1
    await assert_one_came_in(house)


async def test_single_use_totp_step_signs_in_once(workers: Workers) -> None:
    """One code of the app on fifty sign-ins: one gets in."""
    house = workers[0]
    app, tokens = await fifty_pending(house)
    code = app.next_code()

    async def use(worker: House, number: int) -> httpx2.Response:
        return await verify(worker, tokens[number], code=code)

    await one_of_fifty(workers, use, 200, {WRONG})
    await assert_one_came_in(house)


async def test_single_use_pending_sign_in_ends_in_one_session(workers: Workers) -> None:
    """The right code on one challenge: one session, and the challenge is gone."""
    house = workers[0]
    _, app = await with_app(house)
    token, code = await pending(house), app.next_code()

    async def use(worker: House, _: int) -> httpx2.Response:
        return await verify(worker, token, code=code)

    await one_of_fifty(workers, use, 200, {OVER, WAIT})
    assert await house.rows("SELECT key FROM challenge WHERE purpose = 'sign_in'") == []
    await assert_one_came_in(house)


async def test_single_use_step_up_challenge_proves_once(workers: Workers) -> None:
    """The right code on one step-up: one proof."""
    house = workers[0]
    phone, app = await with_app(house)
    token, code = (await phone.prove()).json()["challenge_token"], app.next_code()

    async def use(worker: House, _: int) -> httpx2.Response:
        body = {"challenge_token": token, "method": "totp", "code": code}
        client = NativeClient(worker.http(), phone.access_token)
        return await client.call("POST", "/v1/me/reauthenticate", json=body)

    before = len(await house.audit("step_up.proved"))
    await one_of_fifty(workers, use, 200, {OVER, WAIT})
    assert len(await house.audit("step_up.proved")) == before + 1


async def test_single_use_enrolment_makes_one_app(workers: Workers) -> None:
    """One factor, one set of recovery codes, one event."""
    house = workers[0]
    await house.register()
    phone = await house.native()
    begun = (await phone.call("POST", "/v1/me/factors/totp")).json()
    body = {"challenge_token": begun["challenge_token"], "code": App(house, begun["secret"]).code()}

    async def use(worker: House, _: int) -> httpx2.Response:
        client = NativeClient(worker.http(), phone.access_token)
        return await client.call("POST", "/v1/me/factors/totp/confirm", json=body)

    await one_of_fifty(workers, use, 201, {(409, "conflict")})
    assert len(await house.rows("SELECT id FROM factor")) == len(await house.audit("factor.added")) == 1
    assert len(await house.rows("SELECT slot FROM recovery_code")) == 10


async def test_single_use_registration_challenge_makes_one_passkey(workers: Workers) -> None:
    """One passkey, one set of recovery codes, one event."""
    house = workers[0]
    await house.register()
    phone = await house.native()
    begun = (await phone.call("POST", "/v1/me/passkeys/options")).json()
    # Another passkey each: what may be used once is the challenge.
    made = [Authenticator().create(begun["public_key"]) for _ in FIFTY]

    async def use(worker: House, number: int) -> httpx2.Response:
        body = {"challenge_token": begun["challenge_token"], "credential": made[number]}
        return await NativeClient(worker.http(), phone.access_token).call("POST", "/v1/me/passkeys", json=body)

    await one_of_fifty(workers, use, 201, {(409, "conflict")})
    assert len(await house.rows("SELECT id FROM factor")) == len(await house.audit("factor.added")) == 1
    assert len(await house.rows("SELECT slot FROM recovery_code")) == 10


async def test_single_use_passkey_challenge_signs_in_once(workers: Workers) -> None:
    """One signature: one session."""
    house = workers[0]
    await house.register()
    passkey, _ = await enrol_passkey(await house.native())
    challenge, public_key = await options(house)
    credential = passkey.get(public_key)

    async def use(worker: House, _: int) -> httpx2.Response:
        return await verify(worker, challenge, "passkey", credential=credential)

    await one_of_fifty(workers, use, 200, {OVER})
    await assert_one_came_in(house)


async def test_single_use_choice_of_what_to_sign_out_ends_in_one_session(open_house: OpenHouse, stores: Stores) -> None:
    """One challenge of the session limit: one session comes, one goes."""
    async with opened_workers(open_house, stores, session_limit=1, session_limit_policy="ask") as workers:
        house = workers[0]
        await house.register()
        phone = await house.native()
        token = (await sign_in(house)).json()["challenge_token"]

        async def use(worker: House, _: int) -> httpx2.Response:
            body = {"challenge_token": token, "method": "sign_out", "session_id": phone.session_id}
            return await worker.http().post("/v1/native/login/verify", json=body)

        await one_of_fifty(workers, use, 200, {OVER})
        assert await living(house) == len(await house.audit("session.ended")) == 1
        assert len(await house.rows("SELECT id FROM session")) == 2
