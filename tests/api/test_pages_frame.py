"""What every page keeps: forms that prove where they come from, answers nobody else sees, refusals in words."""

import re
from collections.abc import Iterator

import httpx2
import pytest
from fastapi.routing import APIRoute

from coatcheck import settings
from coatcheck.app import create_app
from coatcheck.routes import csrf, forms, paths
from tests.conftest import OpenHouse
from tests.house import PASSWORD, SECRET, URL, House, MovableClock
from tests.pages import Visitor, token_in

ADA = "ada@example.test"
SESSION, GUEST, NOTICE = "__Host-coatcheck-session", "__Host-coatcheck-guest", "__Host-coatcheck-notice"


def page_forms() -> Iterator[tuple[str, str]]:
    """Addresses of all forms, each id filled in, and whose token they want."""
    for route in create_app(settings.load({}, secret_key=[SECRET])).routes:
        if isinstance(route, APIRoute) and paths.is_page(route.path) and route.methods != {"GET"}:
            wanted = {one.call for one in route.dependant.dependencies} & {
                forms._of_caller,
                forms._of_holder,
                forms._of_guest,
            }
            assert len(wanted) == 1, f"{route.path} takes what no form of ours has sent"
            whose = "guest" if forms._of_guest in wanted else "caller"
            yield re.sub(r"\{(...)[^}]*\}", r"\1_AAAAAAAAAAAAAAAAAAAAAA", route.path), whose


@pytest.mark.parametrize("path, whose", sorted(page_forms()))
async def test_pages_refuse_a_form_that_is_not_theirs(path: str, whose: str, house: House) -> None:
    """Without the token, with another session's, with a guest's cookie alone, without a body, from a sibling origin
    or with no origin at all: 403 in words, no cookie, nothing written."""
    await house.register()
    await house.register("eve@example.test")
    await house.rows("UPDATE account SET roles = 'admin' WHERE email = $1", ADA)  # others have no /admin
    ada, eve = await Visitor(house).sign_in(ADA), await Visitor(house).sign_in("eve@example.test")
    own, hers = token_in((await ada.get("/account")).text), token_in((await eve.get("/account")).text)
    guest = csrf.guest_token(house.desk, ada.http.cookies[GUEST])
    foreign = token_in((await Visitor(house).get("/account/sign-in")).text)
    own, other = (own, guest) if whose == "caller" else (guest, own)
    before = await everything(house)
    tries = [
        ({}, {"Origin": URL}),
        ({"csrf_token": ""}, {"Origin": URL}),
        *(({"csrf_token": wrong}, {"Origin": URL}) for wrong in (hers, other, foreign)),
        ({"csrf_token": own[:-1] + ("A" if own[-1] != "A" else "B")}, {"Origin": URL}),
        ({"csrf_token": own}, {"Origin": "https://evil.coatcheck.test"}),
        ({"csrf_token": own}, {"Origin": "null"}),
        ({"csrf_token": own}, {"Origin": "https://evil.test", "Sec-Fetch-Site": "same-origin"}),
        ({"csrf_token": own}, {"Sec-Fetch-Site": "same-site"}),
        ({"csrf_token": own}, {}),
    ]
    for fields, headers in tries:
        answer = await ada.http.post(path, data=fields, headers=headers)
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False), (fields, headers)
        assert "can&#39;t be used any more" in answer.text
    bare = await ada.http.post(path, headers={"Origin": URL})
    assert bare.status_code == 403
    assert await everything(house) == before


async def test_pages_take_no_form_of_an_allowed_origin(open_house: OpenHouse) -> None:
    """ALLOWED_ORIGINS may call the API; forms come from our own pages alone, signed in or not."""
    allowed = "https://app.coatcheck.test"
    async with open_house(allowed_origins=[allowed]) as house:
        await house.register()
        ada = await Visitor(house).sign_in(ADA)
        own = token_in((await ada.get("/account")).text)
        guest = csrf.guest_token(house.desk, ada.http.cookies[GUEST])
        before = await everything(house)
        for path, token in (("/account/sign-out", own), ("/account/profile", own), ("/account/sign-in", guest)):
            fields = {"csrf_token": token, "name": "Countess"} if "profile" in path else {"csrf_token": token}
            answer = await ada.http.post(path, data=fields, headers={"Origin": allowed})
            assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
        assert await everything(house) == before


