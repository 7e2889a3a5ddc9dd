"""Mail on its way: posted with the act, sealed until then, delivered beside the requests, never lost."""

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from coatcheck import mail, mail_delivery, smtp
from tests.conftest import OpenHouse
from tests.house import URL, House, MovableClock
from tests.postbox import ELSEWHERE, Postbox, certificate, listening

ADA = "ada@example.test"
LINK = f"{URL}/account/reset#zq-secret"
SENDER: dict[str, Any] = {"mail_from": "Coatcheck <accounts@example.test>"}


async def post(house: House, to: str = ADA, link: str = LINK) -> None:
    """A mail, as a journey posts it."""
    async with house.desk.db.writing() as db:
        mail.post(db, house.desk, to, "password_reset", link=link, minutes="15")
        await db.commit()


async def waiting(house: House) -> list[dict[str, Any]]:
    return await house.rows("SELECT * FROM outgoing_mail ORDER BY created_at")


def at(port: int, scheme: str = "smtp", host: str = "127.0.0.1") -> dict[str, Any]:
    return SENDER | {"smtp_url": f"{scheme}://{host}:{port}"}


# -- without a mail server ---------------------------------------------------------------------------------------------


async def test_mail_without_a_server_becomes_a_private_file(house: House) -> None:
    """It lies in DATA_DIR/outbox for its owner alone; the log says where, and nothing of what it says."""
    with capture_logs() as logged:
        await post(house)
        [letter] = await house.mails()
    assert (letter["To"], letter["Subject"]) == (ADA, "Choose a new password")
    assert LINK in str(letter.get_body(("plain",)))
    [file] = house.outbox.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(house.outbox.stat().st_mode) == 0o700
    assert [one["path"] for one in logged if one["event"] == "mail.in_outbox"] == [str(file)]
    assert "zq-secret" not in str(logged)
    assert ADA not in str(logged)
    assert await waiting(house) == []


async def test_mail_of_an_act_rolled_back_is_never_sent(house: House) -> None:
    """What did not happen is not told."""
    async with house.desk.db.writing() as db:
        mail.post(db, house.desk, ADA, "password_reset", link=LINK, minutes="15")
        await db.flush()
    assert await waiting(house) == []
    assert await house.mails() == []


async def test_mail_waits_sealed(open_house: OpenHouse) -> None:
    """Neither the address nor the link can be read in the database."""
    async with open_house(**at(1)) as house:
        await post(house)
        [row] = await waiting(house)
        assert b"zq-secret" not in row["sealed"]
        assert b"example.test" not in row["sealed"]
        row_of_another = row["id"][::-1]
        with pytest.raises(Exception, match=r"^$"):
            mail.opened(house.desk.roots, row_of_another, row["sealed"])
        assert mail.opened(house.desk.roots, row["id"], row["sealed"]).words["link"] == LINK


@pytest.mark.parametrize("foreign", ["https://evil.test/", f"{URL}.evil.test/x", "javascript:x", f"{URL}@evil.test/"])
async def test_mail_takes_no_foreign_link(house: House, foreign: str) -> None:
    """A link that does not begin with PUBLIC_URL can't be posted at all."""
    with pytest.raises(ValueError, match="link"):
        await post(house, link=foreign)
    assert await waiting(house) == []


# -- with one ----------------------------------------------------------------------------------------------------------


async def test_mail_reaches_exactly_one_recipient(open_house: OpenHouse) -> None:
    """The server is told one recipient, the header the same one, and the row is gone."""
    async with listening(Postbox()) as box, open_house(**at(box.port)) as house:
        await post(house)
        await post(house, "zoé@example.test")
        await house.desk.postman.deliver()
        assert sorted(box.recipients) == [[ADA], ["zoé@example.test"]]
        assert {str(one["From"]) for one in box.mails} == {"Coatcheck <accounts@example.test>"}
        assert box.secure == [False, False]
        assert await waiting(house) == []
        assert await house.mails() == []


async def test_mail_is_delivered_without_being_asked(open_house: OpenHouse) -> None:
    """The postman goes by himself."""
    async with listening(Postbox()) as box, open_house(**at(box.port)) as house:
        await post(house)
        await asyncio.wait_for(box.arrived.wait(), 20)
        await house.desk.postman.deliver()  # waits for its turn
        assert await waiting(house) == []


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server's TLS whose certificate this machine trusts."""
    path, tls = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    smtp._trust.cache_clear()
    yield tls
    smtp._trust.cache_clear()


