"""What a client says about its own address, scheme or host is worth nothing, at a server or through the proxy."""

import re

import pytest

from tests.house import PASSWORD, NativeClient
from tests.proxy import people
from tests.proxy.topology import CADDIES, PUBLIC_URL, Deployed

ELSEWHERE = "203.0.113.99"
LIES = [
    {"X-Forwarded-For": ELSEWHERE},
    {"X-Forwarded-For": f"{ELSEWHERE}, 127.0.0.1"},
    {"X-Forwarded-For": f"127.0.0.1, {ELSEWHERE}, 127.0.0.1, 127.0.0.1"},
    {"X-Forwarded-For": "' OR 1=1 --"},
    {"X-Real-IP": ELSEWHERE, "True-Client-IP": ELSEWHERE, "CF-Connecting-IP": ELSEWHERE, "X-Client-IP": ELSEWHERE},
    {"Forwarded": f"for={ELSEWHERE};proto=http;host=evil.example;by={ELSEWHERE}"},
    {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example", "X-Forwarded-Port": "80"},
    {"X-Original-URL": "/v1/admin", "X-Rewrite-URL": "/v1/admin", "X-HTTP-Method-Override": "DELETE"},
    {"X_Forwarded_For": ELSEWHERE, "X-Forwarded-Prefix": "/evil", "X-Forwarded-Server": "evil.example"},
]


@pytest.mark.parametrize("through_the_proxy", [True, False])
async def test_forwarded_lies_leave_the_true_address(house: Deployed, through_the_proxy: bool) -> None:
    """Whatever the headers claim, the device list has the address that the connection came from."""
    opening = house.http if through_the_proxy else house.directly
    email = f"liar-{house.proxy}-{through_the_proxy}@example.test".lower()
    async with opening(ip="127.9.8.7") as http:
        await people.register(http, email)
        for lie in LIES:
            http.headers = http.headers.__class__(lie)
            ada = await NativeClient(http).login(email)
            assert await people.addresses(ada) == {"127.9.8.7"}, lie


@pytest.mark.parametrize("through_the_proxy", [True, False])
async def test_forwarded_lies_open_no_new_limit(house: Deployed, through_the_proxy: bool) -> None:
    """Failed sign-ins are counted for the true address: another claim a try doesn't buy another try."""
    opening = house.http if through_the_proxy else house.directly
    ip = f"127.44.{list(CADDIES).index(house.proxy)}.{int(through_the_proxy)}"
    async with opening(ip=ip) as http:
        statuses = []
        for number in range(14):
            person = {"email": f"nobody-{number}@example.test", "password": PASSWORD}
            lie = {"X-Forwarded-For": f"198.51.100.{number}", "Forwarded": f"for=198.51.100.{number}"}
            statuses.append((await http.post("/v1/native/login", json=person, headers=lie)).status_code)
        assert statuses == [401] * 10 + [429] * 4
    async with opening(ip="127.44.0.9") as other:
        person = {"email": "nobody@example.test", "password": PASSWORD}
        assert (await other.post("/v1/native/login", json=person)).status_code == 401


@pytest.mark.parametrize("through_the_proxy", [True, False])
async def test_forwarded_lies_change_no_link(house: Deployed, through_the_proxy: bool) -> None:
    """Links in mails, the issuer and the addresses of the metadata are PUBLIC_URL's, whatever Host and headers say."""
    opening = house.http if through_the_proxy else house.directly
    lie = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "Forwarded": "host=evil.example;proto=http"}
    if not through_the_proxy:
        lie["Host"] = "evil.example"
    email = f"links-{house.proxy}-{through_the_proxy}@example.test".lower()
    async with opening() as http:
        await people.register(http, email)
        metadata = await http.get("/.well-known/oauth-authorization-server", headers=lie)
        assert metadata.json()["issuer"] == PUBLIC_URL
        assert "evil.example" not in metadata.text
        assert (await http.post("/v1/password-reset", json={"email": email}, headers=lie)).status_code == 202
    mail = await house.mail_to(email)
    assert re.findall(r"https?://[^\s/]+", mail)
    assert set(re.findall(r"https?://[^\s/]+", mail)) == {PUBLIC_URL}


async def test_forwarded_host_of_somebody_else_is_not_served(house: Deployed) -> None:
    """The proxy serves its own name only."""
    async with house.http(http2=False) as http:
        answer = await http.get("/v1/me", headers={"Host": "evil.example"})
        assert answer.status_code != 401  # what a server would have said
        assert not answer.content