async def everything(house: House) -> list[object]:
    tables = ("session", "device", "account", "audit_event")
    return [await house.rows(f"SELECT * FROM {table} ORDER BY id") for table in tables]


async def test_pages_sign_in_only_by_a_form_filled_in_here(house: House) -> None:
    """Login CSRF: another browser's guest token, or one without this browser's cookie, signs nobody in."""
    await house.register()
    mallory, ada = Visitor(house), Visitor(house)
    stolen = token_in((await mallory.get("/account/sign-in")).text)
    await ada.get("/account/sign-in")
    fields = {"email": ADA, "password": PASSWORD, "csrf_token": stolen}
    for visitor in (ada, Visitor(house)):
        answer = await visitor.http.post("/account/sign-in", data=fields, headers={"Origin": URL})
        assert answer.status_code == 403
        assert SESSION not in visitor.http.cookies
    assert await house.rows("SELECT id FROM session") == []


async def test_pages_give_a_new_cookie_at_sign_in(house: House) -> None:
    """Session fixation: a planted cookie is neither kept nor good afterwards, nor is that of an earlier sign-in."""
    await house.register()
    visitor = Visitor(house)
    visitor.http.cookies.set(SESSION, "cct_w_planted", domain="coatcheck.test", path="/")
    await visitor.sign_in(ADA)
    first = visitor.http.cookies[SESSION]
    assert first != "cct_w_planted"
    await visitor.post("/account/sign-out")
    await visitor.sign_in(ADA)
    assert visitor.http.cookies[SESSION] not in ("cct_w_planted", first)
    answer = await Visitor(house).http.get("/account", headers={"Cookie": f"{SESSION}={first}"})
    assert answer.status_code == 303


async def test_pages_are_kept_from_frames_caches_and_other_sites(house: House) -> None:
    """No page can be framed, stored, sniffed or scripted from outside, the problem pages included."""
    await house.register()
    visitor = await Visitor(house).sign_in(ADA)
    for path in ("/account", "/account/sign-up", "/account/nothing", "/admin/nothing"):
        headers = (await visitor.get(path)).headers
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["content-type"] == "text/html; charset=utf-8"


async def test_pages_tell_refusals_in_words(house: House) -> None:
    """A page answers 404, 405 and 415 as a page, while the API keeps its JSON."""
    await house.register()
    visitor = await Visitor(house).sign_in(ADA)
    missing = await visitor.get("/account/nothing")
    assert (missing.status_code, "There&#39;s nothing here" in missing.text) == (404, True)
    assert (await visitor.http.put("/account/sign-in", headers={"Origin": URL})).status_code == 405
    answer = await visitor.http.post("/account/sign-in", json={}, headers={"Origin": URL})
    assert (answer.status_code, answer.headers["content-type"]) == (415, "text/html; charset=utf-8")
    assert (await visitor.get("/v1/nothing")).headers["content-type"] == "application/problem+json"


async def test_pages_show_the_way_in_and_back(house: House) -> None:
    """Not signed in: on to the sign-in page, and from there back to where one wanted to go."""
    await house.register()
    visitor = Visitor(house)
    answer = await visitor.get("/account?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account/sign-in?next=%2Faccount%3Fx%3D1")
    landed = await visitor.sign_in(ADA, via=answer.headers["location"])
    assert landed.last.headers["location"] == "/account?x=1"


