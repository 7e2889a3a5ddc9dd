"""What was handed out before is dead after a reset, a change of password, an undone change of address, a disabling and
a closing: every kind of credential, at two workers at once, also while clients refresh as fast as they can."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from email.message import EmailMessage

import httpx2
import pytest
import pytest_asyncio

from coatcheck import administration, ids
from tests.conftest import Stores
from tests.factors import ADA, OWN_PAGE, App, enrol_app, pending, sign_in, verify
from tests.house import PASSWORD, House, MovableClock, NativeClient, SpaClient, WebClient, link_in, opened
from tests.waiting import until

NEW, OTHER = "four wise monkeys dancing", "ada@new.test"
CHANGES = ["reset", "password", "undo", "disabled", "closed"]
Workers = tuple[House, House]


@pytest_asyncio.fixture
async def workers(servers: Stores, clock: MovableClock, patient: None) -> AsyncIterator[Workers]:
    """Two workers that let anybody refresh as fast as he can."""
    off = {"limit_refresh": "off", "limit_login": "off", "limit_mail": "off"}
    async with AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(opened(clock, **servers, **off)) for _ in range(2)]

        async def fresh() -> bool:
            return first.desk.feed.is_fresh() and second.desk.feed.is_fresh()

        await until(fresh, 5)
        yield first, second


@dataclass
class Held:
    """One credential of each kind, beside the device that makes the change."""

    app: App
    caller: NativeClient
    phone: NativeClient
    tab: SpaClient
    page: WebClient
    begun: dict[int, str] = field(default_factory=dict)  # a sign-in that is half-way, for each worker
    rising: str = ""  # the caller's step-up that is half-way
    undo: str = ""  # the token of the link that undoes a change of address


async def came_in(house: House, app: App, door: str, http: httpx2.AsyncClient) -> httpx2.Response:
    """Password and code, at a door."""
    answer = await verify(house, await pending(house, door, http=http), door=door, http=http, code=app.next_code())
    assert answer.status_code == 200, answer.text
    return answer


async def held_by_ada(workers: Workers) -> Held:
    """Everything Ada holds, from both workers, all of it freshly proved."""
    first, second = workers
    await first.register()
    app = await enrol_app(first, await first.native())
    told = (await came_in(first, app, "native", first.http())).json()
    caller = NativeClient(first.http(), told["access_token"], told["refresh_token"], told["device_token"], told)
    told = (await came_in(second, app, "native", second.http())).json()
    phone = NativeClient(second.http(), told["access_token"], told["refresh_token"], told["device_token"], told)
    tab, page = SpaClient(first.http()), WebClient(second.http())
    tab.access_token = (await came_in(first, app, "spa", tab.http)).json()["access_token"]
    page.csrf_token = (await came_in(second, app, "web", page.http)).json()["csrf_token"]
    held = Held(app, caller, phone, tab, page)
    assert (await caller.call("POST", "/v1/me/email", json={"email": OTHER})).status_code == 202
    body = {"token": await newest(first, OTHER, "/account/email/confirm"), "password": PASSWORD}
    assert (await first.http().post("/v1/email-change/confirm", json=body)).status_code == 204
    held.undo = await newest(first, ADA, "/account/email/undo")
    held.begun = {id(worker): await pending(worker, email=OTHER) for worker in workers}
    held.rising = str((await caller.prove()).json()["challenge_token"])
    app.next_code()  # one that nobody has used
    return held


async def newest(house: House, to: str, path: str) -> str:
    """The token of the newest link to a page, in one person's mails; the other worker may be bringing one just now."""
    letters: list[EmailMessage] = []

    async def there() -> bool:
        letters[:] = [one for one in await house.mails(to) if path in one.as_string()]
        return bool(letters)

    await until(there, 20)
    return link_in(letters[-1], path)


