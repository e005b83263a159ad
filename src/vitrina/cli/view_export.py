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

from vitrina.bootstrap import Services
from vitrina.cli.progress import progress
from vitrina.cli.running import (
    PATIENCE,
    CommandFailed,
    UsageError,
    load_settings,
    run,
    standard_output,
    temporary_files,
)
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.domain.reports import DEFAULT_DAYS, Period, days_before
from vitrina.services.exports.directory import Directory, DirectoryRefused, export_days
from vitrina.services.exports.formats import Format, new_encoder
from vitrina.services.exports.source import ViewSource
from vitrina.services.exports.staged import StagedSource
from vitrina.services.exports.stream import Exporter, Progress as Done, Report
from vitrina.store.table_export import TableExport, TableExportRefused

_TRIES: Final = 6
"""Tries per page, with growing pauses of half a minute in all: an export of hours must survive brief throttling."""
_DAY: Final = click.DateTime(["%Y-%m-%d"])
_STANDARD_OUTPUT: Final = Path("-")


class _Opened(NamedTuple):
    """The source of views, the time of the state it reads (None: unknown), and when the reading began."""

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
    help="A folder holds one format.",
)
@click.option(
    "--table-export",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Read a DynamoDB export to S3, downloaded to this folder, instead of the table.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A folder, or - for standard output.")
def export(first: datetime | None, last: datetime | None, form: Format, table_export: Path | None, out: Path) -> None:
    """Write the views of a range of days: a file per day in folders `day=…`, or one file on standard output.

    A second run into the same folder adds the missing days: those not exported yet, those that were still open when
    read (a day closes an hour after its end, UTC), and those whose file is damaged. A day that now has fewer views
    keeps its file, and the exit code is 1. It is 2 when the range is invalid. Each row has the product's current SKU,
    or the last SKU of a deleted product.
    """
    period = _period(first and first.date(), last and last.date())
    if out == _STANDARD_OUTPUT and form is Format.PARQUET and sys.stdout.isatty():
        raise UsageError("a terminal cannot show Parquet: redirect standard output, or give --out a folder")
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
        raise UsageError(f"--to: {last} is in the future; today is {today}, UTC")
    first = first or days_before(last, DEFAULT_DAYS - 1)
    if first > last:
        raise UsageError(f"--from: {first} is after the last day, {last}")
    return Period(first, last)


async def _export(opening: AbstractAsyncContextManager[_Opened], period: Period, form: Format, out: Path) -> None:
    async with opening as opened:
        gc.freeze()  # Modules loaded so far live until the end; scanning them costs 40 ms per collection.
        if out == _STANDARD_OUTPUT:
            await _to_standard_output(opened.source, period, form)
        else:
            await _to_folder(opened, period, form, out)


@asynccontextmanager
async def _live(settings: Settings) -> AsyncIterator[_Opened]:
    async with Services(settings, patient=PATIENCE) as services:
        yield _Opened(services.view_source(tries=_TRIES), now(), time.perf_counter())


@asynccontextmanager
async def _exported(folder: Path, period: Period) -> AsyncIterator[_Opened]:
    export = TableExport(folder)
    began = time.perf_counter()
    with progress() as display:
        task = display.add_task("Reading", total=export.files, unit="files")
        async with StagedSource.load(export, period, advance=lambda: display.advance(task)) as source:
            display.stop()
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
    kept = f"; {len(period) - len(days):,} days were complete already" if len(days) < len(period) else ""
    click.echo(f"{out}: {exporter.rows:,} events of {len(days):,} days{rate}{kept}")
    if shrunk:
        names = ", ".join(map(str, shrunk))
        raise CommandFailed(f"days that now have fewer events keep their files (export to another folder): {names}")


def _missing(directory: Directory, period: Period) -> Sequence[date]:
    """Return the days to export; reads the files that exist."""
    with progress() as display:
        return [day for day in display.track(period, description="Checking") if not directory.has(day)]


@contextmanager
def _progress(days: int) -> Iterator[Report]:
    """Show progress in days; within a day, it is estimated from the times at which its segments were stored."""
    began = time.perf_counter()
    with progress() as display:
        task = display.add_task("Exporting", total=days, unit="days")

        def report(done: Done) -> None:
            rate = done.rows / (time.perf_counter() - began)
            display.update(task, completed=done.days, detail=f"{done.rows:,} events, {rate:,.0f}/s")

        yield report
