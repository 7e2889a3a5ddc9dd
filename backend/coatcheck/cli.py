"""`coatcheck`: serve, migrate, keys, accounts, services, doctor. A mistake ends in one sentence: what to do."""

import asyncio
import errno
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer
import uvicorn

from . import __version__, accounts, doctor, introspection, logs, migrate, signing_keys
from . import db as databases
from . import desk as desks
from . import settings as configuration
from .clock import Clock, rfc3339
from .desk import Desk
from .errors import Problem, Unavailable
from .secrets import RootSecrets
from .settings import PREFIX, Settings, SettingsError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
keys = typer.Typer(no_args_is_help=True, help="The keys that sign access tokens.")
app.add_typer(keys, name="keys")
people = typer.Typer(no_args_is_help=True, help="The people who can sign in.")
app.add_typer(people, name="accounts")
asking = typer.Typer(no_args_is_help=True, help="The services that may introspect access tokens.")
app.add_typer(asking, name="services")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)] = 8000,
    workers: Annotated[int, typer.Option(help="Processes; more than one needs PostgreSQL and Redis.", min=1)] = 1,
) -> None:
    """Serve the API, and the app at /."""
    os.environ.setdefault(f"{PREFIX}PUBLIC_URL", f"http://localhost:{port}")
    settings = _load()
    logs.configure(settings.log_level)
    for warning in configuration.check(settings, workers):
        typer.echo(f"Warning: {warning}", err=True)
    for name in configuration.unknown():
        typer.echo(f"Warning: {name} is not a setting; is it misspelt?", err=True)
    _check_port(host, port)
    asyncio.run(_check_stores(settings))
    typer.echo(f"Coatcheck {__version__} · open {settings.public_url} · stop with Ctrl-C", err=True)
    uvicorn.run(
        "coatcheck.app:from_environment",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        proxy_headers=False,  # we read X-Forwarded-For ourselves, from TRUSTED_PROXIES only
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=3,
    )


def _check_port(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"of {host} can't be used"
        raise SettingsError(f"Port {port} {why}; choose another: --port, or make run PORT=...") from None


async def _check_stores(settings: Settings) -> None:
    """Find out before any worker starts what would stop each of them."""
    if settings.embedded:
        await migrate.upgrade(settings)
    elif not await migrate.is_current(settings):
        raise SettingsError("The database is not migrated; run: coatcheck migrate")
    db = await databases.connect(settings)
    try:
        await signing_keys.load(db, RootSecrets(settings.secret_key), Clock())
    finally:
        await db.close()


@app.command("migrate")
def migrate_command() -> None:
    """Bring the database to this release's tables."""
    settings = _load()
    asyncio.run(migrate.upgrade(settings))
    typer.echo("The database is up to date.")


@keys.command("list")
def list_keys() -> None:
    """Show the signing keys."""
    settings = _load()

    async def show() -> None:
        await _check_stores(settings)
        db = await databases.connect(settings)
        try:
            ring = await signing_keys.load(db, RootSecrets(settings.secret_key), Clock())
            for row in await signing_keys.rows(db):
                note = "signs" if row.kid == ring.current else "verifies"
                typer.echo(f"{row.kid}  {row.state}  since {rfc3339(row.created_at)}  {note}")
        finally:
            await db.close()

    asyncio.run(show())


@people.command("disable")
def disable_account(email: str) -> None:
    """Disable an account: every session ends at once, on every worker."""
    _set_disabled(email, True)


@people.command("enable")
def enable_account(email: str) -> None:
    """Let a disabled account sign in again."""
    _set_disabled(email, False)


def _set_disabled(email: str, disabled: bool) -> None:
    settings = _load()

    async def work() -> None:
        await _check_stores(settings)
        async with desks.opened(settings, Clock()) as desk:
            async with desk.db.reading() as db:
                account = await accounts.by_email(db, accounts.normalise_email(email))
            if account is None:
                raise SettingsError("There is no account with this address.")
            ended = await accounts.set_disabled(desk, account.id, disabled)
            typer.echo(f"{'Disabled' if disabled else 'Enabled'} {account.email}; {ended} sessions ended.")

    asyncio.run(work())


@asking.command("add")
def add_service(name: str) -> None:
    """Give a service a credential. It is shown once, here."""

    async def work(desk: Desk) -> None:
        typer.echo(await introspection.add(desk, name))

    _at_desk(work)


@asking.command("list")
def list_services() -> None:
    """Show the services, without their credentials."""

    async def work(desk: Desk) -> None:
        for service in await introspection.services(desk):
            typer.echo(f"{service.name}  since {rfc3339(service.created_at)}")

    _at_desk(work)


@asking.command("remove")
def remove_service(name: str) -> None:
    """Take a service's credential back, at once."""

    async def work(desk: Desk) -> None:
        await introspection.remove(desk, name)
        typer.echo(f"Removed {name}.")

    _at_desk(work)


def _at_desk(work: Callable[[Desk], Awaitable[None]]) -> None:
    settings = _load()
    logs.configure(settings.log_level)

    async def run() -> None:
        await _check_stores(settings)
        async with desks.opened(settings, Clock()) as desk:
            await work(desk)

    asyncio.run(run())


@app.command("doctor")
def doctor_command() -> None:
    """Check configuration, database and Redis; one line each, with what to do."""
    settings = _load()
    findings = asyncio.run(doctor.examine(settings))
    for finding in findings:
        typer.echo(f"{'ok  ' if finding.ok else 'MEND'}  {finding.about}: {finding.advice}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _load() -> Settings:
    settings = configuration.load()
    configuration.check(settings)
    return settings


def main() -> None:
    """The entry point. What a person can mend ends in one sentence, without a traceback."""
    try:
        app()
    except SettingsError as error:
        sys.exit(f"coatcheck: {error}")
    except Unavailable:
        sys.exit(f"coatcheck: The database does not answer; check {PREFIX}DATABASE_URL.")
    except databases.REFUSALS as refusal:
        sys.exit(f"coatcheck: The database refuses: {refusal}; check {PREFIX}DATABASE_URL.")
    except Problem as problem:
        sys.exit(f"coatcheck: {problem.detail}")
