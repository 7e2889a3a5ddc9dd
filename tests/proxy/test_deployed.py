"""What people see of a deployment: through TLS and the proxy, at all doors."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.proxy import people, wire
from tests.proxy.topology import ADDRESSES, PUBLIC_URL, Deployed

HSTS = "max-age=63072000; includeSubDomains"


async def test_deployed_signs_people_up_and_in_at_all_doors(house: Deployed) -> None:
    """A new person signs in at every door, each session works, and the device list shows the client's own address."""
    async with house.http("127.9.8.7") as http, house.http("127.6.5.4") as laptop, house.http("127.3.2.1") as desk:
        ada = await people.phone(http, f"doors-{house.proxy}@example.test")
        spa = await people.browser(laptop, "spa", f"doors-{house.proxy}@example.test")
        await people.browser(desk, "web", f"doors-{house.proxy}@example.test")
        assert (await ada.refresh()).status_code == 200
        bearer = {"Authorization": f"Bearer {spa['access_token']}"}
        assert (await laptop.get("/v1/me", headers=bearer)).json()["email"] == f"doors-{house.proxy}@example.test"
        own_page = {"Origin": PUBLIC_URL, "X-Coatcheck-Client": "spa"}
        assert (await laptop.post("/v1/spa/refresh", headers=own_page)).status_code == 200
        assert (await desk.get("/v1/web/session")).status_code == 200
        assert await people.addresses(ada) == {"127.9.8.7", "127.6.5.4", "127.3.2.1"}


async def test_deployed_serves_the_app_over_http2(house: Deployed) -> None:
    """The page and what it loads come by HTTP/2, with HSTS once and the headers that Coatcheck sets; nobody says which
    programs answer."""
    async with house.http() as http:
        for path, kind in (("/", "text/html"), ("/style.css", "text/css"), ("/healthz", "application/json")):
            answer = await http.get(path)
            assert (answer.status_code, answer.http_version) == (200, "HTTP/2"), path
            assert answer.headers["Content-Type"].startswith(kind)
            assert answer.headers.get_list("Strict-Transport-Security") == [HSTS]
            assert answer.headers.get_list("X-Content-Type-Options") == ["nosniff"]
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert not {"Server", "Via", "Alt-Svc"} & set(map(str.title, answer.headers))
        page = await http.get("/")
        assert "<title>" in page.text


async def test_deployed_sends_plain_http_to_https(house: Deployed) -> None:
    """Over plain HTTP nothing is answered but the way to HTTPS."""
    async with httpx2.AsyncClient(base_url=f"http://localhost:{house.ports[f'{house.proxy}, plain']}") as http:
        answer = await http.post("/v1/native/login", json={})
        assert answer.status_code == 308
        assert answer.headers["Location"] == "https://localhost/v1/native/login"


async def test_deployed_proxy_uses_every_server(house: Deployed) -> None:
    """Requests on one client connection are spread over the three servers, and a session works on each of them."""
    async with house.http() as http:
        ada = await people.phone(http, f"spread-{house.proxy}@example.test")
        for address in ADDRESSES:
            async with house.directly(address) as there:
                told = await there.get("/v1/me", headers={"Authorization": f"Bearer {ada.access_token}"})
                assert told.status_code == 200
        answers = await asyncio.gather(*(ada.get("/v1/me") for _ in range(60)))
        assert {answer.status_code for answer in answers} == {200}
    connected = {peer for process in house.servers().values() for peer in process}
    assert set(ADDRESSES) <= connected


async def test_deployed_events_arrive_at_once(house: Deployed) -> None:
    """An event passes the proxy unbuffered: the first bytes, and a sign-in elsewhere, come while the stream is open."""
    async with house.http() as http, house.http("127.6.5.4") as laptop:
        ada = await people.phone(http, f"events-{house.proxy}@example.test")
        bearer = {"Authorization": f"Bearer {ada.access_token}"}
        async with http.stream("GET", "/v1/events", headers=bearer) as answer:
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            lines = answer.aiter_lines()
            await asyncio.wait_for(anext(lines), 30)
            await people.browser(laptop, "spa", f"events-{house.proxy}@example.test")
            async with asyncio.timeout(30):
                async for line in lines:
                    if line == "event: session.started":
                        break


@pytest.mark.parametrize("http2", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
async def test_deployed_bodies_are_limited_to_64_kib(house: Deployed, http2: bool, chunked: bool) -> None:
    """A body of 64 KiB is read, one byte more is refused in Coatcheck's words, at the proxy and at a server alike."""

    async def ask(through_the_proxy: bool, size: int) -> httpx2.Response:
        body = b'{"email":"' + b"x" * (size - 12) + b'"}'

        async def pieces() -> AsyncIterator[bytes]:
            yield body[:1000]
            yield body[1000:]

        kind = {"Content-Type": "application/json"}
        async with house.http(http2=http2) if through_the_proxy else house.directly() as http:
            return await http.post("/v1/accounts", content=pieces() if chunked else body, headers=kind)

    for through_the_proxy in (True, False):
        assert (await ask(through_the_proxy, 65_536)).status_code == 422
        # Much more, and the connection may have ended before it was all sent: then there is nobody to read the answer.
        for size in (65_537, 70_000):
            answer = await ask(through_the_proxy, size)
            assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_deployed_refused_body_is_no_next_request(house: Deployed) -> None:
    """What is left of a body that was too large is never read as a request on the same connection."""
    with wire.connect(house, through_the_proxy=True) as connection:
        body = b"x" * 70_000 + b"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2_000
        head = b"POST /v1/accounts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        wire.one_by_one(connection, [head, b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)], 0)
        assert [status for status, _ in wire.answers(connection, 2)] in ([], [413])


@pytest.mark.parametrize("http2", [True, False])
async def test_deployed_headers_are_limited_to_32_kib(house: Deployed, http2: bool) -> None:
    """Headers over 32 KiB are refused in Coatcheck's words, through the proxy and directly; absurd ones never get to a
    server, and the next request on a new connection is answered."""
    async with house.http(http2=http2) as proxied, house.directly() as direct:
        for http in (proxied, direct):
            assert (await http.get("/healthz", headers={"X-Long": "x" * 30_000})).status_code == 200
            answer = await http.get("/healthz", headers={"X-Long": "x" * 33_000})
            assert (answer.status_code, answer.json()["code"]) == (431, "headers_too_large")
    async with house.http(http2=http2) as proxied:
        try:
            assert (await proxied.get("/healthz", headers={"X-Long": "x" * 100_000})).status_code == 431
        except httpx2.TransportError:
            assert http2  # there a connection is all that can be ended
    async with house.http(http2=http2) as proxied:
        assert (await proxied.get("/healthz")).status_code == 200
