"""State does not grow, and a dump is useless: what a thousand refreshes and a busy day leave behind."""

import base64
import binascii
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from coatcheck import refresh_tokens
from coatcheck.refresh_tokens import Door
from tests.conftest import OpenHouse, Stores
from tests.house import PASSWORD, SECRET, House, MovableClock, opened

TABLES = ("account", "device", "session", "signing_key", "audit_event")


async def _counts(house: House) -> dict[str, int]:
    return {table: (await house.rows(f"SELECT count(*) AS n FROM {table}"))[0]["n"] for table in TABLES}


async def test_growth_a_thousand_refreshes_add_no_row(open_house: OpenHouse) -> None:
    """A thousand refreshes, at the pace the limit allows, leave every table as long as it was, the audit log too."""
    async with open_house() as house:
        await house.register()
        phone, browser = await house.native(), await house.spa()
        before = await _counts(house)
        for number in range(500):
            house.clock.move(1.1)
            assert (await phone.refresh()).status_code == (await browser.refresh()).status_code == 200, number
        assert await _counts(house) == before
        rows = await house.rows("SELECT generation, door FROM session")
        assert [row["generation"] for row in rows] == [500, 500]


async def test_growth_repeats_and_signing_in_again_add_no_device(house: House) -> None:
    """Ten sign-ins on one device are one device, with one living session."""
    await house.register()
    phone = await house.native()
    for _ in range(9):
        await phone.login("ada@example.test")
        await phone.refresh(phone.refresh_token)
    assert (await _counts(house))["device"] == 1
    assert len(await house.rows("SELECT id FROM session WHERE ended_at IS NULL")) == 1


def _spellings(secret: bytes) -> set[bytes]:
    """How a secret of raw bytes could stand in a dump: raw, hex, base64 at each of the three alignments."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + secret)
        inner = text[(shift * 8 + 5) // 6 :].rstrip(b"=")[:-2]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return {spelling for spelling in found if len(spelling) >= 16}


async def _busy_day(house: House) -> list[bytes]:
    """Everybody signs in, refreshes, repeats, is robbed and signs out; every secret that was handed out."""
    await house.register()
    phone, browser, page, other = await house.native(), await house.spa(), await house.web(), await house.native()
    texts = [PASSWORD, "a wrong password of mine", phone.device_token, other.device_token, page.csrf_token]
    for client in (phone, other):
        texts += [client.access_token, client.refresh_token]
        await client.get("/v1/me")
        await client.refresh()
        texts += [client.access_token, client.refresh_token]
    stolen = texts[-3]
    texts += [str(browser.cookie), browser.access_token, str(page.cookie)]
    await browser.refresh()
    texts += [str(browser.cookie), browser.access_token, *map(str, browser.http.cookies.values())]
    texts += [str(value) for value in page.http.cookies.values()]
    wrong = {"email": "ada@example.test", "password": "a wrong password of mine"}
    await house.http().post("/v1/native/login", json=wrong)
    await other.get("/v1/me")
    house.clock.move(61)
    assert (await other.refresh(stolen)).json()["code"] == "token_reused"
    await phone.call("DELETE", f"/v1/sessions/{browser.session_id}")
    secrets = [text.encode() for text in {*texts, SECRET}]
    tokens = [(phone.refresh_token, Door.NATIVE), (str(page.cookie), Door.WEB)]
    for text, door in tokens:
        token = refresh_tokens.read(house.desk.roots, text, door)
        secrets += _spellings(token.nonce)
        secrets += _spellings(house.desk.roots.derive(token.kid, "refresh token"))
        mac = base64.urlsafe_b64decode(text[6:])[-16:]
        secrets += _spellings(mac)
    for text in (text for text in texts if text.startswith("cct_")):
        secrets.append(text.partition("_")[2][2:].encode())
    await house.desk.presence.flush()
    return secrets


def _assert_useless(dump: bytes, secrets: Iterable[bytes]) -> None:
    for secret in secrets:
        assert secret not in dump, secret
        assert binascii.hexlify(secret) not in dump, secret


async def test_growth_database_files_hold_no_credential(embedded: Stores, clock: MovableClock) -> None:
    """The SQLite files, log included, hold nothing that was handed out, in no spelling."""
    async with opened(clock, **embedded) as house:
        secrets = await _busy_day(house)
        (row, *_) = await house.rows("SELECT nonce_hash, password_hash FROM session, account")
        folder: Path = embedded["data_dir"]
        dump = b"".join(path.read_bytes() for path in folder.glob("coatcheck.sqlite3*"))
        assert row["nonce_hash"] in dump  # this is where we would find them
        assert row["password_hash"].encode() in dump
        _assert_useless(dump, secrets)
    _assert_useless(b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file()), secrets)


async def test_growth_postgres_and_redis_hold_no_credential(servers: Stores, clock: MovableClock) -> None:
    """All rows of PostgreSQL and all keys of Redis hold nothing that was handed out, in no spelling."""
    async with opened(clock, **servers) as house:
        secrets = await _busy_day(house)
        rows = b"".join([await _rows_of(servers["database_url"], table) for table in TABLES])
        nonce_hash = (await house.rows("SELECT nonce_hash FROM session"))[0]["nonce_hash"]
        assert nonce_hash in rows
        keys = await _keys_of(servers["redis_url"])
        assert b"coatcheck:feed" in keys
        _assert_useless(rows + keys, secrets)


async def _rows_of(url: str, table: str) -> bytes:
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetch(f"SELECT * FROM {table}")
    finally:
        await connection.close()
    values = [value for row in found for value in row.values()]
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)


async def _keys_of(url: str) -> bytes:
    parts: list[bytes] = []
    async with Redis.from_url(url) as client:
        async for key in client.scan_iter():
            kind = await client.type(key)
            value = await client.xrange(key) if kind == b"stream" else await client.get(key)
            parts += [key, repr(value).encode()]
    return b"\n".join(parts)


def test_growth_a_secret_would_be_found() -> None:
    """The search itself finds a secret in each spelling it looks for."""
    secret = sha256(b"secret").digest()[:16]
    for dump in (secret, base64.b64encode(b"xy" + secret), base64.urlsafe_b64encode(secret), secret.hex().encode()):
        with pytest.raises(AssertionError):
            _assert_useless(b"before " + dump + b" after", _spellings(secret))
