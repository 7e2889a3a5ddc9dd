"""`coatcheck`: serve, migrate, keys, accounts, services, audit, why, doctor. A mistake ends in one sentence."""

import asyncio
import errno
import json
import os
import socket
import sys
from dataclasses import asdict
from typing import Annotated

import typer
import uvicorn

from . import __version__, cgroup, database_roles, doctor, introspection, logs, metrics, migrate, why
from . import db as databases
from . import settings as configuration
from .cli_accounts import people
from .cli_audit import audit
from .cli_keys import keys
from .cli_start import Opened, at_database, at_desk, check_stores, load, name_database
from .clock import rfc3339
from .desk import Desk
from .errors import Problem, Unavailable
from .settings import PREFIX, SettingsError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(keys, name="keys")
app.add_typer(people, name="accounts")
asking = typer.Typer(no_args_is_help=True, help="The services that may introspect access tokens.")
app.add_typer(asking, name="services")
app.add_typer(audit, name="audit")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65_535)] = 8000,
    workers: Annotated[int, typer.Option(help="Processes; more than one needs PostgreSQL and Redis.", min=1)] = 1,
) -> None:
    """Serve the API, and the app at /."""
    settings = load()
    if "public_url" not in settings.model_fields_set:  # in the environment, for the workers to read
        os.environ[f"{PREFIX}PUBLIC_URL"] = f"http://localhost:{port}"
        settings = load()
    if (
        workers > 1 and "hash_workers" not in settings.model_fields_set
    ):  # here alone it is known how many share the CPUs
        share = cgroup.hash_workers(settings.argon2_memory_kib, workers)
        os.environ[f"{PREFIX}HASH_WORKERS"] = str(share)
        settings = load()
    logs.configure(settings.log_level)
    for warning in configuration.check(settings, workers):
        logs.say(f"Warning: {warning}")
    for name in configuration.unknown():
        logs.say(f"Warning: {doctor.misspelt(name)}")
    _check_port(host, port)
    asyncio.run(check_stores(settings))
    logs.say(f"Coatcheck {__version__} · open {settings.public_url} · stop with Ctrl-C")
    with metrics.listening(settings):
        uvicorn.run(
            "coatcheck.app:from_environment",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            loop="uvloop",
            http=f"coatcheck.routes.protocol:{'ProxiedProtocol' if settings.trusted_proxies else 'Protocol'}",
            ws="none",
            proxy_headers=False,  # we read X-Forwarded-For ourselves, from TRUSTED_PROXIES only
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=10,  # compose.yaml gives 15
        )


def _check_port(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"of {host} can't be used"
        raise SettingsError(f"Port {port} {why}; choose another: --port, or make run PORT=...") from None


@app.command("migrate")
def migrate_command(
    grant: Annotated[str | None, typer.Option(help="The server's database role, to be given what it needs.")] = None,
) -> None:
    """Bring the database to this release's tables."""
    settings = load()
    asyncio.run(migrate.upgrade(settings))
    if grant:
        asyncio.run(database_roles.grant(settings, grant))
    typer.echo("The database is up to date.")
    name_database(settings)


@app.command("grants")
def show_grants(role: str) -> None:
    """Show the SQL that gives the server's database role what it needs, and no more; `migrate --grant` runs it."""
    for statement in database_roles.statements(role):
        typer.echo(f"{statement};")


@app.command("why")
def why_signed_out(
    email: str, last: Annotated[int, typer.Option(help="How many endings to tell of.", min=1, max=100)] = 5
) -> None:
    """Tell why this person was signed out, from the audit log."""

    async def work(at: Opened) -> None:
        for line in await why.explain(at.db, email, last):
            typer.echo(line)

    at_database(work)


@asking.command("add")
def add_service(name: str) -> None:
    """Give a service a credential. It is shown once, here."""

    async def work(desk: Desk) -> None:
        typer.echo(await introspection.add(desk, name))

    at_desk(work)


@asking.command("list")
def list_services() -> None:
    """Show the services, without their credentials."""

    async def work(desk: Desk) -> None:
        for service in await introspection.services(desk):
            typer.echo(f"{service.name}  since {rfc3339(service.created_at)}")

    at_desk(work)


@asking.command("remove")
def remove_service(name: str) -> None:
    """Take a service's credential back, at once."""

    async def work(desk: Desk) -> None:
        await introspection.remove(desk, name)
        typer.echo(f"Removed {name}.")

    at_desk(work)


@app.command("doctor")
def doctor_command(
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list of about, level, advice.")] = False,
) -> None:
    """Check configuration, database and Redis; one line each, with what to do."""
    findings = asyncio.run(doctor.examine(load()))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            word = finding.level if finding.level == "ok" else finding.level.upper()
            typer.echo(f"{word:4}  {finding.about}: {finding.advice}")
    if any(finding.level == "mend" for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """The entry point. What a person can mend ends in one sentence, without a traceback."""
    try:
        app()
    except SettingsError as error:
        sys.exit(f"coatcheck: {error}")
    except Unavailable as outage:
        why = f" ({type(databases.drivers_own(outage.__cause__)).__name__})" if outage.__cause__ else ""
        sys.exit(f"coatcheck: The database does not answer{why}; check {PREFIX}DATABASE_URL.")
    except databases.REFUSALS as refusal:
        said = str(databases.drivers_own(refusal)).partition("\n")[0]
        sys.exit(f"coatcheck: The database refuses: {said}; check {PREFIX}DATABASE_URL.")
    except Problem as problem:
        sys.exit(f"coatcheck: {problem.detail}")
