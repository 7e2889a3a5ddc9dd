"""`coatcheck audit`: whether the log of security events is as it was written, and removing what is old."""

import asyncio
from re import fullmatch
from typing import Annotated

import typer

from . import audit_retention, audit_verify
from .audit_verify import Report
from .cli_start import Opened, at_database, check_stores, load, name_database, opened
from .settings import Settings, SettingsError

audit = typer.Typer(no_args_is_help=True, help="The log of security events.")


@audit.command("verify")
def verify_audit(
    head: Annotated[str | None, typer.Option(help="A head noted down earlier, to find a cut tail.")] = None,
) -> None:
    """Find edited, removed, inserted and reordered events."""
    if head and not fullmatch(r"[0-9]{1,18}:[0-9a-f]{64}", head):
        raise SettingsError("A head is written as `coatcheck audit verify` shows it: position:hash.")
    report = asyncio.run(_verified(load(), head))
    for finding in report.findings:
        typer.echo(f"FOUND  {finding}")
    if report.untold:
        typer.echo(f"FOUND  {report.untold} more")
    typer.echo(f"{report.events} events, {report.waiting} of them about to be linked. Note the head: {report.head}")
    if report.findings:
        raise typer.Exit(1)


async def _verified(settings: Settings, head: str | None) -> Report:
    await check_stores(settings)
    async with opened(settings) as at:
        report = await audit_verify.verify(settings, at.clock, head)
    name_database(settings)
    return report


@audit.command("prune")
def prune_audit() -> None:
    """Remove events older than AUDIT_RETENTION. On PostgreSQL, run it as the owner of the tables."""

    async def work(at: Opened) -> None:
        removed = await audit_retention.prune(at.settings, at.db, at.roots, at.clock)
        typer.echo(f"Removed {removed} events older than {at.settings.audit_retention} days.")

    at_database(work)
