"""Administrators against four real workers: who is thrown out is out everywhere at once, of every door."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import Stores
from tests.house import PASSWORD, NativeClient, SpaClient, WebClient
from tests.live import Live, serving
from tests.waiting import until

URL = "https://coatcheck.test"  # PUBLIC_URL, the Origin that house.py's clients send
WORKERS = 4
ADA, ROOT = "ada@example.test", "root@example.test"
Client = NativeClient | SpaClient | WebClient


@pytest.fixture
def live(servers: Stores, tmp_path: Path) -> Iterator[Live]:
    """`coatcheck serve --workers 4`."""
    with serving(tmp_path / "log", workers=WORKERS, public_url=URL, limit_login="off", **servers) as running:
        yield running


@asynccontextmanager
async def calling(live: Live) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that opens a connection a request, so that all workers answer."""
    limits = httpx2.Limits(max_keepalive_connections=0)
    async with httpx2.AsyncClient(base_url=live.url, limits=limits, timeout=20) as http:
        yield http


async def everywhere(live: Live, client: Client, path: str) -> set[int]:
    """What twelve fresh connections are answered: of four workers, most likely each of them."""
    headers, cookie = {}, None
    if isinstance(client, WebClient):
        cookie = client.cookie or client.grant["cookie"]
        headers["Cookie"] = f"__Host-coatcheck-session={cookie}"
    else:
        headers["Authorization"] = f"Bearer {client.access_token}"
    async with calling(live) as http:
        answers = await asyncio.gather(*(http.get(path, headers=headers) for _ in range(12)))
    return {answer.status_code for answer in answers}


async def person(live: Live, servers: Stores, email: str, role: str = "") -> list[Client]:
    """An account signed in through all three doors."""
    async with calling(live) as http:
        answer = await http.post("/v1/accounts", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
    if role:
        await give(servers, email, role)
    clients: list[Client] = []
    for kind in (NativeClient, SpaClient, WebClient):
        http = httpx2.AsyncClient(base_url=live.url, timeout=20)
        client = await kind(http).login(email)
        if isinstance(client, WebClient):
            client.grant["cookie"] = next(value for name, value in http.cookies.items() if name.endswith("session"))
        clients.append(client)
    return clients


async def give(servers: Stores, email: str, role: str) -> None:
    """As the server's command line does."""
    import asyncpg

    connection = await asyncpg.connect(servers["database_url"])
    await connection.execute("UPDATE account SET roles = $1 WHERE email = $2", role, email)
    await connection.close()


async def close(*clients: Client) -> None:
    for client in clients:
        await client.http.aclose()


@pytest.mark.timeout(300)  # four workers start, on a machine that may be busy
async def test_admin_kill_bites_on_four_workers_at_once(live: Live, servers: Stores) -> None:
    """Accounts with a native, a spa and a web session, in the caches of the workers, are refused by all of them:
    one whose sessions an administrator ends, one that he disables, and in the end everybody but him."""
    desk = await person(live, servers, ROOT, "admin")
    root = desk[0]
    people = {act: await person(live, servers, f"{act}@example.test") for act in ("sessions", "disable", "everybody")}
    for act, hers in people.items():
        for client in hers:
            assert await everywhere(live, client, "/v1/me") == {200}
        account = f"/v1/admin/accounts/{hers[0].grant['account']['id']}"
        calls = {"sessions": ("DELETE", f"{account}/sessions"), "disable": ("POST", f"{account}/disable")}
        done = await root.call(*calls.get(act, ("POST", "/v1/admin/sign-out-everybody")))
        assert done.json()["ended"] == (5 if act == "everybody" else 3), done.text
        await until(partial(_refused, live, hers))
        native, spa = hers[0], hers[1]
        assert isinstance(native, NativeClient)
        assert isinstance(spa, SpaClient)
        assert (await native.refresh()).json()["code"] == "session_revoked"
        jar = {"Cookie": f"__Host-coatcheck-refresh={spa.cookie}"}  # a client sends a Secure cookie over https only
        assert (await spa.post("/v1/spa/refresh", headers=jar)).json()["code"] == "session_revoked"
    assert await everywhere(live, root, "/v1/me") == {200}
    await close(*desk, *(client for hers in people.values() for client in hers))


async def _refused(live: Live, clients: list[Client]) -> bool:
    """Whether all of them are, wherever they ask."""
    return all([await everywhere(live, client, "/v1/me") == {401} for client in clients])


@pytest.mark.timeout(300)  # four workers start, on a machine that may be busy
async def test_demoted_administrator_is_refused_on_four_workers_at_the_next_call(live: Live, servers: Stores) -> None:
    """Token and cookie of one who was an administrator a moment ago, in the caches, open nothing of the desk."""
    desk = await person(live, servers, ROOT, "admin")
    root, hers = desk[0], await person(live, servers, ADA, "admin")
    for client in hers:
        assert await everywhere(live, client, "/v1/admin/audit") == {200}
    account = hers[0].grant["account"]["id"]
    done: Any = await root.call("PUT", f"/v1/admin/accounts/{account}/role", json={"role": "user"})
    assert done.json() == {"ended": 3}
    for client in hers:  # the very next calls: a role is read from the row
        assert await everywhere(live, client, "/v1/admin/audit") <= {401, 403}

    await until(partial(_refused, live, hers))
    assert await everywhere(live, root, "/v1/admin/audit") == {200}
    await close(*desk, *hers)
