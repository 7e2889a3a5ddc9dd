"""schemathesis against the OpenAPI document: whatever is sent, no 5xx, no undocumented status, answers as described."""

import secrets
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import httpx2
import pyotp
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as limits
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from coatcheck import settings
from coatcheck.app import create_app
from tests.house import PASSWORD, SECRET
from tests.live import Live, serving

SCHEMA = schemathesis.openapi.from_dict(create_app(settings.load({}, secret_key=[SECRET])).openapi())
# Streams have no end; tests/api/test_two_workers.py and test_revocations.py read them.
OPERATIONS = {
    found.ok().label: found.ok()
    for found in SCHEMA.get_all_operations()
    if isinstance(found, Ok) and found.ok().path not in ("/v1/events", "/v1/revocations/stream")
}
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_Case = Case[Any]
FEW = limits(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,  # the same requests at every run
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A real server on SQLite, with no limits, so that requests get past them."""
    folder = tmp_path_factory.mktemp("fuzz")
    off: dict[str, Any] = {
        "limit_login": "off",
        "limit_register": "off",
        "limit_refresh": "off",
        "limit_challenge": "off",
    }
    with serving(folder / "log", data_dir=folder, **off) as running:
        yield running


@pytest.fixture
def caller(live: Live) -> dict[str, Any]:
    """A new account that has just signed in: what the native door answered."""
    who = {"email": f"{secrets.token_hex(8)}@example.test", "password": PASSWORD}
    assert httpx2.post(f"{live.url}/v1/accounts", json=who).status_code == 201
    return httpx2.post(f"{live.url}/v1/native/login", json=who).json()  # type: ignore[no-any-return]


def _fuzz(label: str, mode: GenerationMode, ask: Callable[[_Case], schemathesis.Response]) -> None:
    """Send what schemathesis thinks of, and let its checks judge the answers."""

    @FEW
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def run(case: _Case) -> None:
        case.validate_response(ask(case), checks=CHECKS)

    run()


def _modes() -> list[Any]:
    found = []
    for label, operation in OPERATIONS.items():
        found.append(pytest.param(label, GenerationMode.POSITIVE, id=f"{label} as described"))
        if operation.body or operation.query:  # any text is a good path parameter
            found.append(pytest.param(label, GenerationMode.NEGATIVE, id=f"{label} otherwise"))
    return found


@pytest.mark.parametrize("label, mode", _modes())
def test_fuzz_anonymous_calls_are_answered_as_documented(live: Live, label: str, mode: GenerationMode) -> None:
    """Without a credential every operation answers with a status and body that the document describes."""
    own_page = {"Origin": live.origin, "X-Coatcheck-Client": "spa" if "/spa/" in label else "web"}
    with requests.Session() as session:
        _fuzz(label, mode, lambda case: case.call(base_url=live.url, session=session, headers=own_page))


@pytest.mark.parametrize("label, mode", _modes())
def test_fuzz_authenticated_calls_are_answered_as_documented(
    live: Live, caller: dict[str, Any], label: str, mode: GenerationMode
) -> None:
    """With a good access token, and own ids in every second path, operations answer as the document describes."""
    headers = {"Authorization": f"Bearer {caller['access_token']}"}
    listed = httpx2.get(f"{live.url}/v1/devices", headers=headers).json()
    own = {"device_id": listed["devices"][0]["id"], "session_id": caller["session"]["id"]}
    own["account_id"] = caller["account"]["id"]
    if "{factor_id}" in label:
        begun = httpx2.post(f"{live.url}/v1/me/factors/totp", headers=headers).json()
        proof = {"challenge_token": begun["challenge_token"], "code": pyotp.TOTP(begun["secret"]).now()}
        added = httpx2.post(f"{live.url}/v1/me/factors/totp/confirm", json=proof, headers=headers).json()
        own["factor_id"] = added["factor"]["id"]

    own_turn = cycle([False, True])

    def ask(case: _Case) -> schemathesis.Response:
        if mode is GenerationMode.POSITIVE and next(own_turn):
            case.path_parameters = {name: own[name] for name in case.path_parameters or {}}
        return case.call(base_url=live.url, session=session, headers=headers)

    with requests.Session() as session:
        _fuzz(label, mode, ask)
