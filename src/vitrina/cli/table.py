"""`vitrina table`: what Alembic is for SQL (R16)."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial

import click

from vitrina.bootstrap import Services
from vitrina.cli import example
from vitrina.cli.progress import progress
from vitrina.cli.running import PATIENCE, CommandFailed, UsageError, json_option, print_result, with_settings
from vitrina.config import Settings
from vitrina.store import consistency, schema
from vitrina.store.definition import INITIAL_THROUGHPUT, KEY, WarmThroughput
from vitrina.store.findings import Finding
from vitrina.store.migrations.ledger import Entry, Lost, State
from vitrina.store.migrations.m0001_baseline import ForeignItems
from vitrina.store.migrations.runner import MIGRATIONS, migrate as run_migrations, refuse_foreign_table, standing
from vitrina.store.schema import SchemaError, TableStatus
from vitrina.store.table import Table


@click.group()
def table() -> None:
    """Create, describe, migrate and check the table VITRINA_TABLE_NAME."""


async def prepare(settings: Settings, report: Callable[[str], None] = lambda _: None) -> bool:
    """Create or update the table and run the migrations; returns whether it is new. Raises CommandFailed."""
    async with _open(settings) as services:
        is_new = await _ensure(services, report)
        await run_migrations(services.table, lambda entry: report(_line(entry)))
    return is_new


async def _ensure(services: Services, report: Callable[[str], None], *, warm: WarmThroughput | None = None) -> bool:
    """Create or update the table, but change none of another application; returns whether it is new."""
    own = partial(refuse_foreign_table, services.table)
    return await schema.ensure(services.clients.writer, services.settings, report, warm=warm, before_change=own)


def _warm_throughput(_: click.Context, __: click.Parameter, value: str | None) -> WarmThroughput | None:
    if value is None:
        return None
    if not re.fullmatch("[0-9]{1,9},[0-9]{1,9}", value):
        raise click.BadParameter("give two numbers, such as 40000,10000")
    warm = WarmThroughput(*map(int, value.split(",")))
    if warm.read < INITIAL_THROUGHPUT.read or warm.write < INITIAL_THROUGHPUT.write:
        raise click.BadParameter(f"each table begins with {INITIAL_THROUGHPUT.read},{INITIAL_THROUGHPUT.write}")
    return warm


@table.command(epilog=example("vitrina table create"))
@click.option(
    "--warm-throughput",
    "warm",
    metavar="READ,WRITE",
    callback=_warm_throughput,
    help="Prepare the table for so many read and write units a second. AWS charges for it once, and never lowers it.",
)
@json_option
@with_settings
async def create(settings: Settings, warm: WarmThroughput | None, *, as_json: bool) -> None:
    """Create the table, or bring an older one up to date; safe to run again."""
    say = partial(click.echo, err=as_json)
    async with _open(settings) as services:
        is_new = await _ensure(services, say, warm=warm)
        baseline, *_ = await standing(services.table)
        if baseline.state is not State.FINISHED:  # the table holds nothing of Vitrina's, whoever created it
            await _run_migrations(services.table, say, again=None)
        waiting = [entry for entry in await standing(services.table) if entry.state is not State.FINISHED]
    text = f"table {settings.table_name} is {'created' if is_new else 'up to date'}"
    if waiting:
        names = ", ".join(f"{entry.number:04d} {entry.name}" for entry in waiting)
        text = f"table {settings.table_name} has its indexes, TTL and stream\n"
        text += f"migrations to run: {names} (vitrina table migrate)"
    result = {"table": settings.table_name, "created": is_new, "migrations_to_run": [entry.number for entry in waiting]}
    print_result(result, text, as_json=as_json)


@table.command(epilog=example("vitrina table status --json"))
@json_option
@with_settings
async def status(settings: Settings, *, as_json: bool) -> None:
    """Describe the table; exit code 1: its definition differs from the expected one, or migrations are due."""
    async with _open(settings) as services:
        found = await schema.status(services.clients.writer, services.settings)
        migrations = await standing(services.table) if found.key == KEY else []
    result = asdict(found) | {"migrations": [asdict(entry) for entry in migrations]}
    text = "\n".join(f"{title:<24}{value}" for title, value in _described(found, migrations))
    print_result(result, text, as_json=as_json)
    if found.differences or any(entry.state is not State.FINISHED for entry in migrations):
        raise click.exceptions.Exit(1)


@table.command(epilog=example("vitrina table migrate"))
@click.option("--again", type=int, metavar="NUMBER", help="Run this migration again.")
@json_option
@with_settings
async def migrate(settings: Settings, again: int | None, *, as_json: bool) -> None:
    """Run the migrations that the table has not had yet; safe to interrupt and to run again."""
    if again is not None and again not in MIGRATIONS:
        raise UsageError(f"there is no migration {again}")
    async with _open(settings) as services:
        await refuse_foreign_table(services.table)
        await _run_migrations(services.table, partial(click.echo, err=as_json), again=again)
        migrations = [asdict(entry) for entry in await standing(services.table)]
    print_result({"migrations": migrations}, f"all {len(MIGRATIONS)} migrations have been run", as_json=as_json)


async def _run_migrations(table: Table, say: Callable[[str], None], *, again: int | None) -> None:
    printed: tuple[int, State] | None = None
    with progress() as display:
        task = display.add_task("", total=None, unit="items")

        def report(entry: Entry) -> None:
            nonlocal printed
            display.update(task, description=f"migration {entry.number:04d} {entry.name}", completed=entry.seen)
            if entry.state is not State.RUNNING and (entry.number, entry.state) != printed:
                printed = entry.number, entry.state
                say(_line(entry))

        await run_migrations(table, report, again=again)


@table.command(epilog=example("vitrina table check --repair"))
@click.option(
    "--repair", "--mend", "repair", is_flag=True, help="Repair each repairable problem, in one transaction each."
)
@json_option
@with_settings
async def check(settings: Settings, *, repair: bool, as_json: bool) -> None:
    """Find SKU, e-mail, deletion and password items that do not match; exit code 1: problems are left to repair."""
    items = 0
    findings: list[Finding] = []
    async with _open(settings) as services:
        baseline, *_ = await standing(services.table)
        if baseline.state is not State.FINISHED:
            raise CommandFailed(f"table {settings.table_name} is not Vitrina's, or needs `vitrina table migrate` first")
        with progress() as display:
            task = display.add_task("Checking", total=None, unit="items")

            def count(more: int) -> None:
                nonlocal items
                items += more
                display.update(task, completed=items)

            async for finding in consistency.check(services.table, repair=repair, progress=count):
                findings.append(finding)
                if not as_json:
                    click.echo(_finding_line(finding))
    counts = Counter(f"{finding.problem} {finding.what}" for finding in findings)
    repaired = sum(finding.repaired for finding in findings)
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "no problems"
    text = f"{items:,} items checked: {kinds}" + (f"; {repaired} repaired" if repair else "")
    result = {"items": items, "found": counts, "repaired": repaired, "findings": [*map(asdict, findings)]}
    print_result(result, text, as_json=as_json)
    if repaired < len(findings):
        raise click.exceptions.Exit(1)


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[Services]:
    """Open the table. Raises CommandFailed when the table or a migration prevents the work."""
    async with Services(settings, patient=PATIENCE) as services:
        try:
            yield services
        except (SchemaError, Lost, ForeignItems) as error:
            raise CommandFailed(str(error)) from error


def _described(found: TableStatus, migrations: list[Entry]) -> list[tuple[str, str]]:
    return [
        ("table", found.name),
        ("state", f"{found.state}, {found.items:,} items, {found.size:,} bytes (as counted in the last six hours)"),
        ("billing", found.billing),
        ("warm throughput", found.warm_throughput),
        *((f"index {name}", state) for name, state in found.indexes.items()),
        ("stream", found.stream),
        ("TTL", found.ttl),
        ("point-in-time recovery", found.point_in_time_recovery),
        ("deletion protection", found.deletion_protection),
        *((f"migration {entry.number:04d}", f"{entry.name}: {_standing(entry)}") for entry in migrations),
        *((f"note of {entry.number:04d}", note) for entry in migrations for note in entry.notes),
        *(("differs", difference) for difference in found.differences),
    ]


def _line(entry: Entry) -> str:
    return "\n  ".join([f"migration {entry.number:04d} {entry.name}: {_standing(entry)}", *entry.notes])


def _standing(entry: Entry) -> str:
    return f"{entry.state}, {entry.seen:,} items checked, {entry.changed:,} changed"


def _finding_line(finding: Finding) -> str:
    return f"{'repaired' if finding.repaired else 'found'}: {finding.problem} {finding.what}: {finding.detail}"
