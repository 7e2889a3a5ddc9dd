"""Beside peers: the same acts with fastapi-users, djangorestframework-simplejwt and django-allauth headless.

Each is set up as its documentation says, in an environment of its own (peers/), on the same PostgreSQL and Redis, one
worker on the same core, with the same Argon2id parameters, and asked in turn with Coatcheck (compare.py).
"""

import json
import os
import subprocess
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from coatcheck import migrate, settings
from tests.house import PASSWORD, SECRET
from tests.live import free_port
from tests.load import guests, servers
from tests.load.asking import EMAIL, Asker, Headers
from tests.load.compare import Row, Side
from tests.load.effort import Effort, say
from tests.load.figures import Figure
from tests.load.guests import Guests
from tests.load.peers import environment
from tests.load.ratio_rows import CONNECTIONS, SESSIONS, measure
from tests.load.servers import Running
from tests.load.table import table
from tests.load.traffic import Answer, Refreshing, Repeating, form_request, get_request, json_request
from tests.servers import Command, postgres, redis

_CURRENT = "/v1/sessions/current"
_OURS = {"email": EMAIL, "password": PASSWORD}
_THEIRS = "ada@example.com"  # fastapi-users takes no address under .test
_JSON = {"email": _THEIRS, "password": PASSWORD}
_FORM = {"username": _THEIRS, "password": PASSWORD}
_ALLAUTH = "/_allauth/app/v1/auth"


@dataclass(frozen=True, slots=True)
class Peers:
    """The servers, ours first."""

    ours: Running
    people: Guests
    fastapi_users: Running
    django: Running
    rotating: Running  # Django once more: simplejwt rotates refresh tokens and blacklists the old ones