async def test_mail_travels_over_tls(open_house: OpenHouse, trusted: Any) -> None:
    """`smtps://` from the first byte, `smtp://` by STARTTLS; name and password go over that alone, percent-decoded."""
    async with listening(Postbox(), tls=trusted) as box:
        url = f"smtps://ada%40example.test:p%2Fw%3Ad@127.0.0.1:{box.port}"
        async with open_house(smtp_url=url, **SENDER) as house:
            await post(house)
            await house.desk.postman.deliver()
        assert box.logins == [("ada@example.test", "p/w:d")]
        assert len(box.mails) == 1
    async with listening(Postbox(), starttls=trusted) as box, open_house(**at(box.port, host=ELSEWHERE)) as house:
        await post(house)
        await house.desk.postman.deliver()
        assert box.secure == [True]
        assert await waiting(house) == []


@pytest.mark.parametrize("who", ["", "ada:pw@"])
async def test_mail_never_goes_to_another_machine_in_the_clear(open_house: OpenHouse, who: str) -> None:
    """A server elsewhere that offers no TLS is told neither the mail nor the password."""
    async with listening(Postbox()) as box:
        url = f"smtp://{who}{ELSEWHERE}:{box.port}"
        async with open_house(smtp_url=url, **SENDER) as house:
            await post(house)
            await house.desk.postman.deliver()
            assert (box.mails, box.logins, box.asked.is_set()) == ([], [], False)
            assert len(await waiting(house)) == 1


@pytest.mark.parametrize("scheme, host", [("smtps", "127.0.0.1"), ("smtp", ELSEWHERE)])
async def test_mail_is_kept_from_a_server_nobody_vouches_for(
    open_house: OpenHouse, tmp_path: Path, scheme: str, host: str
) -> None:
    """A certificate that is not trusted gets nothing; the mail waits."""
    _, tls = certificate(tmp_path)
    way: dict[str, Any] = {"tls": tls} if scheme == "smtps" else {"starttls": tls}
    async with listening(Postbox(), **way) as box, open_house(**at(box.port, scheme, host)) as house:
        await post(house)
        await house.desk.postman.deliver()
        assert (box.mails, box.asked.is_set()) == ([], False)
        assert len(await waiting(house)) == 1


# -- when things go wrong ----------------------------------------------------------------------------------------------


async def test_mail_waits_longer_each_time_while_the_server_is_away(open_house: OpenHouse, clock: MovableClock) -> None:
    """10 s, 20 s, ... up to an hour; nothing is lost, and when the server is back the mail arrives once."""
    async with listening(Postbox()) as box:
        port = box.port
    async with open_house(**at(port)) as house:
        await post(house)
        waits = []
        for _ in range(12):
            await house.desk.postman.deliver()
            [row] = await waiting(house)
            waits.append(round((row["next_try_at"] - clock.now()) / 1000, -1))
            clock.move((row["next_try_at"] - clock.now()) / 1000 + 1)
        assert waits == [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]
        async with listening(Postbox(), port=port) as box:
            await house.desk.postman.deliver()
            assert len(box.mails) == 1
        assert await waiting(house) == []


async def test_mail_is_given_up_after_a_day(open_house: OpenHouse, clock: MovableClock) -> None:
    """Then the row is gone, and the audit log says which mail, not to whom and not what."""
    async with open_house(**at(1)) as house:
        await post(house)
        for _ in range(40):
            await house.desk.postman.deliver()
            clock.move(3_600)
        assert await waiting(house) == []
        [event] = await house.audit("mail.given_up")
        assert event["data"] == '{"template": "password_reset", "why": "undelivered for a day"}'


@pytest.mark.parametrize("answer, kept", [("550 no such person", 0), ("450 later", 1), ("421 busy", 1)])
async def test_mail_refused_for_good_is_not_tried_again(open_house: OpenHouse, answer: str, kept: int) -> None:
    """5xx is for good, at the recipient and at the message; 4xx is not."""
    for box in (Postbox(to_recipient=answer), Postbox(to_data=answer)):
        async with listening(box), open_house(**at(box.port)) as house:
            await post(house)
            await house.desk.postman.deliver()
            assert len(await waiting(house)) == kept
            assert len(await house.audit("mail.given_up")) == 1 - kept
            await house.rows("DELETE FROM outgoing_mail RETURNING id")
            await house.rows("DELETE FROM audit_event RETURNING id")


