"""/oauth/: forms in, RFC 6749 errors out, and a stock client keeps itself signed in."""

import asyncio

import httpx2
import pytest
from authlib.integrations.httpx_client import AsyncOAuth2Client

from tests.house import URL, House

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "body, error, code",
    [
        ("", "invalid_request", "malformed_request"),
        ("refresh_token=x", "invalid_request", "malformed_request"),
        ("grant_type=refresh_token", "invalid_request", "malformed_request"),
        ("grant_type=refresh_token&refresh_token=", "invalid_grant", "token_invalid"),
        ("grant_type=refresh_token&refresh_token=nonsense", "invalid_grant", "token_invalid"),
        ("grant_type=refresh_token&refresh_token=a&refresh_token=b", "invalid_request", "malformed_request"),
        ("grant_type=refresh_token&grant_type=refresh_token&refresh_token=a", "invalid_request", "malformed_request"),
        ("grant_type=password&username=a&password=b", "unsupported_grant_type", "invalid_request"),
        ("grant_type=client_credentials", "unsupported_grant_type", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=%ff%fe", "invalid_request", "malformed_request"),
        ("grant_type=refresh_token&refresh_token=a%00b", "invalid_grant", "token_invalid"),
        ("&".join(f"a{n}=1" for n in range(1_000)), "invalid_request", "malformed_request"),
        ('{"grant_type":"refresh_token"}', "invalid_request", "malformed_request"),
    ],
)
async def test_oauth_token_error_has_its_rfc_name(house: House, body: str, error: str, code: str) -> None:
    """Each mistake at the token endpoint is a 400 with RFC 6749's name for it and our code."""
    answer = await house.http().post("/oauth/token", content=body.encode(), headers=FORM)
    assert (answer.status_code, answer.json()["error"], answer.json()["code"]) == (400, error, code)
    assert answer.json().keys() == {"error", "error_description", "code"}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
async def test_oauth_token_takes_forms_only(house: House, kind: str) -> None:
    """Another content type is 415, in OAuth's shape, and rotates nothing."""
    await house.register()
    phone = await house.native()
    body = f"grant_type=refresh_token&refresh_token={phone.refresh_token}"
    answer = await house.http().post("/oauth/token", content=body.encode(), headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert [row["generation"] for row in await house.rows("SELECT generation FROM session")] == [0]


async def test_oauth_token_reads_no_query(house: House) -> None:
    """A token in the address is not looked at: it would stand in every log."""
    await house.register()
    phone = await house.native()
    params = {"grant_type": "refresh_token", "refresh_token": phone.refresh_token}
    answer = await house.http().post("/oauth/token", params=params, data={"grant_type": "refresh_token"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_oauth_token_is_post_only(house: House) -> None:
    """Another method is 405 and names the one there is."""
    answer = await house.http().get("/oauth/token")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


async def test_oauth_token_answer_is_rfc_6749(house: House) -> None:
    """A refresh answers with exactly RFC 6749's members, not to be stored."""
    await house.register()
    answer = await (await house.native()).refresh()
    assert answer.json().keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 600)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("which", ["refresh token", "old refresh token", "access token"])
async def test_oauth_revoke_ends_the_session(house: House, which: str) -> None:
    """A revoked token of any kind or age ends its session, and only that one."""
    await house.register()
    phone, laptop = await house.native(), await house.native()
    old = phone.refresh_token
    await phone.refresh()
    token = {"refresh token": phone.refresh_token, "old refresh token": old, "access token": phone.access_token}[which]
    answer = await phone.http.post("/oauth/revoke", data={"token": token, "token_type_hint": "whatever"})
    assert answer.status_code == 200
    assert (await phone.get("/v1/me")).json()["code"] == "session_revoked"
    assert (await phone.refresh()).json()["code"] == "session_revoked"
    assert (await laptop.get("/v1/me")).status_code == 200
    (event,) = await house.audit("session.ended")
    assert '"signed_out"' in event["data"]


async def test_oauth_revoke_is_200_whatever_the_token(house: House) -> None:
    """An unknown, foreign, expired or already revoked token is 200 too, and touches no session."""
    await house.register()
    phone, browser = await house.native(), await house.spa()
    for token in ("", "nonsense", "cct_r_" + "A" * 76, "a.b.c", browser.cookie, "é", "A" * 10_000):
        answer = await house.http().post("/oauth/revoke", data={"token": token})
        assert answer.status_code == 200, token
    assert await house.audit("session.ended") == []
    for _ in range(2):
        assert (await house.http().post("/oauth/revoke", data={"token": phone.refresh_token})).status_code == 200
    assert len(await house.audit("session.ended")) == 1
    assert (await house.http().post("/oauth/revoke", data={"a": "b"})).json()["error"] == "invalid_request"


async def test_oauth_metadata_names_what_is_there(house: House) -> None:
    """The metadata's addresses are ours and answer, whatever Host the request names."""
    answer = await house.http(headers={"Host": "attacker.test"}).get("/.well-known/oauth-authorization-server")
    told = answer.json()
    assert told["issuer"] == URL
    assert told["grant_types_supported"] == ["refresh_token"]
    for name in ("token_endpoint", "revocation_endpoint"):
        assert (await house.http().post(told[name], data={"a": "b"})).status_code == 400
    (key,) = (await house.http().get(told["jwks_uri"])).json()["keys"]
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}


async def test_oauth_stock_client_keeps_itself_signed_in(house: House) -> None:
    """authlib, told no more than the token endpoint and a client id, lives through three access-token lives."""
    await house.register()
    phone = await house.native()
    kept: list[str] = []

    async def keep(token: dict[str, str], refresh_token: str | None = None, access_token: str | None = None) -> None:
        kept.append(token["refresh_token"])

    client = AsyncOAuth2Client(
        client_id="native",
        token={"access_token": phone.access_token, "refresh_token": phone.refresh_token, "token_type": "Bearer"},
        token_endpoint=f"{URL}/oauth/token",
        token_endpoint_auth_method="none",
        update_token=keep,
        transport=httpx2.ASGITransport(house.app),
        base_url=URL,
    )
    async with client:
        for life in range(3):
            client.token["expires_at"] = 1  # its own clock says that the life is over; the server's moves too
            house.clock.move(601)
            answers = await asyncio.gather(*(client.get("/v1/me") for _ in range(3)))
            assert [answer.status_code for answer in answers] == [200] * 3
            assert len(kept) == life + 1
    assert await house.audit("refresh.refused") == []
    assert [row["generation"] for row in await house.rows("SELECT generation FROM session")] == [3]
