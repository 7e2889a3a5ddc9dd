"""Whoever an administrator's act is about is mailed it."""

from coatcheck import administration, ids
from coatcheck.factors import holdings
from tests.factors import enrol_app
from tests.house import House


async def test_admin_acts_are_mailed_to_the_person(house: House) -> None:
    """Each act that concerns somebody is mailed to her, also when it shuts her out; one that did nothing is not."""
    root = await house.staff()
    ada = (await house.register())["id"]
    await house.native()
    phone = await house.native()
    before = len(await house.mails("ada@example.test"))
    for method, path, body in (
        ("DELETE", f"/sessions/{phone.session_id}", None),
        ("DELETE", "/sessions", None),
        ("DELETE", "/sessions", None),
        ("PUT", "/role", {"role": "support"}),
        ("POST", "/disable", None),
        ("POST", "/enable", None),
    ):
        answer = await root.call(method, f"/v1/admin/accounts/{ada}{path}", json=body)
        assert answer.status_code < 300, answer.text
    told = [str(one.get_body(("plain",))) for one in (await house.mails("ada@example.test"))[before:]]
    acts = ("on a device", "on every device", "to support", "disabled your account", "enabled your account")
    assert len(told) == len(acts)
    assert all(act in text for act, text in zip(acts, told, strict=True))


async def test_operator_acts_are_mailed_to_the_person(house: House) -> None:
    """What is done by the server's command line is mailed like what is done at the desk."""
    ada = ids.raw("acc", (await house.register())["id"])
    assert ada
    await enrol_app(house, await house.native())
    before = len(await house.mails("ada@example.test"))
    await holdings.clear(house.desk, ada)
    await administration.set_role(house.desk, ada, "support", None)
    await administration.set_disabled(house.desk, ada, True, None)
    told = [str(one.get_body(("plain",))) for one in (await house.mails("ada@example.test"))[before:]]
    acts = ("every second step", "to support", "disabled your account")
    assert len(told) == len(acts)
    assert all(act in text for act, text in zip(acts, told, strict=True))
