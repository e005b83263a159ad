"""`vitrina views export`: the history of views, one row per event (R13)."""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Final, NamedTuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from vitrina.cli.running import (
    CommandFailed,
    UsageError,
    load_settings,
    patient_table,
    run,
    standard_output,
    temporary_files,
)
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.domain.reports import DEFAULT_DAYS, Period, days_before
from vitrina.services.exports.directory import Directory, DirectoryRefused, export_days
from vitrina.services.exports.formats import Format, new_encoder
from vitrina.services.exports.source import LiveSource, ViewSource
from vitrina.services.exports.staged import StagedSource
from vitrina.services.exports.stream import Exporter, Progress as Done, Report
from vitrina.store.products import ProductStore
from vitrina.store.table_export import TableExport, TableExportRefused
from vitrina.store.views import ViewStore

_TRIES: Final = 6
"""Of a page, with pauses that grow to half a minute in all: what takes hours outlasts a moment's throttling."""
_DAY: Final = click.DateTime(["%Y-%m-%d"])
_STANDARD_OUTPUT: Final = Path("-")


class _Opened(NamedTuple):
    """What is read, the time of its state if that is known, and when the reading began."""

    source: ViewSource
    at: datetime | None
    began: float


@click.command()
@click.option("--from", "first", type=_DAY, help="First day, UTC.  [default: 29 days before the last]")
@click.option("--to", "last", type=_DAY, help="Last day.  [default: today]")
@click.option(
    "--format",
    "form",
    type=click.Choice(Format, case_sensitive=False),
    default=Format.PARQUET,
    show_default="parquet",
    help="One for each folder.",
)
@click.option(
    "--table-export",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Read the files of an export of the table to S3, in this folder, and not the table.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder, or - for standard output.")
def export(first: datetime | None, last: datetime | None, form: Format, table_export: Path | None, out: Path) -> None:
    """Write the events of days, both among them: a file per day in folders `day=…`, or one file on standard output.

    Run again into the same folder it makes what is missing: days that were not exported, were not closed yet (ended,
    UTC, an hour or more before what was read), or whose file is not what it was. A day that has fewer events now keeps
    its file, and the command ends with 1; with 2 when the days are no range. A product's SKU is what it is now; a
    deleted one's, what it was.
    """
    period = _period(first and first.date(), last and last.date())
    if out == _STANDARD_OUTPUT and form is Format.PARQUET and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal: redirect standard output, or give --out a folder")
    try:
        source = _live(load_settings()) if table_export is None else _exported(table_export, period)
        with temporary_files():
            run(_export(source, period, form, out))
    except (DirectoryRefused, TableExportRefused) as error:
        raise CommandFailed(str(error)) from error


def _period(first: date | None, last: date | None) -> Period:
    today = now().date()
    last = last or today
    if last > today:
        raise UsageError(f"--to: {last} is yet to come; today is {today}, UTC")
    first = first or days_before(last, DEFAULT_DAYS - 1)
    if first > last:
        raise UsageError(f"--from: {first} is after {last}, the last day")
    return Period(first, last)


async def _export(opening: AbstractAsyncContextManager[_Opened], period: Period, form: Format, out: Path) -> None:
    async with opening as opened:
        gc.freeze()  # What was loaded so far stays for good: each look through it would take 40 ms.
        if out == _STANDARD_OUTPUT:
            await _to_standard_output(opened.source, period, form)
        else:
            await _to_folder(opened, period, form, out)


@asynccontextmanager
async def _live(settings: Settings) -> AsyncIterator[_Opened]:
    async with patient_table(settings) as table:
        views = ViewStore(table, retention_days=settings.views_retention_days)
        yield _Opened(LiveSource(views, ProductStore(table), tries=_TRIES), now(), time.perf_counter())


@asynccontextmanager
async def _exported(folder: Path, period: Period) -> AsyncIterator[_Opened]:
    export = TableExport(folder)
    began = time.perf_counter()
    with _bar("reading", export.files, "files") as (progress, task):
        async with StagedSource.load(export, period, advance=lambda: progress.advance(task)) as source:
            progress.stop()
            yield _Opened(source, export.at, began)


async def _to_standard_output(source: ViewSource, period: Period, form: Format) -> None:
    with standard_output() as output, _progress(len(period)) as report, Exporter(source, report=report) as exporter:
        async with aclosing(exporter.stream(period, new_encoder(form))) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(output.write, piece)
        await asyncio.to_thread(output.flush)


async def _to_folder(opened: _Opened, period: Period, form: Format, out: Path) -> None:
    with Directory.open(out, form) as directory:
        days = await asyncio.to_thread(_missing, directory, period)
        with _progress(len(days)) as report, Exporter(opened.source, report=report) as exporter:
            shrunk = await export_days(directory, exporter, days, at=opened.at)
    rate = f", {exporter.rows / (time.perf_counter() - opened.began):,.0f} a second" if exporter.rows else ""
    kept = f"; {len(period) - len(days):,} days were there already" if len(days) < len(period) else ""
    click.echo(f"{out}: {exporter.rows:,} events of {len(days):,} days{rate}{kept}")
    if shrunk:
        names = ", ".join(map(str, shrunk))
        raise CommandFailed(f"kept as they were, for fewer events are there now (another folder takes those): {names}")


def _missing(directory: Directory, period: Period) -> Sequence[date]:
    """Return the days that are to be exported; reads the files that are there."""
    with _bar("checking", len(period)) as (progress, task):
        missing = []
        for day in period:
            if not directory.has(day):
                missing.append(day)
            progress.advance(task)
    return missing


@contextmanager
def _progress(days: int) -> Iterator[Report]:
    """Show how far it is; the time left is judged by how far through its day each segment was stored."""
    began = time.perf_counter()
    with _bar("exporting", days) as (progress, task):

        def report(done: Done) -> None:
            rate = done.rows / (time.perf_counter() - began)
            progress.update(task, completed=done.days, said=f"{done.rows:,} events, {rate:,.0f}/s")

        yield report


@contextmanager
def _bar(what: str, total: int, unit: str = "days") -> Iterator[tuple[Progress, TaskID]]:
    """Show a line: on standard error, and only to a person who watches."""
    console = Console(stderr=True)
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit + " {task.fields[said]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task("", total=total, said="")
