"""Signing keys follow one another, and nobody is signed out by it (research scenario 13)."""

import asyncio
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest

from coatcheck import key_rotation, rewrap, signing_keys
from coatcheck.clock import SECOND
from coatcheck.errors import NotFound
from coatcheck.key_rotation import PUBLISHED_FIRST
from tests.conftest import OpenHouse
from tests.factors import enrol_app, pending
from tests.house import SECRET, House, MovableClock, NativeClient, opened

DAY = 86_400
NEWER = "8d7c6b5a49382716051403f2e1d0cfbeadac9b8a79685746"
Workers = tuple[House, House]


def kid_of(token: str) -> str:
    header = token.partition(".")[0]
    return str(json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])


async def states(house: House) -> dict[str, str]:
    return {row["kid"]: row["state"] for row in await house.rows("SELECT kid, state FROM signing_key")}


async def published(house: House) -> set[str]:
    answer = await house.http().get("/.well-known/jwks.json")
    return {key["kid"] for key in answer.json()["keys"]}


async def status(phone: NativeClient, house: House | None = None) -> int:
    client = house.http() if house else phone.http
    answer = await client.get("/v1/me", headers={"Authorization": f"Bearer {phone.access_token}"})
    return answer.status_code


async def test_keys_rotate_in_stages_and_sign_nobody_out(open_house: OpenHouse, clock: MovableClock) -> None:
    """A key is published before it signs and verifies after it has; each request in between is answered."""
    async with open_house(key_ttl=DAY) as house:
        await house.register()
        phone = await house.native()
        first = kid_of(phone.access_token)
        clock.move(DAY - PUBLISHED_FIRST / SECOND)
        await house.desk.rotation.look()
        (second,) = await published(house) - {first}
        await phone.refresh()
        assert kid_of(phone.access_token) == first, "nobody can have fetched the next one yet"

        clock.move(PUBLISHED_FIRST / SECOND)
        await phone.refresh()
        of_first = phone.access_token
        assert kid_of(of_first) == first
        await house.desk.rotation.look()
        assert await status(phone) == 200
        await phone.refresh()
        assert kid_of(phone.access_token) == second
        assert await status(phone) == 200
        phone.access_token, of_second = of_first, phone.access_token
        house.desk.verified_tokens.clear()
        assert await status(phone) == 200, "what the previous key signed is good for its life"

        clock.move(house.desk.settings.access_ttl + key_rotation.SKEW / SECOND)
        await house.desk.rotation.look()
        assert await states(house) == {second: "current"}
        assert await published(house) == {second}
        assert await status(phone) == 401
        phone.access_token = of_second
        assert (await phone.refresh()).status_code == 200
        assert await status(phone) == 200
        kinds = [(await house.audit(kind))[0]["data"] for kind in ("key.published", "key.promoted", "key.retired")]
        assert [json.loads(data)["kid"] for data in kinds] == [second, second, first]


async def test_keys_are_rotated_once_by_many_workers(two_workers: Workers, clock: MovableClock) -> None:
    """Whoever looks at the moment a step is due, it is taken once."""
    first, second = two_workers

    async def all_look() -> None:
        await asyncio.gather(*(house.desk.rotation.look() for house in (first, second) * 5))

    clock.move(first.desk.settings.key_ttl)
    await all_look()
    assert sorted((await states(first)).values()) == ["current", "next"]
    clock.move(PUBLISHED_FIRST / SECOND)
    await all_look()
    assert sorted((await states(first)).values()) == ["current", "previous"]
    assert [len(await first.audit(f"key.{step}")) for step in ("published", "promoted")] == [1, 1]
    assert first.desk.keys.current == second.desk.keys.current


async def test_keys_revoked_are_refused_by_every_worker_and_clients_go_on(two_workers: Workers) -> None:
    """What a leaked key signed is refused everywhere, remembered or not; refresh tokens are not signed and live on."""
    first, second = two_workers
    await first.register()
    phone = await first.native()
    leaked = kid_of(phone.access_token)
    assert [await status(phone), await status(phone, second)] == [200, 200]
    await key_rotation.revoke(first.desk.db, first.desk.roots, leaked, first.desk.clock.now())
    await asyncio.gather(first.desk.rotation.look(), second.desk.rotation.look())
    assert [await status(phone), await status(phone, second)] == [401, 401]
    assert leaked not in await published(second)
    assert (await phone.refresh()).status_code == 200
    assert kid_of(phone.access_token) != leaked
    assert [await status(phone), await status(phone, second)] == [200, 200]
    assert await first.rows("SELECT id FROM session WHERE ended_at IS NOT NULL") == []
    with pytest.raises(NotFound):
        await key_rotation.revoke(first.desk.db, first.desk.roots, leaked, first.desk.clock.now())


async def test_keys_new_to_a_worker_are_looked_for_at_once(two_workers: Workers) -> None:
    """A token by a key that another worker began to sign with a moment ago is no forgery."""
    first, second = two_workers
    await first.register()
    await second.desk.rotation.look()  # that it came too early is no reason to refuse who comes next
    await key_rotation.publish(first.desk.db, first.desk.roots, first.desk.clock.now())
    await key_rotation.promote(first.desk.db, first.desk.clock.now())
    await first.desk.rotation.look()
    phone = await first.native()
    assert await status(phone, second) == 200


