"""`vitrina views export`: the history of views, one row per event (R13)."""

import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Final, NamedTuple

import click

from vitrina.bootstrap import Services, open_place
from vitrina.cli import example
from vitrina.cli.exporting import (
    STANDARD_OUTPUT,
    TRIES,
    check_order,
    exporting,
    format_option,
    last_day,
    out_option,
    to_standard_output,
)
from vitrina.cli.progress import progress
from vitrina.cli.running import DAY, PATIENCE, CommandFailed, UsageError, json_option, load_settings, print_result, run
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.domain.reports import DEFAULT_DAYS, Format, Period, days_before, is_closed
from vitrina.services.concurrency import gather
from vitrina.services.exports.dataset import VIEWS, Dataset
from vitrina.services.exports.formats import new_encoder
from vitrina.services.exports.source import ViewSource
from vitrina.services.exports.staged import StagedSource
from vitrina.services.exports.stream import Exporter, Progress as Done, Report
from vitrina.store.table_export import TableExport

_CHECKS_AT_ONCE: Final = 8
"""Days of which it is checked concurrently whether their file is unchanged."""


class _Days(NamedTuple):
    """The days that were asked for. With `new`, those that are closed and missing, from the first with data."""

    first: date | None
    last: date
    new: bool
    again: bool

    @property
    def period(self) -> Period:
        """The days from the first to the last; with `new`, from any."""
        default = date.min if self.new else days_before(self.last, DEFAULT_DAYS - 1)
        return Period(self.first or default, self.last)


class _Opened(NamedTuple):
    """The source of views, what returns the time of the state it reads (None: unknown), and when the reading began."""

    source: ViewSource
    time: Callable[[], Awaitable[datetime | None]]
    began: float


@click.command(epilog=example("vitrina views export --new --out exports"))
@click.option(
    "--from", "first", type=DAY, help="First day, UTC.  [default: 29 days before the last; --new: the first with data]"
)
@click.option("--to", "last", type=DAY, help="Last day.  [default: today]")
@click.option("--new", is_flag=True, help="Export the closed days that are missing, and no others: for a daily job.")
@click.option("--again", is_flag=True, help="Export complete days once more, with the present SKUs.")
@format_option
@click.option(
    "--table-export",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Read a DynamoDB export to S3, downloaded to this folder, instead of the table.",
)
@out_option
@json_option
def export(
    first: datetime | None,
    last: datetime | None,
    *,
    new: bool,
    again: bool,
    form: Format,
    table_export: Path | None,
    out: str,
    as_json: bool,
) -> None:
    """Write the views of days: a file per day in `views/day=…`, or one file on standard output.

    A second run to the same place adds the missing days: those not exported yet, those that were still open when read
    (a day closes an hour after its end, UTC), those that got views later, after an outage of the table, and those whose
    file is damaged. A day that now has fewer views keeps its file, and the exit code is 1, once. It is 2 when the range
    is invalid. Each row has the product's current SKU, or the last SKU of a deleted product.
    """
    days = _Days(first and first.date(), last_day(last and last.date()), new, again)
    check_order(days.period.first, days.last)
    if new and (again or out == STANDARD_OUTPUT):
        raise UsageError("--new needs the manifest of a place, and goes with neither --again nor standard output")
    settings = load_settings()
    with exporting(out, form, as_json=as_json):
        opening = _live(settings) if table_export is None else _exported(table_export, days.period)
        run(_export(settings, opening, days, form, out, as_json=as_json))


async def _export(
    settings: Settings,
    opening: AbstractAsyncContextManager[_Opened],
    days: _Days,
    form: Format,
    out: str,
    *,
    as_json: bool,
) -> None:
    async with opening as opened:
        gc.freeze()  # Modules loaded so far live until the end; scanning them costs 40 ms per collection.
        if out == STANDARD_OUTPUT:
            with _progress(len(days.period)) as report, Exporter(opened.source, report=report) as exporter:
                await to_standard_output(exporter.stream(days.period, new_encoder(form)))
        else:
            async with open_place(settings, out, VIEWS) as place, Dataset.open(place, form) as dataset:
                await _to_place(opened, days, dataset, out, as_json=as_json)


@asynccontextmanager
async def _live(settings: Settings) -> AsyncIterator[_Opened]:
    async with Services(settings, patient=PATIENCE) as services:
        yield _Opened(services.view_source(tries=TRIES), services.closing_time, time.perf_counter())


@asynccontextmanager
async def _exported(folder: Path, period: Period) -> AsyncIterator[_Opened]:
    export = TableExport(folder)
    began = time.perf_counter()

    async def time_of_export() -> datetime | None:
        return export.at

    with progress() as display:
        task = display.add_task("Reading", total=export.files, unit="files")
        async with StagedSource.load(export, period, advance=lambda: display.advance(task)) as source:
            display.stop()
            yield _Opened(source, time_of_export, began)


async def _to_place(opened: _Opened, days: _Days, dataset: Dataset, out: str, *, as_json: bool) -> None:
    at = await opened.time()
    wanted = await _closed(opened, days, at or now()) if days.new else list(days.period)
    generations = await opened.source.generations(Period(wanted[0], wanted[-1])) if wanted else {}
    missing = await _missing(dataset, days, wanted, generations)
    with _progress(len(missing)) as report, Exporter(opened.source, report=report) as exporter:
        shrunk = await dataset.export(exporter, missing, at=at, generations=generations)
    rate = f", {exporter.rows / (time.perf_counter() - opened.began):,.0f} a second" if exporter.rows else ""
    complete = len(wanted) - len(missing)
    kept = f"; {complete:,} days were complete already" if complete else ""
    result = {"out": out, "events": exporter.rows, "days": missing, "complete": complete, "kept": shrunk}
    print_result(result, f"{out}: {exporter.rows:,} events of {len(missing):,} days{rate}{kept}", as_json=as_json)
    if shrunk:
        names = ", ".join(map(str, shrunk))
        raise CommandFailed(f"days that now have fewer events keep their files (export to another place): {names}")


async def _closed(opened: _Opened, days: _Days, at: datetime) -> list[date]:
    """Return the closed days from the first with data."""
    first = days.first or await opened.source.first_day()
    return [] if first is None else [day for day in Period(first, days.last) if is_closed(day, at)]


async def _missing(dataset: Dataset, days: _Days, wanted: list[date], generations: Mapping[date, str]) -> list[date]:
    """Return the days to export. `--new` relies on the manifest; otherwise the files that exist are checked."""
    if days.again:
        return wanted
    if days.new:
        return [day for day in wanted if not dataset.is_closed(day, generation=generations.get(day))]
    with progress() as display:
        task = display.add_task("Checking", total=len(wanted), unit="days")

        async def has(day: date) -> bool:
            found = await dataset.has(day, generation=generations.get(day))
            display.advance(task)
            return found

        complete = await gather(map(has, wanted), at_once=_CHECKS_AT_ONCE)
    return [day for day, found in zip(wanted, complete, strict=True) if not found]


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
