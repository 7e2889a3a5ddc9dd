"""`coatcheck accounts`: what only who has the server may do to an account, and what else is quicker here."""

import typer

from . import accounts, administration
from .cli_start import at_desk
from .desk import Desk
from .factors import holdings
from .mail import moment
from .roles import Role
from .settings import SettingsError
from .tables import Account

people = typer.Typer(no_args_is_help=True, help="The people who can sign in.")


@people.command("disable")
def disable_account(email: str) -> None:
    """Disable an account: every session ends at once, on every worker."""
    _set_disabled(email, True)


@people.command("enable")
def enable_account(email: str) -> None:
    """Let a disabled account sign in again."""
    _set_disabled(email, False)


@people.command("remove-factors")
def remove_factors(email: str) -> None:
    """Take away every passkey, authenticator app and recovery code, for somebody who lost them all; sessions end."""

    async def work(desk: Desk) -> None:
        account = await _named(desk, email)
        ended = await holdings.clear(desk, account.id)
        typer.echo(f"{account.email} signs in with the password alone now; {ended} sessions ended.")

    at_desk(work)


@people.command("grant-admin")
def grant_admin(email: str) -> None:
    """Make somebody an administrator. The first one is made here, and nowhere else."""
    _set_role(email, "admin")


@people.command("grant-support")
def grant_support(email: str) -> None:
    """Let somebody look at accounts and end sessions."""
    _set_role(email, "support")


@people.command("revoke-role")
def revoke_role(email: str) -> None:
    """Take any role away; the account's sessions end at once."""
    _set_role(email, "user")


def _set_disabled(email: str, disabled: bool) -> None:
    async def work(desk: Desk) -> None:
        account = await _named(desk, email)
        ended = await administration.set_disabled(desk, account.id, disabled, None)
        typer.echo(f"{'Disabled' if disabled else 'Enabled'} {account.email}; {ended} sessions ended.")

    at_desk(work)


def _set_role(email: str, role: Role) -> None:
    async def work(desk: Desk) -> None:
        account = await _named(desk, email)
        if role != "user" and not account.email_verified:
            _mind_unproven(desk, account)
        ended = await administration.set_role(desk, account.id, role, None)
        typer.echo(f"{account.email} is {role} now; {ended} sessions ended.")

    at_desk(work)


def _mind_unproven(desk: Desk, account: Account) -> None:
    """Anybody may have registered an address that no link has proved. Raises SettingsError where mails travel."""
    told = f"{account.email} is not confirmed: make sure whose account it is, registered {moment(account.created_at)}"
    if desk.settings.smtp_url:
        raise SettingsError(f"{told}. Let its owner confirm it first, by the link that was mailed.")
    typer.echo(f"Warning: {told}.", err=True)


async def _named(desk: Desk, email: str) -> Account:
    """Raises SettingsError: nobody is acted on by a misspelt address without being told."""
    async with desk.db.reading() as db:
        account = await accounts.by_email(db, accounts.normalise_email(email))
    if account is None:
        raise SettingsError("There is no account with this address.")
    return account