@pytest.mark.parametrize(
    "target",
    [
        *("https://evil.test/", "//evil.test", "/\\evil.test", "/account//evil.test", "\\/evil.test", "javascript:1"),
        *(
            "/account/../evil",
            "/account@evil.test",
            "/accountant",
            "/account\r\nX: y",
            "/%2fevil.test",
            "evil.test",
            "",
        ),
        *(
            "/account/sign-in?next=https://evil.test",
            "/account/./x",
            "/v1/me",
            "/account#x",
            "/account?x=\\\\evil.test",
        ),
    ],
)
async def test_pages_send_nobody_to_another_site(target: str, house: House) -> None:
    """Open redirect: `next` is one of our own pages, or it is the home page."""
    await house.register()
    visitor = Visitor(house)
    await visitor.sign_in(ADA, via=httpx2.URL("/account/sign-in", params={"next": target}).raw_path.decode())
    assert visitor.last.headers["location"] == "/account"


async def test_pages_say_why_somebody_was_signed_out(house: House, clock: MovableClock) -> None:
    """The sign-in page tells which device ended this browser's session, or that time did."""
    await house.register()
    visitor, phone = await Visitor(house).sign_in(ADA), await house.native(name="Ada's phone")
    await phone.call("POST", "/v1/devices/logout-others")
    assert (await visitor.get("/account")).status_code == 303
    assert "signed out from Ada&#39;s phone" in (await visitor.get("/account/sign-in")).text
    await visitor.sign_in(ADA)
    clock.move(3_700)
    assert "been away for a while" in (await visitor.get("/account/sign-in")).text


async def test_pages_never_ask_a_visitor_from_elsewhere_to_sign_in_again(house: House) -> None:
    """A link on another site: the browser keeps the Strict cookie back, so the page sends it round once more."""
    await house.register()
    outside = await Visitor(house).http.get("/account?x=1", headers={"Sec-Fetch-Site": "cross-site"})
    assert (outside.status_code, 'content="0;url=/account?x=1"' in outside.text) == (200, True)
    inside = await Visitor(house).http.get("/account", headers={"Sec-Fetch-Site": "same-origin"})
    assert inside.status_code == 303


async def test_pages_say_a_notice_once(house: House) -> None:
    """What was done is told on the next page and not again; a word we don't know tells nothing."""
    visitor = Visitor(house)
    token = token_in((await visitor.get("/account/sign-up")).text)
    fields = {"email": ADA, "password": PASSWORD, "csrf_token": token}
    assert (await visitor.http.post("/account/sign-up", data=fields, headers={"Origin": URL})).status_code == 303
    assert "Your account is made" in (await visitor.get("/account/sign-in")).text
    assert "Your account is made" not in (await visitor.get("/account/sign-in")).text
    visitor.http.cookies.set(NOTICE, "<b>hello</b>", domain="coatcheck.test", path="/")
    assert "hello" not in (await visitor.get("/account/sign-in")).text


async def test_pages_fill_a_refused_form_in_again(house: House) -> None:
    """What was typed stays, escaped, but never a password; each field says what is wrong with it."""
    visitor = Visitor(house)
    token = token_in((await visitor.get("/account/sign-up")).text)
    fields = {"email": '"><script>x', "password": "short and secret", "csrf_token": token, "name": "Ada"}
    answer = await visitor.http.post("/account/sign-up", data=fields, headers={"Origin": URL})
    assert answer.status_code == 422
    assert "does not look like an e-mail address" in answer.text
    assert 'value="&#34;&gt;&lt;script&gt;x"' in answer.text
    assert "short and secret" not in answer.text
    answer = await visitor.http.post("/account/sign-up", data=fields | {"admin": "1"}, headers={"Origin": URL})
    assert answer.status_code == 422


async def test_pages_take_no_access_token(house: House) -> None:
    """A page belongs to the cookie: an Authorization header neither opens nor closes it."""
    await house.register()
    phone, visitor = await house.native(), await Visitor(house).sign_in(ADA)
    assert (await phone.get("/account")).status_code == 303
    answer = await visitor.http.get("/account", headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code == 200
