"""`coatcheck keys`: show the keys, rotate them, revoke one that has leaked, move everything under the newest secret."""

from typing import Annotated

import typer

from . import key_rotation, rewrap, signing_keys
from .cli_start import Opened, at_database
from .clock import MINUTE, rfc3339
from .errors import NotFound
from .settings import SettingsError

keys = typer.Typer(no_args_is_help=True, help="The keys that sign access tokens.")
_WORDS = {"next": "published, signs soon", "current": "signs", "previous": "verifies"}


@keys.command("list")
def list_keys() -> None:
    """Show the signing keys."""

    async def work(at: Opened) -> None:
        for row in await signing_keys.rows(at.db):
            typer.echo(f"{row.kid}  {row.state:8}  since {rfc3339(row.since)}  {_WORDS[row.state]}")

    at_database(work)


@keys.command("rotate")
def rotate(
    now: Annotated[bool, typer.Option("--now", help="Don't wait until everybody has had time to fetch it.")] = False,
) -> None:
    """Make the next signing key. It is published now, and signs in a quarter of an hour."""

    async def work(at: Opened) -> None:
        moment = at.clock.now()
        await key_rotation.publish(at.db, at.roots, moment)
        if now:
            await key_rotation.promote(at.db, moment)
        rows = {row.state: row for row in await signing_keys.rows(at.db)}
        if now:
            typer.echo(f"{rows['current'].kid} signs from now on. Nobody is signed out.")
        elif "next" in rows:
            wait = key_rotation.PUBLISHED_FIRST // MINUTE
            typer.echo(f"{rows['next'].kid} is published; a running server signs with it {wait} minutes after that.")

    at_database(work)


# Names of keys that earlier versions made may begin with `-`.
@keys.command("revoke", context_settings={"ignore_unknown_options": True})
def revoke(kid: str) -> None:
    """A signing key has leaked: nothing it signed is believed any more. Clients refresh and go on."""

    async def work(at: Opened) -> None:
        try:
            await key_rotation.revoke(at.db, at.roots, kid, at.clock.now())
        except NotFound:
            raise SettingsError(f"There is no signing key {kid}; see: coatcheck keys list") from None
        typer.echo(f"Revoked {kid}. Every worker refuses it within a second; other services when they fetch the keys")
        typer.echo(f"anew, {key_rotation.JWKS_MAX_AGE // 60} minutes at most: restart them to have it at once.")

    at_database(work)


@keys.command("rewrap")
def rewrap_command() -> None:
    """Move everything that is wrapped under the first secret of SECRET_KEY, and say when the others may go."""

    async def work(at: Opened) -> None:
        moved = await rewrap.rewrap(at.db, at.roots)
        typer.echo(f"{moved} records are wrapped anew; all are under the first secret now.")
        waiting = await rewrap.sessions_under_older(at.db, at.roots, at.clock.now())
        if waiting:
            days = at.settings.idle_ttl // 86_400
            typer.echo(
                f"{waiting} sessions still have a refresh token of an older secret. Keep it listed: each moves at its "
                f"next refresh, and after {days} days idle it is over anyhow."
            )
        if events := await rewrap.events_under_older(at.db, at.roots):
            typer.echo(f"{events} audit events can be verified with an older secret only, until they are pruned.")
        if not waiting:
            typer.echo("No session needs an older secret: you may take it off the list.")

    at_database(work)