async def change(what: str, house: House, held: Held) -> None:
    """What the owner, or staff, does about it."""
    http = house.http()
    if what == "reset":
        await http.post("/v1/password-reset", json={"email": OTHER})
        body = {"token": await newest(house, OTHER, "/account/reset"), "new_password": NEW}
        answer = await http.post("/v1/password-reset/confirm", json=body)
    elif what == "password":
        body = {"current_password": PASSWORD, "new_password": NEW}
        answer = await held.caller.call("POST", "/v1/me/password", json=body)
    elif what == "undo":
        answer = await http.post("/v1/email-change/undo", json={"token": held.undo})
    elif what == "closed":
        answer = await held.caller.call("DELETE", "/v1/me")
    else:
        account_id = ids.raw("acc", held.phone.grant["account"]["id"])
        assert account_id
        await administration.set_disabled(house.desk, account_id, True, None)
        return
    assert answer.status_code == 204, answer.text


async def prove(held: Held) -> None:
    """The caller goes on with her step-up: a change wants a fresh proof."""
    body = {"challenge_token": held.rising, "method": "totp", "code": held.app.next_code()}
    answer = await held.caller.call("POST", "/v1/me/reauthenticate", json=body)
    assert answer.status_code == 200, answer.text
    held.caller.access_token = answer.json()["access_token"]


def code(answer: httpx2.Response) -> str:
    return "ok" if answer.is_success else str(answer.json()["code"])


async def seen(worker: House, held: Held) -> dict[str, str]:
    """What a worker says to the credentials that it checks by itself; `proof`: what only a fresh proof may ask for."""
    bearers = {"access token": held.phone.access_token, "access token of the spa": held.tab.access_token}
    said = {name: code(await NativeClient(worker.http(), token).get("/v1/me")) for name, token in bearers.items()}
    said["web cookie"] = code(await worker.http(cookies=held.page.http.cookies).get("/v1/me"))
    proved = NativeClient(worker.http(), held.phone.access_token)
    return said | {"proof": code(await proved.call("POST", "/v1/me/factors/totp"))}


async def asked(worker: House, held: Held) -> dict[str, str]:
    """What it says to those that it asks the database about; each is used up, where it is good."""
    cookies = {"__Host-coatcheck-refresh": held.tab.cookie or ""}
    spa = await worker.http(cookies=cookies).post("/v1/spa/refresh", headers=OWN_PAGE["spa"])
    rising = {"challenge_token": held.rising, "method": "totp", "code": held.app.code()}
    caller = NativeClient(worker.http(), held.caller.access_token)
    begun, device = held.begun[id(worker)], {"token": held.phone.device_token}
    options = await worker.http().post("/v1/passkeys/options", json={"challenge_token": begun})
    return {
        "refresh token": code(await NativeClient(worker.http()).refresh(held.phone.refresh_token)),
        "refresh token of the spa": code(spa),
        "step-up": code(await caller.call("POST", "/v1/me/reauthenticate", json=rising)),
        "passkey for the sign-in": code(options),
        "sign-in": code(await verify(worker, begun, code=held.app.code())),
        "device": code(await sign_in(worker, email=OTHER, device=device)),
    }


def refused(what: str) -> dict[str, str]:
    """Why each of them is. The one who changes a password stays, but must begin a proof anew."""
    return {
        "refresh token": "session_revoked",
        "refresh token of the spa": "session_revoked",
        "step-up": "challenge_expired" if what == "password" else "session_revoked",
        "passkey for the sign-in": "challenge_expired",
        "sign-in": "challenge_expired",
        "device": "invalid_credentials",
    }


async def all_dead(workers: Workers, held: Held) -> bool:
    said = [await seen(worker, held) for worker in workers]
    return {one for each in said for one in each.values()} == {"session_revoked"}