async def test_keys_nobody_has_cost_few_looks(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of invented key names does not become a flood of queries, and each is refused."""
    looks = 0
    rows = signing_keys.rows

    async def counted(db: Any) -> Any:
        nonlocal looks
        looks += 1
        return await rows(db)

    await house.register()
    phone = await house.native()
    header, *rest = phone.access_token.split(".")
    forged = {**json.loads(urlsafe_b64decode(header + "==")), "kid": "mallory"}
    phone.access_token = ".".join([_encoded(forged), *rest])
    await house.desk.rotation.stop()
    monkeypatch.setattr(signing_keys, "rows", counted)
    began = asyncio.get_running_loop().time()
    answers = [await asyncio.gather(*(status(phone) for _ in range(100))) for _ in range(3)]
    assert answers == [[401] * 100] * 3
    assert looks <= 2 + (asyncio.get_running_loop().time() - began) / 0.2


def _encoded(header: dict[str, str]) -> str:
    return urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()


async def test_keys_revoked_and_promoted_at_once_leave_one_that_signs(open_house: OpenHouse) -> None:
    """However revocation and promotion cross, there is exactly one current key, and it is not the revoked one."""
    async with open_house() as house:
        desk = house.desk
        for _ in range(5):
            now = desk.clock.now()
            await key_rotation.publish(desk.db, desk.roots, now)
            (current,) = [kid for kid, state in (await states(house)).items() if state == "current"]
            await asyncio.gather(
                key_rotation.promote(desk.db, now),
                key_rotation.revoke(desk.db, desk.roots, current, now),
                key_rotation.promote(desk.db, now),
            )
            found = await states(house)
            assert list(found.values()).count("current") == 1
            assert current not in found


async def test_keys_move_under_a_new_root_secret_and_sign_nobody_out(open_house: OpenHouse) -> None:
    """New secret first, old one behind it, rewrap, refresh: then the old one may go."""
    async with open_house() as house:
        await house.register()
        await house.mails()  # none waits sealed any more
        phone, tablet = await house.native(), await house.native()
        kept = phone.refresh_token, tablet.refresh_token
        kid = kid_of(phone.access_token)
    async with open_house(secret_key=[NEWER, SECRET]) as house:
        phone.http = tablet.http = house.http()
        now = house.desk.clock.now()
        assert await rewrap.rewrap(house.desk.db, house.desk.roots) >= 1  # the key, and what mails hold
        assert await rewrap.rewrap(house.desk.db, house.desk.roots) == 0
        assert await rewrap.sessions_under_older(house.desk.db, house.desk.roots, now) == 2
        phone.refresh_token, tablet.refresh_token = kept
        assert (await phone.refresh()).status_code == 200
        assert await rewrap.sessions_under_older(house.desk.db, house.desk.roots, now) == 1
        assert (await tablet.refresh()).status_code == 200
        assert await rewrap.sessions_under_older(house.desk.db, house.desk.roots, now) == 0
    async with open_house(secret_key=[NEWER]) as house:
        phone.http = tablet.http = house.http()
        assert kid in await published(house)
        assert [await status(phone), await status(tablet)] == [200, 200]
        assert [(await one.refresh()).status_code for one in (phone, tablet)] == [200, 200]


async def test_secrets_of_people_move_under_a_new_root_secret(open_house: OpenHouse, clock: MovableClock) -> None:
    """An authenticator app, a pending sign-in and a mail that waits outlive the secret that wrapped them."""
    async with open_house() as house:
        await house.register()
        app = await enrol_app(house, await house.native())
        token = await pending(house)
    async with open_house(secret_key=[NEWER, SECRET]) as house:
        assert await rewrap.rewrap(house.desk.db, house.desk.roots) >= 3
    async with open_house(secret_key=[NEWER]) as house:
        clock.move(30)
        body = {"challenge_token": token, "method": "totp", "code": app.code()}
        answer = await house.http().post("/v1/native/login/verify", json=body)
        assert answer.status_code == 200, answer.text


async def test_keys_of_a_newer_secret_do_not_stop_an_older_worker(servers: dict[str, Any], clock: MovableClock) -> None:
    """A worker that can't open the new current key goes on signing with the one it has, which still verifies."""
    async with opened(clock, **servers) as older, opened(clock, **servers, secret_key=[NEWER, SECRET]) as newer:
        await older.register()
        await key_rotation.publish(newer.desk.db, newer.desk.roots, clock.now())
        await key_rotation.promote(newer.desk.db, clock.now())
        await older.desk.rotation.look()
        await newer.desk.rotation.look()
        phone = await older.native()
        assert kid_of(phone.access_token) != newer.desk.keys.current
        assert [await status(phone), await status(phone, newer)] == [200, 200]


async def test_keys_revoked_are_refused_by_a_worker_that_can_not_open_the_new_one(
    servers: dict[str, Any], clock: MovableClock
) -> None:
    """A leaked key is gone from a worker that lacks the newest root secret too: what it signed is refused there."""
    async with opened(clock, **servers) as older, opened(clock, **servers, secret_key=[NEWER, SECRET]) as newer:
        await older.register()
        phone = await older.native()
        leaked = kid_of(phone.access_token)
        assert await status(phone) == 200
        await key_rotation.revoke(newer.desk.db, newer.desk.roots, leaked, clock.now())
        await asyncio.gather(older.desk.rotation.look(), newer.desk.rotation.look())
        assert [await status(phone), await status(phone, newer)] == [401, 401]
        assert leaked not in await published(older)
