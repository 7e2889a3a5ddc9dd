"""A new release, one server after the other, while people use it."""

import asyncio
import json
import socket
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import httpx2
import pytest

from tests.house import PASSWORD, NativeClient
from tests.proxy import people
from tests.proxy.topology import ADDRESSES, Deployed

EVERYBODY = 9


@dataclass
class Load:
    """People who never pause: reading and writing on connections that are kept, refreshing, coming anew."""

    house: Deployed
    over: asyncio.Event = field(default_factory=asyncio.Event)
    answered: int = 0
    failed: list[str] = field(default_factory=list)

    async def ask(self, client: NativeClient, method: str, path: str, **options: object) -> None:
        try:
            answer = await client.call(method, path, **options)
        except httpx2.HTTPError as error:
            self.failed.append(f"{method} {path}: {error!r}")
            return
        self.answered += 1
        if answer.status_code != 200:
            self.failed.append(f"{method} {path}: {answer.status_code} {answer.text}")

    async def person(self, client: NativeClient) -> None:
        """Until it is over. Writing can't be asked twice by a proxy, reading could."""
        turn = 0
        while not self.over.is_set():
            await self.ask(client, "PATCH", "/v1/me", json={"name": f"Ada {turn}"})
            await self.ask(client, "GET", "/v1/me")
            if turn % 20 == 0:
                answer = await client.refresh()
                self.answered += 1
                if answer.status_code != 200:
                    self.failed.append(f"refresh: {answer.status_code} {answer.text}")
            turn += 1
            await asyncio.sleep(0.06)  # a person, and a limit of 60 refreshes a minute

    async def passer_by(self) -> None:
        """A new connection each time."""
        while not self.over.is_set():
            async with self.house.http() as http:
                try:
                    answer = await http.get("/v1/me")
                    if answer.status_code != 401:
                        self.failed.append(f"new connection: {answer.status_code}")
                except httpx2.HTTPError as error:
                    self.failed.append(f"new connection: {error!r}")
            self.answered += 1
            await asyncio.sleep(0.05)


async def _stream(client: NativeClient, opened: asyncio.Semaphore) -> list[str]:
    """All lines of the event stream, until it ends in good order."""
    bearer = {"Authorization": f"Bearer {client.access_token}"}
    async with client.http.stream("GET", "/v1/events", headers=bearer, timeout=60) as answer:
        assert answer.status_code == 200
        opened.release()
        return [line async for line in answer.aiter_lines()]


@pytest.mark.timeout(240)
async def test_rolling_restart_drops_nothing(deployment: Deployed) -> None:
    """While each of the three servers is replaced under load, no request fails, no connection is refused and nobody is
    signed out; open streams end with a hint when to come back."""
    load = Load(deployment)
    async with AsyncExitStack() as stack:
        clients = []
        for number in range(EVERYBODY):
            http = await stack.enter_async_context(deployment.http(f"127.77.0.{number + 1}"))
            clients.append(await people.phone(http, f"rolling-{number}@example.test"))
        opened = asyncio.Semaphore(0)
        streams = [asyncio.create_task(_stream(client, opened)) for client in clients]
        for _ in clients:
            await asyncio.wait_for(opened.acquire(), 30)
        work = [asyncio.create_task(load.person(client)) for client in clients]
        work.append(asyncio.create_task(load.passer_by()))
        for address in ADDRESSES:
            before = load.answered
            code = await asyncio.to_thread(deployment.stop, address)
            assert code in (0, -15), deployment.log(address)
            deployment.start(address)
            await asyncio.to_thread(deployment.await_ready, address)
            assert load.answered > before + 20, "no load"
        load.over.set()
        await asyncio.gather(*work)
        ended = await asyncio.gather(*streams)
        assert load.failed == []
        assert all(any(line.startswith("retry: ") for line in lines) for lines in ended)
        assert {(await client.refresh()).status_code for client in clients} == {200}
    for address in ADDRESSES:
        assert "shutdown exceeded" not in deployment.log(address)
        assert '"level": "error"' not in deployment.log(address)


async def test_rolling_lets_running_requests_finish(deployment: Deployed) -> None:
    """A request whose body is still on its way when the server is asked to stop is answered; nobody new is let in."""
    address = ADDRESSES[0]
    body = json.dumps({"email": "in-flight@example.test", "password": PASSWORD}).encode()
    reader, writer = await asyncio.open_connection(address, deployment.port)
    writer.write(b"POST /v1/accounts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
    writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body[:10])
    await writer.drain()
    await asyncio.sleep(0.2)  # the head has arrived; nothing tells us
    stopping = asyncio.create_task(asyncio.to_thread(deployment.stop, address))
    try:
        deadline = time.monotonic() + 30
        while await _lets_in(deployment, address):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        writer.write(body[10:])
        answer = await asyncio.wait_for(reader.read(), 30)
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert b"\r\nconnection: close\r\n" in answer.lower()
    finally:
        writer.close()
        await stopping
        deployment.start(address)
        await asyncio.to_thread(deployment.await_ready, address)


async def _lets_in(deployment: Deployed, address: str) -> bool:
    with suppress(OSError), socket.create_connection((address, deployment.port), timeout=5):
        return True
    return False


async def test_rolling_answers_what_is_on_its_way(deployment: Deployed) -> None:
    """A request that comes on a kept connection just after the server was asked to stop is answered, as the last one:
    the proxy could not ask again."""
    address = ADDRESSES[1]
    reader, writer = await asyncio.open_connection(address, deployment.port)
    ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    writer.write(ask)
    assert b" 200 OK" in await asyncio.wait_for(reader.readuntil(b'"ok"}'), 30)
    stopping = asyncio.create_task(asyncio.to_thread(deployment.stop, address))
    try:
        deadline = time.monotonic() + 30
        while await _lets_in(deployment, address):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        writer.write(ask)
        answer = await asyncio.wait_for(reader.read(), 30)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in answer.lower()
    finally:
        writer.close()
        await stopping
        deployment.start(address)
        await asyncio.to_thread(deployment.await_ready, address)