async def test_old_credentials_are_good_while_nothing_happens(workers: Workers) -> None:
    """The honest twin: each of them works, at both workers."""
    held = await held_by_ada(workers)
    for worker in workers:
        assert set((await seen(worker, held)).values()) == {"ok"}
    good = dict.fromkeys(refused(""), "ok") | {"device": "mfa_required"}
    # The step-up takes the app's code along, and is over; a sign-in wants the next one.
    assert await asked(workers[0], held) == good | {"sign-in": "invalid_credentials"}
    held.app.next_code()
    assert await asked(workers[1], held) == good | {"step-up": "challenge_expired"}


@pytest.mark.parametrize("what", CHANGES)
async def test_old_credentials_are_dead_at_both_workers(workers: Workers, what: str) -> None:
    """Where the change was made at once, elsewhere within a second; the caller of a changed password goes on."""
    held = await held_by_ada(workers)
    for worker in workers:
        assert set((await seen(worker, held)).values()) == {"ok"}
    await change(what, workers[0], held)
    assert set((await seen(workers[0], held)).values()) == {"session_revoked"}
    for worker in workers:
        assert await asked(worker, held) == refused(what)

    async def dead() -> bool:
        return await all_dead(workers, held)

    await until(dead, 1.0)
    for worker in workers:
        caller = NativeClient(worker.http(), held.caller.access_token, held.caller.refresh_token)
        stays = "ok" if what == "password" else "session_revoked"
        assert [code(await caller.get("/v1/me")), code(await caller.refresh())] == [stays, stays]


@dataclass
class Loop:
    """A client that refreshes at both workers in turn, until it is refused; `late`: begun after the change."""

    client: NativeClient
    answers: list[httpx2.Response] = field(default_factory=list)
    late: list[httpx2.Response] = field(default_factory=list)

    async def run(self, workers: Workers, changed: asyncio.Event) -> None:
        """Twice more after the first refusal: it is no passing one."""
        while sum(not answer.is_success for answer in self.answers) < 3:
            self.client.http = workers[len(self.answers) % 2].http()
            answers = [self.answers, self.late] if changed.is_set() else [self.answers]
            answer = await self.client.refresh()
            for kept in answers:
                kept.append(answer)


@pytest.mark.parametrize("what", CHANGES)
async def test_old_credentials_are_dead_though_clients_race(workers: Workers, what: str) -> None:
    """Six clients refresh in a loop at both workers: none is granted after the change's answer, and of all that was
    granted before, nothing works at either worker."""
    held = await held_by_ada(workers)
    loops = []
    for number in range(6):
        worker = workers[number % 2]
        told = (await verify(worker, await pending(worker, email=OTHER), code=held.app.next_code())).json()
        loops.append(Loop(NativeClient(worker.http(), told["access_token"], told["refresh_token"])))
    await prove(held)
    changed = asyncio.Event()
    tasks = [asyncio.create_task(loop.run(workers, changed)) for loop in loops]

    async def under_way() -> bool:
        return all(len(loop.answers) > 3 for loop in loops)

    await until(under_way, 30)
    await change(what, workers[0], held)
    changed.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    assert {code(answer) for loop in loops for answer in loop.late} == {"session_revoked"}
    granted = [answer.json() for loop in loops for answer in loop.answers if answer.is_success]

    async def dead() -> bool:
        said = [NativeClient(worker.http(), one["access_token"]).get("/v1/me") for one in granted for worker in workers]
        return {code(answer) for answer in await asyncio.gather(*said)} == {"session_revoked"}

    await until(dead, 5.0)
    again = [NativeClient(worker.http()).refresh(one["refresh_token"]) for one in granted for worker in workers]
    assert {code(answer) for answer in await asyncio.gather(*again)} <= {"session_revoked", "token_reused"}
    assert await workers[0].rows("SELECT id FROM session WHERE ended_at IS NULL AND id <> $1", kept(what, held)) == []


def kept(what: str, held: Held) -> bytes:
    """The session that may live on."""
    session_id = ids.raw("ses", held.caller.session_id) if what == "password" else b""
    assert session_id is not None
    return session_id
