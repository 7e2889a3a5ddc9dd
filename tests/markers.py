"""Every secret that goes over the wire in a test, gathered without being named; and where none of them may turn up."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx2
from fastapi.routing import APIRoute

from tests.house import House

SENT = re.compile(r"password|token|secret|code|credential|signature", re.IGNORECASE)
GIVEN = re.compile(r"_token$|^token$|secret|^uri$|recovery_codes$|^codes$|credential$")
NO_SECRET = {"token_type", "token_type_hint", "csrf_field", "public_key", "type"}
SHORTEST = 8  # characters: a code of six digits is found in any dump by chance


@dataclass
class Wire:
    """What went over the wire: secrets, and the routes that were answered well."""

    house: House
    secrets: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)
    mailed: set[str] = field(default_factory=set)
    answered: set[tuple[str, str]] = field(default_factory=set)

    def keep(self, value: object) -> None:
        """Remember a secret, and the part of it that would be worth something without the rest."""
        if not isinstance(value, str):
            return
        if len(value) < SHORTEST:
            self.codes.add(value) if value.isdigit() and len(value) == 6 else None
            return
        self.secrets.add(value)
        for part in (value.removeprefix(value[:6]) if value.startswith("cct_") else "", value.rpartition(".")[2]):
            if len(part) >= 20:
                self.secrets.add(part)

    async def request(self, request: httpx2.Request) -> None:
        """What a client shows."""
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            shown = base64.b64decode(shown).decode().partition(":")[2]
        self.keep(shown)
        for cookie in SimpleCookie(request.headers.get("cookie", "")).values():
            if "notice" not in cookie.key:
                self.keep(cookie.value)
        self.keep(request.headers.get("x-csrf-token", ""))
        for name, value in [*parse_qsl(request.url.query.decode()), *_fields(request.content)]:
            if SENT.search(name) and name not in NO_SECRET:
                self.keep(value)

    async def response(self, response: httpx2.Response) -> None:
        """What the server hands out; no refusal repeats what was shown."""
        await response.aread()
        for header in response.headers.get_list("set-cookie"):
            for cookie in SimpleCookie(header).values():
                if "notice" not in cookie.key:  # names a sentence of ours
                    self.keep(cookie.value)
        for name, value in _fields(response.content):
            if GIVEN.search(name) and name not in NO_SECRET:
                self.keep(value)
        for route in self.house.app.routes:
            if isinstance(route, APIRoute) and route.path_regex.match(response.request.url.path):
                method = response.request.method
                if response.status_code < 400 and method in (route.methods or ()):
                    self.answered.add((method, route.path))
        if "problem+json" in response.headers.get("content-type", ""):
            _repeats_nothing(response)

    def found_in(self, text: str) -> list[str]:
        """Which secrets stand in a text."""
        found = [secret for secret in self.secrets if secret in text]
        return found + [code for code in self.codes if re.search(rf"(?<![\w.:-]){code}(?![\w.:-])", text)]


def _repeats_nothing(response: httpx2.Response) -> None:
    shown = dict(_fields(response.request.content))
    for name in ("password", "current_password", "new_password", "refresh_token", "token", "code"):
        assert str(shown.get(name) or "\0") not in response.text, (name, response.text)


def _fields(content: bytes) -> list[tuple[str, Any]]:
    """Names and values of a body, JSON or form, however deep."""
    try:
        return list(_walk("", json.loads(content)))
    except ValueError:
        try:
            return list(parse_qsl(content.decode()))
        except UnicodeDecodeError:
            return []


def _walk(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk(key, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(name, inner)
    else:
        yield name, value


def secret_routes(house: House) -> set[tuple[str, str]]:
    """Routes whose described body has a field that holds a secret."""
    described = house.app.openapi()

    def names(schema: Any, seen: tuple[str, ...] = ()) -> set[str]:
        if not isinstance(schema, dict):
            return set()
        reference = str(schema.get("$ref", "")).rpartition("/")[2]
        if reference:
            return (
                set() if reference in seen else names(described["components"]["schemas"][reference], (*seen, reference))
            )
        inner = [names(one, seen) for kind in ("anyOf", "oneOf", "allOf") for one in schema.get(kind, [])]
        inner += [{name} | names(one, seen) for name, one in schema.get("properties", {}).items()]
        return set().union(*inner)

    found = set()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            bodies = operation.get("requestBody", {}).get("content", {}).values()
            fields = set().union(*[names(body["schema"]) for body in bodies])
            if any(SENT.search(name) and name not in NO_SECRET for name in fields):
                found.add((method.upper(), path))
    return found


def form_routes(house: House) -> set[tuple[str, str]]:
    """Pages that take a form."""
    return {
        ("POST", route.path)
        for route in house.app.routes
        if isinstance(route, APIRoute) and not route.include_in_schema and "POST" in (route.methods or ())
    }


def outbox(folder: Path) -> str:
    """All mails that were written."""
    return "\n".join(path.read_text() for path in folder.rglob("*.eml"))
