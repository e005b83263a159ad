"""`vitrina views rollup` and `vitrina views report`: closed days counted once, and a page of plots."""

import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vitrina.cli.running import CommandFailed, UsageError, load_settings, patient_table, run, temporary_files
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.domain.reports import GRACE, MOST_DAYS, Period, days_before
from vitrina.errors import ValidationFailed
from vitrina.services.analytics.report.data import ReportReader
from vitrina.services.analytics.report.page import render
from vitrina.services.analytics.rollups import Rollups, SegmentsGone
from vitrina.store.products import ProductStore
from vitrina.store.rollups import RollupStore
from vitrina.store.views import ViewStore

_SHARDS_AT_ONCE: Final = 3
_DAY: Final = click.DateTime(["%Y-%m-%d"])


@dataclass(frozen=True, slots=True)
class _Opened:
    store: RollupStore
    rollups: Rollups
    products: ProductStore


@click.command()
@click.option("--from", "first", type=_DAY, help="First day, UTC.  [default: the oldest that is kept, of 366 days]")
@click.option("--to", "last", type=_DAY, help="Last day.  [default: the last one that is closed]")
@click.option("--again", is_flag=True, help="Count also the days that are rolled up.")
def rollup(first: datetime | None, last: datetime | None, *, again: bool) -> None:
    """Count closed days (ended, UTC, an hour ago or more) once, for reports to read. Run it every day.

    Days that are rolled up are passed over; a run that was interrupted goes on where it was. Ends with 1 when a day
    can't be counted again since its segments are gone; what was counted before stays.
    """
    last_closed = _last_closed()
    until = last.date() if last else last_closed
    if until > last_closed:
        raise UsageError(f"--to: {until} is not closed; the last day that is is {last_closed}")
    settings = load_settings()
    since = first.date() if first else _first_held(settings, until)
    if since > until:
        raise UsageError(f"--from: {since} is after {until}, the last day")
    with temporary_files():
        run(_rollup(settings, Period(since, until), again=again))


@click.command()
@click.option("--from", "first", type=_DAY, help="First day, UTC.  [default: 29 days before the last]")
@click.option("--to", "last", type=_DAY, help="Last day, up to 366 days in all.  [default: today]")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
def report(first: datetime | None, last: datetime | None, out: Path) -> None:
    """Write a page of plots, one file that opens with no network; closed days are rolled up if they are not yet."""
    try:
        period = Period.of(first and first.date(), last and last.date(), today=now().date())
    except ValidationFailed as error:
        raise UsageError(f"--from: {error.errors[0].detail}") from error
    with temporary_files():
        run(_report(load_settings(), period, out))


def _last_closed() -> date:
    return days_before((now() - GRACE).date(), 1)


def _first_held(settings: Settings, until: date) -> date:
    """Return the first day that reports may ask for and whose segments are all still there."""
    first = days_before(until, MOST_DAYS - 1)
    if not settings.views_retention_days:
        return first
    return min(max(first, days_before(now().date(), settings.views_retention_days)), until)


async def _rollup(settings: Settings, period: Period, *, again: bool) -> None:
    events = days = 0
    kept: list[str] = []
    began = time.perf_counter()
    async with _open(settings) as opened:
        with _progress("views") as progress:
            task = progress.add_task("", total=len(period), views=0)

            def count(more: int) -> None:
                nonlocal events
                events += more
                progress.update(task, views=events)

            for day in period:
                progress.update(task, description=f"{day}")
                try:
                    days += await opened.rollups.roll_up(day, again=again, at_once=_SHARDS_AT_ONCE, advance=count)
                except SegmentsGone:
                    kept.append(f"{day}")
                progress.advance(task)
        seconds = time.perf_counter() - began
        await _warn(settings, opened.store)
    rate = f", {events / seconds:,.0f} a second" if events else ""
    click.echo(f"{period.first} to {period.last}: {days:,} days rolled up, {events:,} views counted{rate}")
    if kept:
        raise CommandFailed(f"kept as they were, for segments of theirs are gone: {', '.join(kept)}")


async def _warn(settings: Settings, store: RollupStore) -> None:
    """Say which days will soon have no segments and have no rollup either."""
    if not settings.views_retention_days:
        return
    held = Period(_first_held(settings, _last_closed()), _last_closed())
    rolled_up = await store.totals(held)
    missing = [day for day in held if day not in rolled_up]
    if missing:
        click.echo(
            f"warning: {len(missing)} days from {missing[0]} on are not rolled up; views_retention_days is "
            f"{settings.views_retention_days}, and a day whose segments have gone can't be counted any more "
            f"(vitrina views rollup --from {missing[0]})",
            err=True,
        )


async def _report(settings: Settings, period: Period, out: Path) -> None:
    async with _open(settings) as opened:
        with _progress() as progress:
            task = progress.add_task("Days", total=len(period))
            reader = ReportReader(opened.store, opened.products, opened.rollups)
            data = await reader.read(period, day_done=lambda: progress.advance(task))
    page = render(data, made_at=now())
    try:
        _write_whole(out, page)
    except OSError as error:
        raise CommandFailed(f"cannot write {out}: {error.strerror}") from error
    click.echo(f"{out}: {len(page.encode()):,} bytes, {sum(day.total.views for day in data.days):,} views")


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[_Opened]:
    async with patient_table(settings) as table:
        store = RollupStore(table)
        views = ViewStore(table, retention_days=settings.views_retention_days)
        yield _Opened(store, Rollups(views, store), ProductStore(table))


def _progress(*counted: str) -> Progress:
    """Return a progress line: on standard error, and only for a person who watches."""
    console = Console(stderr=True)
    counts = (TextColumn(f"{{task.fields[{name}]:,}} {name}") for name in counted)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *counts, TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