async def test_mail_put_off_for_its_recipient_holds_up_no_other(open_house: OpenHouse) -> None:
    """Whoever has his own mailboxes say "later" for ever must not stand in everybody's way."""
    box = Postbox(later_for="evil.test")
    async with listening(box), open_house(**at(box.port)) as house:
        for number in range(3):
            await post(house, f"m{number}@evil.test")
        await post(house)
        await house.desk.postman.deliver()
        assert box.recipients == [[ADA]]
        assert [row["attempts"] for row in await waiting(house)] == [1, 1, 1]


async def test_mail_survives_a_server_that_hangs_up(open_house: OpenHouse, clock: MovableClock) -> None:
    """Before it has taken the mail: one copy in the end. After: at most one more, under the same Message-ID."""
    box = Postbox(hang_up_before_data=2)
    async with listening(box), open_house(**at(box.port)) as house:
        await post(house)
        for _ in range(4):
            await house.desk.postman.deliver()
            clock.move(60)
        assert len(box.mails) == 1
        box.hang_up_after_data = 1
        await post(house)
        for _ in range(4):
            await house.desk.postman.deliver()
            clock.move(60)
        assert len(box.mails) == 3
        assert box.mails[1]["Message-ID"] == box.mails[2]["Message-ID"] != box.mails[0]["Message-ID"]
        assert await waiting(house) == []


async def test_mail_never_blocks_a_request(open_house: OpenHouse) -> None:
    """While the mail server hangs, sign-ins and further mails go on; when it moves again everything arrives."""
    box = Postbox(hold=asyncio.Event())
    assert box.hold
    async with listening(box), open_house(**at(box.port)) as house:
        await post(house)
        delivering = asyncio.create_task(house.desk.postman.deliver())
        await asyncio.wait_for(box.asked.wait(), 20)
        await house.register()
        await house.native()
        await post(house)
        assert box.mails == []
        box.hold.set()
        await delivering
        await house.desk.postman.deliver()
        assert await waiting(house) == []
        assert len(box.mails) >= 2


async def test_mail_is_delivered_once_by_several_workers(two_workers: tuple[House, House]) -> None:
    """Fifty mails, two postmen at once: fifty mails arrive."""
    first, second = two_workers
    async with listening(Postbox()) as box:
        for house in two_workers:
            object.__setattr__(house.desk.settings, "smtp_url", f"smtp://127.0.0.1:{box.port}")
        for number in range(50):
            await post(first, f"p{number}@example.test")
        async with asyncio.timeout(60):
            while await waiting(first):
                await asyncio.gather(first.desk.postman.deliver(), second.desk.postman.deliver())
        assert sorted(one[0] for one in box.recipients) == sorted(f"p{number}@example.test" for number in range(50))


async def test_mail_outlives_the_worker_that_had_it(open_house: OpenHouse, clock: MovableClock) -> None:
    """A worker killed with a mail in hand loses nothing: another one delivers it two minutes later."""
    async with listening(Postbox()) as box, open_house(**at(box.port)) as house:
        await house.desk.postman.stop()
        await post(house)
        now = clock.now()
        assert await house.desk.db.hot.fetch_one(mail_delivery._CLAIM, now, now + mail_delivery._CLAIMED)
    async with listening(Postbox()) as box, open_house(**at(box.port)) as house:
        await house.desk.postman.deliver()
        assert box.mails == []
        clock.move(121)
        await house.desk.postman.deliver()
        assert len(box.mails) == 1


async def test_mail_that_can_not_be_opened_is_given_up(open_house: OpenHouse, clock: MovableClock) -> None:
    """One sealed by a root secret that is no longer listed can't be sent; it does not stop the others."""
    async with listening(Postbox()) as box, open_house(**at(box.port)) as house:
        await house.desk.postman.deliver()
        async with house.desk.db.writing() as db:
            mail.post(db, house.desk, ADA, "password_reset", link=LINK, minutes="15")
            await db.flush()
            await (await db.connection()).execute(text("UPDATE outgoing_mail SET sealed = substr(sealed, 3)"))
            await db.commit()
        clock.move(1)
        await post(house)
        await house.desk.postman.deliver()
        assert len(box.mails) == 1
        assert await waiting(house) == []
        [event] = await house.audit("mail.given_up")
        assert "CannotUnwrap" in event["data"]
