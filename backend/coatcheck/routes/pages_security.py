"""Second factors, on pages: see them, add and remove one, make recovery codes. Changes want a fresh proof.

Recovery codes are shown after the form that made them, so for that one look they stand on the server, wrapped, and the
browser has their token in a cookie that no script reads. They are gone when the person says so, or ten minutes later.
"""

import json

from fastapi import APIRouter, Request, Response

from .. import challenges
from ..clock import MINUTE
from ..desk import Desk
from ..errors import Conflict, NotFound, Problem
from ..factors import ceremonies, enrolment, holdings
from ..factors.enrolment import Seed
from ..step_up import require_fresh
from ..tables import Factor
from ..verified_credentials import Caller
from . import cookies
from .authentication import DeskOf, OriginOf
from .bodies import AppIn, DeviceNameIn
from .devices import raw_id
from .form_bodies import NewPasskeyIn
from .forms import TOLD, FormOf
from .pages import PageCallerOf, go, page

router = APIRouter(prefix="/account/security", include_in_schema=False)

_CODES = "codes.shown"
_LOOK = 10 * MINUTE


@router.get("")
async def security(request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """What the account asks for beside its password."""
    return page(request, "security.html", held=await holdings.list_all(desk, caller.account_id))


@router.get("/app")
async def app_page(request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """A seed for an authenticator app, as a picture and as text. Nothing is added yet."""
    return _app(request, await enrolment.begin_app(desk, caller))


@router.post("/app")
async def add_app(request: Request, caller: PageCallerOf, form: FormOf, desk: DeskOf, origin: OriginOf) -> Response:
    """A code proves that the app has the seed."""
    require_fresh(desk, caller)
    try:
        body = form.read(AppIn)
        name = body.name or "Authenticator app"
        _, codes = await enrolment.confirm_app(desk, caller, body.challenge_token, body.code, name, origin)
    except TOLD as problem:
        token = form.fields.get("challenge_token", "")
        seed = await enrolment.shown(desk, caller, token) or await enrolment.begin_app(desk, caller)
        return _app(request, seed, problem, form.fields.get("name", ""))
    return await _added(request, desk, caller, codes)


def _app(request: Request, seed: Seed, problem: Problem | None = None, name: str = "") -> Response:
    return page(request, "security_app.html", problem=problem, seed=seed, kept={"name": name})


@router.get("/passkey")
async def passkey_page(request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """A challenge for a new passkey."""
    return await _passkey(request, desk, caller)


@router.post("/passkey")
async def add_passkey(request: Request, caller: PageCallerOf, form: FormOf, desk: DeskOf, origin: OriginOf) -> Response:
    """What the browser made of it."""
    require_fresh(desk, caller)
    try:
        body = form.read(NewPasskeyIn)
        name = body.name or "Passkey"
        _, codes = await ceremonies.register(desk, caller, body.challenge_token, body.credential, name, origin)
    except TOLD as problem:
        return await _passkey(request, desk, caller, problem, form.fields.get("name", ""))
    return await _added(request, desk, caller, codes)


async def _passkey(
    request: Request, desk: Desk, caller: Caller, problem: Problem | None = None, name: str = ""
) -> Response:
    begun = await ceremonies.begin_registration(desk, caller)
    options = json.dumps(begun.public_key)
    return page(
        request, "security_passkey.html", problem=problem, begun=begun.token, options=options, kept={"name": name}
    )


@router.get("/codes")
async def codes_page(request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """Recovery codes that were made a moment ago."""
    token = cookies.of(request, desk.settings, "pending") or ""
    async with desk.db.reading() as db:
        found = await challenges.peek(db, desk, _CODES, token)
    if found is None or found.account_id != caller.account_id:
        raise NotFound
    return page(request, "security_codes.html", codes=found.data["codes"])


@router.post("/codes")
async def codes_kept(request: Request, caller: PageCallerOf, _form: FormOf, desk: DeskOf) -> Response:
    """They are written down; nobody sees them again."""
    async with desk.db.writing() as db:
        await challenges.drop(db, _CODES, caller.account_id)
        await db.commit()
    answer = go(request, "/account/security", "codes-kept")
    cookies.clear(answer, desk.settings, "pending")
    return answer


@router.get("/codes/new")
async def new_codes_page(request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """Are you sure?"""
    require_fresh(desk, caller)
    return page(
        request,
        "confirm.html",
        title="Make new recovery codes?",
        text="The old ones stop working at once, and every other device is signed out.",
        action="/account/security/codes/new",
        yes="Make new codes",
        back="/account/security",
    )


@router.post("/codes/new")
async def new_codes(request: Request, caller: PageCallerOf, _form: FormOf, desk: DeskOf, origin: OriginOf) -> Response:
    """Ten new ones."""
    try:
        codes = await holdings.new_codes(desk, caller, origin)
    except Conflict:
        return go(request, "/account/security")
    return await _added(request, desk, caller, codes)


async def _added(request: Request, desk: Desk, caller: Caller, codes: list[str]) -> Response:
    """On to the recovery codes, if there are new ones."""
    if not codes:
        return go(request, "/account/security", "factor-added")
    async with desk.db.writing() as db:
        await challenges.drop(db, _CODES, caller.account_id)
        token = await challenges.make(db, desk, _CODES, caller.account_id, _LOOK, codes=codes)
        await db.commit()
    answer = go(request, "/account/security/codes")
    cookies.write(answer, desk.settings, "pending", token)
    return answer


@router.get("/factors/{factor_id}")
async def factor_page(factor_id: str, request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """One of them, to rename or remove."""
    factor = await _own(desk, caller, factor_id)
    return page(request, "security_factor.html", factor=factor, kept={"name": factor.name})


@router.post("/factors/{factor_id}")
async def rename_factor(factor_id: str, request: Request, caller: PageCallerOf, form: FormOf, desk: DeskOf) -> Response:
    """A new name."""
    try:
        await holdings.rename(desk, caller, raw_id("fac", factor_id), form.read(DeviceNameIn).name)
    except TOLD as problem:
        factor = await _own(desk, caller, factor_id)
        return page(request, "security_factor.html", problem=problem, factor=factor, kept=form.kept("name"))
    return go(request, "/account/security", "factor-renamed")


@router.get("/factors/{factor_id}/remove")
async def remove_page(factor_id: str, request: Request, caller: PageCallerOf, desk: DeskOf) -> Response:
    """Are you sure?"""
    require_fresh(desk, caller)
    factor = await _own(desk, caller, factor_id)
    last = len((await holdings.list_all(desk, caller.account_id)).factors) == 1
    text = "Every other device is signed out."
    if last:
        text += " It is your only second factor: from then on the password alone signs in."
    return page(
        request,
        "confirm.html",
        title=f"Remove {factor.name}?",
        text=text,
        action=f"/account/security/factors/{factor_id}/remove",
        yes="Remove it",
        back="/account/security",
    )


@router.post("/factors/{factor_id}/remove")
async def remove(
    factor_id: str, request: Request, caller: PageCallerOf, _form: FormOf, desk: DeskOf, origin: OriginOf
) -> Response:
    """It is gone."""
    await holdings.remove(desk, caller, raw_id("fac", factor_id), origin)
    return go(request, "/account/security", "factor-removed")


async def _own(desk: Desk, caller: Caller, factor_id: str) -> Factor:
    """Raises NotFound."""
    wanted = raw_id("fac", factor_id)
    for factor in (await holdings.list_all(desk, caller.account_id)).factors:
        if factor.id == wanted:
            return factor
    raise NotFound
