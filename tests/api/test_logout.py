"""Logout at every door: which credential signs its session out."""

import pytest

from coatcheck import refresh_tokens
from coatcheck.refresh_tokens import Door
from coatcheck.routes import csrf
from tests.house import URL, House, SpaClient, WebClient

SESSION, REFRESH = "__Host-coatcheck-session", "__Host-coatcheck-refresh"


@pytest.mark.parametrize("generation", [0, 1, 2])
@pytest.mark.parametrize("door", ["native", "spa", "web", "page"])
async def test_logout_with_a_foreign_nonce_ends_nothing(house: House, door: str, generation: int) -> None:
    """Who has the server's secret, a session's id and its CSRF token but not its nonce signs nobody out, with a
    credential older than the session's, of its generation, or newer."""
    await house.register()
    phone, app, web = await house.native(), await house.spa(), await house.web()
    await phone.refresh()
    await app.refresh()
    assert (await web.prove()).status_code == 200  # generation 1, as the others
    kind = Door.WEB if door == "page" else Door(door)
    genuine = {"native": phone.refresh_token, "spa": app.cookie, "web": web.cookie}[kind.value] or ""
    token = refresh_tokens.read(house.desk.roots, genuine, kind)
    assert token.generation == 1
    forged = refresh_tokens.RefreshToken(kind, token.kid, token.session_id, generation, b"n" * 16)
    text = refresh_tokens.write(house.desk.roots, forged)
    csrf_token = csrf.token(house.desk, token.session_id, generation)
    if door == "native":
        answer = await house.http().post("/oauth/revoke", data={"token": text})
    elif door == "spa":
        headers = SpaClient.OWN_PAGE | {"Cookie": f"{REFRESH}={text}"}
        answer = await house.http().post("/v1/spa/logout", headers=headers)
    elif door == "web":
        headers = WebClient.OWN_PAGE | {"X-CSRF-Token": csrf_token, "Cookie": f"{SESSION}={text}"}
        answer = await house.http().post("/v1/web/logout", headers=headers)
    else:
        headers = {"Origin": URL, "Cookie": f"{SESSION}={text}"}
        answer = await house.http().post("/account/sign-out", data={"csrf_token": csrf_token}, headers=headers)
    assert answer.status_code == {"native": 200, "page": 303}.get(door, 204)
    assert await house.rows("SELECT id FROM session WHERE ended_at IS NOT NULL") == []
    assert await house.audit("session.ended") == []
    assert [(await client.get("/v1/me")).status_code for client in (phone, app, web)] == [200] * 3
