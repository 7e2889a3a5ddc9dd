"""CORS: the origins in ALLOWED_ORIGINS may read answers with credentials, and nobody else."""

from tests.conftest import OpenHouse
from tests.house import PASSWORD, URL, House

APP = "https://app.test"
BODY = {"email": "ada@example.test", "password": PASSWORD}
LOOK_ALIKES = [
    *(
        "null",
        "",
        "*",
        "http://app.test",
        "https://app.test:444",
        "https://app.test.evil.test",
        "https://evil-app.test",
    ),
    *("https://evilapp.test", "https://sub.app.test", "https://app.test/", "https://app.test@evil.test", "app.test"),
    *("https://APP.TEST", "https://app.tes", "https://app.test\t", "https://app.test,https://evil.test", "//app.test"),
    *("https://app_test", "https://app%2etest", "https://app.test%60.evil.test", "https://localhost", "file://", URL),
]
PATHS = ["/v1/me", "/v1/web/session", "/.well-known/jwks.json", "/healthz", "/v1/unknown", "/"]
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-coatcheck-client"}
READABLE = "access-control-allow-origin"


async def test_cors_lets_an_allowed_origin_read(open_house: OpenHouse) -> None:
    """An allowed origin is named exactly, with credentials, on good answers and refusals alike."""
    async with open_house(allowed_origins=f"https://other.test, {APP}") as house:
        for origin in (APP, "https://other.test"):
            for path in PATHS:
                answer = await house.http().get(path, headers={"Origin": origin})
                assert answer.headers[READABLE] == origin
                assert answer.headers["access-control-allow-credentials"] == "true"
                assert "origin" in answer.headers["vary"].lower()


async def test_cors_lets_an_allowed_origin_sign_in(open_house: OpenHouse) -> None:
    """The app on an allowed origin asks first, then signs in, refreshes and sees why when it is refused."""
    async with open_house(allowed_origins=APP) as house:
        await house.register()
        browser = house.http(headers={"Origin": APP, "X-Coatcheck-Client": "spa"})
        asked = await browser.options("/v1/spa/login", headers=ASKED)
        assert asked.status_code == 200
        assert asked.headers[READABLE] == APP
        assert "POST" in asked.headers["access-control-allow-methods"]
        allowed = asked.headers["access-control-allow-headers"].lower()
        assert {"authorization", "content-type", "x-coatcheck-client", "x-csrf-token"} <= set(allowed.split(", "))
        answer = await browser.post("/v1/spa/login", json=BODY)
        assert (answer.status_code, answer.headers[READABLE]) == (200, APP)
        assert (await browser.post("/v1/spa/refresh")).status_code == 200
        refused = await browser.post("/v1/spa/login", json=BODY | {"password": "wrong"})
        assert (refused.status_code, refused.headers[READABLE]) == (401, APP)
        assert "retry-after" in refused.headers["access-control-expose-headers"].lower()


async def test_cors_lets_nobody_else_read(open_house: OpenHouse) -> None:
    """Look-alikes of an allowed origin, `null`, its http twin and other ports are named in no answer and no preflight,
    and `*` never appears."""
    async with open_house(allowed_origins=APP) as house:
        await house.register()
        web = await house.web()
        for origin in LOOK_ALIKES:
            answers = [await client.get(path, headers={"Origin": origin}) for client in (web.http,) for path in PATHS]
            answers += [await web.http.options(path, headers=ASKED | {"Origin": origin}) for path in PATHS]
            for answer in answers:
                assert READABLE not in answer.headers, (origin, answer.request.url)
                assert "origin" in answer.headers["vary"].lower()


async def test_cors_preflight_changes_nothing(open_house: OpenHouse) -> None:
    """A preflight, allowed or not, reaches no route, and its answer has the headers of every answer."""
    async with open_house(allowed_origins=APP) as house:
        await house.register()
        for origin in (APP, "https://evil.test"):
            answer = await house.http().options("/v1/spa/login", headers=ASKED | {"Origin": origin})
            assert answer.status_code < 500
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "set-cookie" not in answer.headers
        assert await house.rows("SELECT id FROM session") == []


async def test_cors_is_off_by_default(house: House) -> None:
    """Without ALLOWED_ORIGINS no answer names any origin."""
    for origin in (APP, URL, "null", "*"):
        for path in PATHS:
            answer = await house.http().get(path, headers={"Origin": origin})
            assert not [name for name in answer.headers if name.startswith("access-control")]