async def stage(effort: Effort, folder: Path) -> list[Figure]:
    """What each act costs, in a table of its own; then what a logout does to a token already given out."""
    say("installing the peers, the first time")
    python = environment.python()
    with servers.apart() as pinning:
        say(pinning)
        async with opened(folder, python) as peers:
            shorter = replace(effort, pairs=max(2, effort.pairs // 2))
            results = [(row, await measure(row, shorter)) for row in await rows(peers)]
            after = await after_logout(peers)
    say(f"\n{table(results, 'Coatcheck / peer')}\n")
    return [
        *(Figure(f"Coatcheck / peer, {row.name}", found.rate_ratio.median) for row, found in results),
        *after,
    ]


@asynccontextmanager
async def opened(folder: Path, python: Path) -> AsyncIterator[Peers]:
    """All servers, with one person everywhere."""
    with ExitStack() as stack:
        database, cache = stack.enter_context(postgres(settings=["max_connections=200"])), stack.enter_context(redis())
        connection = await asyncpg.connect(database.url)
        urls = {}
        for name in ("coatcheck", "users", "django", "rotating"):
            await connection.execute(f"CREATE DATABASE {name}")
            urls[name] = f"{database.url.rpartition('/')[0]}/{name}"
        await connection.close()
        await migrate.upgrade(settings.load({}, database_url=urls["coatcheck"], secret_key=[SECRET]))
        given = {"database_url": urls["coatcheck"], "redis_url": cache.url, "limit_login": "off"}
        cost = settings.Settings()
        given |= {"argon2_memory_kib": str(cost.argon2_memory_kib), "argon2_time": str(cost.argon2_time)}
        ours = stack.enter_context(servers.coatcheck(folder / "coatcheck.log", **given))
        yield Peers(
            ours,
            await guests.sign_in(ours.url, SESSIONS),
            await _registered(stack.enter_context(_fastapi_users(folder, python, urls["users"], cache.url))),
            stack.enter_context(_django(folder, python, urls["django"])),
            stack.enter_context(_django(folder, python, urls["rotating"], ROTATE="1")),
        )


@contextmanager
def _fastapi_users(folder: Path, python: Path, database: str, cache: str) -> Iterator[Running]:
    port = free_port()
    command: Command = [python, "-m", "uvicorn", "fastapi_users_app:app", "--port", str(port), "--loop", "uvloop"]
    command += ["--http", "httptools", "--no-access-log", "--log-level", "warning"]
    given = {"DATABASE": database.replace("postgresql:", "postgresql+asyncpg:"), "REDIS": cache, "SECRET": SECRET}
    with servers.started(command, port, folder / "users.log", environment.HERE, **given) as running:
        yield running


async def _registered(running: Running) -> Running:
    answer = await Asker(running.port).post("/register", _JSON)
    assert answer.status == 201, answer
    return running


@contextmanager
def _django(folder: Path, python: Path, database: str, **chosen: str) -> Iterator[Running]:
    given = {"DATABASE": database, "SECRET": SECRET} | chosen
    preparing: Command = [python, "django_app.py", _THEIRS, PASSWORD]
    subprocess.run(preparing, cwd=environment.HERE, env=dict(os.environ) | given, check=True, capture_output=True)
    port = free_port()
    command: Command = [
        python,
        "-m",
        "gunicorn",
        "django_app:application",
        "--bind",
        f"127.0.0.1:{port}",
        "--workers",
        "1",
    ]
    command += ["--worker-class", "gthread", "--threads", str(CONNECTIONS), "--keep-alive", "60"]
    with servers.started(command, port, folder / "django.log", environment.HERE, **given) as running:
        yield running


# -- what is compared ----------------------------------------------------------------------------------------------


async def rows(peers: Peers) -> list[Row]:
    """Ours beside theirs."""
    bearer = f"Authorization: Bearer {peers.people.access_token}"
    using = _repeating(peers.ours, get_request(_CURRENT, bearer))
    refreshing = Side(
        peers.ours, [Refreshing(peers.people.refresh_tokens[first::CONNECTIONS]) for first in range(CONNECTIONS)]
    )
    signing_in = _repeating(peers.ours, json_request("/v1/native/login", _OURS))
    jwt, stored = await _users_token(peers, "jwt"), await _users_token(peers, "redis")
    simple, session = await _simplejwt(peers.django), await _allauth_token(peers)

    def getting(peer: str, server: Running, path: str, header: str) -> Row:
        return Row(f"GET: {peer}", None, using, _repeating(server, get_request(path, header)))

    users, django, access = peers.fastapi_users, peers.django, f"Authorization: Bearer {simple['access']}"
    return [
        getting("fastapi-users, JWT", users, "/jwt/current", f"Authorization: Bearer {jwt}"),
        getting("fastapi-users, Redis", users, "/redis/current", f"Authorization: Bearer {stored}"),
        getting("simplejwt", django, "/jwt/current", access),
        getting("simplejwt, stateless user", django, "/stateless/current", access),
        getting("allauth headless", django, "/allauth/current", f"X-Session-Token: {session}"),
        Row(
            "refresh: simplejwt, the same token for ever",
            None,
            refreshing,
            _repeating(peers.django, json_request("/token/refresh", {"refresh": simple["refresh"]})),
        ),
        Row("refresh: simplejwt, rotation and blacklist", None, refreshing, await _rotating(peers.rotating)),
        Row(
            "login: fastapi-users, JWT",
            None,
            signing_in,
            _repeating(peers.fastapi_users, form_request("/jwt/login", _FORM)),
        ),
        Row("login: simplejwt", None, signing_in, _repeating(peers.django, json_request("/token", _FORM))),
    ]


def _repeating(server: Running, request: bytes) -> Side:
    return Side(server, [Repeating(request) for _ in range(CONNECTIONS)])


class Rotating:
    """Refreshes one of simplejwt's tokens, each time the last one given."""

    def __init__(self, token: str) -> None:
        self._token = token

    def request(self) -> bytes:
        return json_request("/token/refresh", {"refresh": self._token})

    def answered(self, body: bytes) -> None:
        successor = json.loads(body)["refresh"]
        assert _jti(successor) != _jti(self._token), "not a rotation"
        self._token = successor


def _jti(token: str) -> str:
    payload = token.split(".")[1]
    return str(json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"])


async def _rotating(server: Running) -> Side:
    return Side(server, [Rotating((await _simplejwt(server))["refresh"]) for _ in range(CONNECTIONS)])


async def _users_token(peers: Peers, strategy: str) -> str:
    answer = await Asker(peers.fastapi_users.port).form(f"/{strategy}/login", _FORM)
    return str(_body(answer)["access_token"])


async def _simplejwt(server: Running) -> dict[str, str]:
    return dict(_body(await Asker(server.port).post("/token", _FORM)))


async def _allauth_token(peers: Peers) -> str:
    answer = await Asker(peers.django.port).post(f"{_ALLAUTH}/login", _JSON)
    return str(json.loads(answer.body)["meta"]["session_token"])


def _body(answer: Answer) -> Mapping[str, str]:
    assert answer.status == 200, answer
    found: Mapping[str, str] = json.loads(answer.body)
    return found


# -- what a logout does --------------------------------------------------------------------------------------------


async def after_logout(peers: Peers) -> list[Figure]:
    """Whether the credential of an authenticated request still works after its logout: 1 or 0."""
    ours, users, django = (Asker(one.port) for one in (peers.ours, peers.fastapi_users, peers.django))
    own = _bearer(str(_body(await ours.post("/v1/native/login", _OURS))["access_token"]))
    jwt, stored = _bearer(await _users_token(peers, "jwt")), _bearer(await _users_token(peers, "redis"))
    simple = await _simplejwt(peers.django)
    access, session = _bearer(simple["access"]), {"X-Session-Token": await _allauth_token(peers)}
    blacklisting = json.dumps({"refresh": simple["refresh"]}).encode()
    acts: list[tuple[str, Asker, str, Headers, tuple[str, str, bytes], str]] = [
        ("Coatcheck", ours, _CURRENT, own, ("DELETE", _CURRENT, b""), "any device can end any other"),
        ("fastapi-users, JWT", users, "/jwt/current", jwt, ("POST", "/jwt/logout", b""), "until it expires"),
        (
            "fastapi-users, Redis",
            users,
            "/redis/current",
            stored,
            ("POST", "/redis/logout", b""),
            "asks Redis each time",
        ),
        ("simplejwt", django, "/jwt/current", access, ("POST", "/token/blacklist", blacklisting), "until it expires"),
        (
            "allauth headless",
            django,
            "/allauth/current",
            session,
            ("DELETE", f"{_ALLAUTH}/session", b""),
            "reads the session each time",
        ),
    ]
    found = []
    for name, at, path, credential, (method, logout, body), note in acts:
        assert (await at.ask("GET", path, credential)).status == 200
        answer = await at.ask(method, logout, credential, body)
        assert answer.status in (200, 204, 401), answer  # allauth says 401: from now on you are signed out
        accepted = (await at.ask("GET", path, credential)).status == 200
        found.append(Figure(f"still accepted after its logout: {name}", float(accepted), "", note=note))
    return found


def _bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}
