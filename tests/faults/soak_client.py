"""One client of the soak: signs in, works, loses answers, signs others out and is signed out; and keeps a history."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.faults.evidence import Act, Call, Told
from tests.faults.soak_doors import Keys, cookie, exchange, handed_out, signing_in, told
from tests.house import PASSWORD
from tests.load.traffic import Answer

_SIGNED_OUT = ("session_expired", "session_revoked", "token_reused")
_PAUSE = 1.3  # seconds between two acts, on average
_ARRIVAL = 15.0  # seconds in which all have come
# What a client does next, of a thousand times. What ends sessions is far more frequent than in real life.
_OFTEN = {
    "use": 590,
    "use_and_hang_up": 25,
    "refresh": 150,
    "refresh_in_parallel": 60,
    "refresh_and_lose_the_answer": 60,
    "present_an_old_token": 40,
    "sign_in": 15,
    "sign_in_and_hang_up": 6,
    "sign_out": 10,
    "sign_out_device": 10,
    "sign_out_session": 10,
    "sign_out_others": 2,
    "sign_out_all": 2,
    "change_password": 4,
}


@dataclass
class Person:
    """An account, its clients, and the passwords it may have, the likeliest first."""

    account: str
    email: str
    passwords: list[str] = field(default_factory=lambda: [PASSWORD])
    clients: "list[Client]" = field(default_factory=list)
    changing: bool = False
    changed: int = 0


class Client:
    """One installation with one door."""

    def __init__(
        self, number: int, person: Person, door: str, ports: Sequence[int], now: Callable[[], float], random: Random
    ) -> None:
        self.number, self.person, self.door = number, person, door
        self.history: list[Call] = []
        self.keys: Keys | None = None
        self._device = ""
        self._until = 0.0
        self._old: deque[Keys] = deque(maxlen=4)
        self._ports, self._now, self._random = ports, now, random
        self._watching: set[asyncio.Task[None]] = set()
        person.clients.append(self)

    async def live(self, until: float) -> None:
        """Act after act."""
        acts, weights, self._until = list(_OFTEN), list(_OFTEN.values()), until
        await self._wait(self._random.uniform(0, _ARRIVAL))
        while self._now() < until:
            [act] = self._random.choices(acts, weights) if self.keys else ["sign_in"]
            await getattr(self, act)()
            await self._wait(min(self._random.expovariate(1 / _PAUSE), 4 * _PAUSE))
        while self._watching:
            await asyncio.wait(self._watching)

    async def is_served(self) -> bool:
        """Whether it is granted what it asks for: with the session it has, or a new one."""
        for _ in range(4):  # an expired access token, an ended session, another password: each takes a step
            if self.keys is None:
                await self.sign_in()
            elif await self._use("/v1/sessions/current"):
                return True
            else:
                await self.refresh()
        return False

    # -- acts ------------------------------------------------------------------------------------------------------

    async def sign_in(self, hang_up: float | None = None) -> None:
        """On its own device, if it has been given one."""
        password = self.person.passwords[0]
        request = signing_in(self.door, self.person.email, password, self._device)
        call, answer = await self._ask("sign_in", request, hang_up=hang_up)
        if _code(call) == "invalid_credentials" and self.person.passwords[0] == password:
            self.person.passwords.append(self.person.passwords.pop(0))
        if answer and call.granted:
            self.keys = handed_out(self.door, answer)
            self._device = device_secret(answer) or self._device
            self._old.clear()

    async def sign_in_and_hang_up(self) -> None:
        """The session is made, and nobody has its credentials."""
        await self.sign_in(hang_up=self._random.uniform(0, 0.1))

    async def use(self) -> None:
        """An authenticated request."""
        await self._use(self._random.choice(["/v1/sessions/current"] * 5 + ["/v1/me", "/v1/devices"]))

    async def use_and_hang_up(self) -> None:
        """The same, and the answer is lost."""
        if keys := self.keys:
            await self._ask("use", keys.request("GET", "/v1/devices"), keys, hang_up=self._random.uniform(0, 0.02))

    async def refresh(self, keys: Keys | None = None, hang_up: float | None = None) -> None:
        """With the newest token, or another."""
        keys = keys or self.keys
        if keys is None or keys.door == "web":
            await self.use()
        else:
            await self._ask("refresh", keys.refreshing(), keys, hang_up=hang_up)

    async def refresh_in_parallel(self) -> None:
        """One token from several places at once."""
        keys = self.keys
        await asyncio.gather(*(self.refresh(keys) for _ in range(self._random.randint(2, 5))))

    async def refresh_and_lose_the_answer(self) -> None:
        """And ask again, now or later, here or elsewhere."""
        keys = self.keys
        await self.refresh(keys, hang_up=self._random.uniform(0, 0.05))
        await self._wait(self._random.choice([0, 0, 0.3, 2, 10]))
        if keys and self.keys is keys:
            await self.refresh(keys)

    async def present_an_old_token(self) -> None:
        """As a thief does, or a second copy of the app: in the race window or long after it."""
        if self._old:
            await self.refresh(self._random.choice(list(self._old)))

    async def sign_out(self) -> None:
        """Itself, by the door's own address or by the one for all."""
        if keys := self.keys:
            own_way = self._random.random() < 0.7
            request = keys.signing_out() if own_way else keys.request("DELETE", "/v1/sessions/current")
            await self._end("sign_out", request, keys, leaves=True)

    async def sign_out_device(self) -> None:
        """Another device of the same person."""
        await self._end_another("sign_out_device", "/v1/devices", lambda device: device["id"])

    async def sign_out_session(self) -> None:
        """A session on another device."""
        await self._end_another("sign_out_session", "/v1/sessions", lambda device: device["sessions"][0]["id"])

    async def sign_out_others(self) -> None:
        """All but itself."""
        if keys := self.keys:
            await self._end("sign_out_others", keys.request("POST", "/v1/devices/logout-others"), keys)

    async def sign_out_all(self) -> None:
        """Itself too."""
        if keys := self.keys:
            await self._end("sign_out_all", keys.request("POST", "/v1/devices/logout-all"), keys, leaves=True)

    async def change_password(self) -> None:
        """One client of a person at a time; when the answer is lost, either may be right."""
        if self.person.changing or self.keys is None:
            return
        self.person.changing = True
        current, self.person.changed = self.person.passwords[0], self.person.changed + 1
        new = f"{PASSWORD} {self.person.changed}"
        body = {"current_password": current, "new_password": new}
        hang_up = self._random.choice([None, None, self._random.uniform(0, 0.1)])
        request = self.keys.request("POST", "/v1/me/password", body)
        call = await self._end("change_password", request, self.keys, hang_up=hang_up)
        if call.granted:
            self.person.passwords = [new]
        elif _code(call) == "invalid_credentials":
            self.person.passwords.append(self.person.passwords.pop(0))
        elif call.answer is None or call.answer.status == 503 or _code(call) in _SIGNED_OUT:
            self.person.passwords.append(new)
        self.person.changing = False

    # -- how -------------------------------------------------------------------------------------------------------

    async def _wait(self, seconds: float) -> None:
        await asyncio.sleep(max(0, min(seconds, self._until - self._now())))

    async def _use(self, path: str) -> bool:
        keys = self.keys
        if keys is None:
            return False
        call, _ = await self._ask("use", keys.request("GET", path), keys)
        if _code(call) == "token_expired":
            await self.refresh()
        return call.granted

    async def _end_another(self, act: Act, path: str, which: Callable[[Any], str]) -> None:
        keys = self.keys
        if keys is None:
            return
        call, answer = await self._ask("use", keys.request("GET", "/v1/devices"), keys)
        if answer and call.granted:
            others = [device for device in json.loads(answer.body)["devices"] if not device["current"]]
            if others:
                target = which(self._random.choice(others))
                await self._end(act, keys.request("DELETE", f"{path}/{target}"), keys, target)

    async def _end(
        self, act: Act, request: bytes, keys: Keys, target: str = "", leaves: bool = False, hang_up: float | None = None
    ) -> Call:
        """End sessions; and then look for how long they are still let in."""
        held = [(client, client.keys) for client in self.person.clients if client.keys]
        call, _ = await self._ask(act, request, keys, target=target, hang_up=hang_up)
        if leaves and call.granted:
            self._forget(keys.session)
        if call.granted:
            for client, its in held:
                self._begin(client.probe(its, self._random.choice([0, 0, 0.1, 0.5, 1, 1.5, 2.5])))
        return call

    async def probe(self, keys: Keys, after: float) -> None:
        """Show a credential that may have ended to some worker, at some time."""
        await asyncio.sleep(after)
        if keys.door != "web" and self._random.random() < 0.4:
            await self._ask("refresh", keys.refreshing(), keys)
        else:
            await self._ask("use", keys.request("GET", "/v1/sessions/current"), keys)

    def _begin(self, watching: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(watching)
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _ask(
        self, act: Act, request: bytes, keys: Keys | None = None, *, target: str = "", hang_up: float | None = None
    ) -> tuple[Call, Answer | None]:
        worker = self._random.randrange(len(self._ports))
        began = self._now()
        answer = await exchange(self._ports[worker], request, hang_up)
        ended = self._now()
        handed = None if isinstance(answer, str) else handed_out(self.door, answer)
        call = Call(
            client=self.number,
            account=self.person.account,
            act=act,
            worker=worker,
            began=began,
            ended=ended,
            told=answer if isinstance(answer, str) else told(answer, handed),
            session=keys.session if keys else "",
            generation=keys.generation if keys else -1,
            target=target,
        )
        self.history.append(call)
        if keys:
            self._learn(call, keys, handed)
        return call, None if isinstance(answer, str) else answer

    def _learn(self, call: Call, keys: Keys, handed: Keys | None) -> None:
        """The newest credentials count; and a session is over when the server says so in as many words."""
        mine = self.keys
        if handed and mine and handed.session == mine.session and handed.generation > mine.generation:
            self._old.append(mine)
            self.keys = handed
        over = _code(call) in _SIGNED_OUT
        outdated = _code(call) == "token_invalid" and mine is keys  # its new cookie was in an answer that was lost
        if over or outdated:
            self._forget(keys.session)

    def _forget(self, session: str) -> None:
        if self.keys and self.keys.session == session:
            self.keys = None


def device_secret(answer: Answer) -> str:
    """What the device is recognised by."""
    from_body = json.loads(answer.body).get("device_token", "")
    return from_body or cookie(answer, "device")


def _code(call: Call) -> str:
    return call.told.code if isinstance(call.told, Told) else ""
