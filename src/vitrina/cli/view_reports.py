"""`vitrina views rollup` counts closed days; `vitrina views report` writes a page of charts."""

import time
from datetime import date, datetime
from pathlib import Path
from typing import Final

import click

from vitrina.bootstrap import Services
from vitrina.cli import example
from vitrina.cli.progress import progress
from vitrina.cli.running import (
    DAY,
    PATIENCE,
    CommandFailed,
    UsageError,
    json_option,
    load_settings,
    output_file,
    print_result,
    run,
    temporary_files,
)
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.domain.reports import GRACE, MOST_DAYS, Period, days_before
from vitrina.errors import ValidationFailed
from vitrina.services.analytics.report.data import read_report
from vitrina.services.analytics.report.page import render
from vitrina.services.analytics.rollups import DayOpen, SegmentsGone
from vitrina.store.rollups import RollupStore

_SHARDS_AT_ONCE: Final = 3


@click.command(epilog=example("vitrina views rollup --from 2025-11-01 --to 2025-11-07"))
@click.option(
    "--from", "first", type=DAY, help="First day, UTC.  [default: the oldest of the last 366 whose views are kept]"
)
@click.option("--to", "last", type=DAY, help="Last day.  [default: the last closed day]")
@click.option("--again", is_flag=True, help="Count the days again that are already rolled up.")
@json_option
def rollup(first: datetime | None, last: datetime | None, *, again: bool, as_json: bool) -> None:
    """Count the views of closed days, once, so that reports need not. Run this command every day.

    A day closes an hour after its end, UTC. Days already rolled up are skipped, so an interrupted run can be run again.
    A day that can't be counted again because its views have expired keeps its earlier count. Without `--again` that
    is a warning, once: views of the day were stored late. With it the exit code is 1.
    """
    last_closed = _last_closed()
    until = last.date() if last else last_closed
    if until > last_closed:
        raise UsageError(f"--to: {until} is not closed yet; the last closed day is {last_closed}")
    settings = load_settings()
    since = first.date() if first else _first_held(settings, until)
    if since > until:
        raise UsageError(f"--from: {since} is after the last day, {until}")
    with temporary_files():
        run(_rollup(settings, Period(since, until), again=again, as_json=as_json))


@click.command(epilog=example("vitrina views report --out report.html"))
@click.option("--from", "first", type=DAY, help="First day, UTC.  [default: 29 days before the last]")
@click.option("--to", "last", type=DAY, help="Last day, up to 366 days in all.  [default: today]")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
@json_option
def report(first: datetime | None, last: datetime | None, out: Path, *, as_json: bool) -> None:
    """Write a page of charts as one HTML file that needs no network; rolls up closed days that are not rolled up."""
    try:
        period = Period.of(first and first.date(), last and last.date(), today=now().date())
    except ValidationFailed as error:
        raise UsageError(f"--from: {error.errors[0].detail}") from error
    if period.first > now().date():
        raise UsageError(f"--from: {period.first} is in the future")
    with temporary_files():
        run(_report(load_settings(), period, out, as_json=as_json))


def _last_closed() -> date:
    return days_before((now() - GRACE).date(), 1)


def _first_held(settings: Settings, until: date) -> date:
    """Return the first day that a report can include and whose segments have not expired."""
    first = days_before(until, MOST_DAYS - 1)
    if not settings.views_retention_days:
        return first
    return min(max(first, days_before(now().date(), settings.views_retention_days)), until)


async def _rollup(settings: Settings, period: Period, *, again: bool, as_json: bool) -> None:
    views = days = 0
    expired: list[str] = []
    began = time.perf_counter()
    async with Services(settings, patient=PATIENCE) as services:
        with progress() as display:
            task = display.add_task("", total=len(period), unit="days")

            def count(more: int) -> None:
                nonlocal views
                views += more
                display.update(task, detail=f"{views:,} views")

            for day in period:
                display.update(task, description=f"{day}")
                try:
                    days += await services.rollups.roll_up(day, again=again, at_once=_SHARDS_AT_ONCE, advance=count)
                except SegmentsGone:
                    expired.append(f"{day}")
                except DayOpen as error:
                    raise CommandFailed(f"{day} is not closed by the table's clock: this machine's is ahead") from error
                display.advance(task)
        seconds = time.perf_counter() - began
        await _warn(settings, services.rollup_store, period)
    rate = f", {views / seconds:,.0f} a second" if views else ""
    text = f"{period.first} to {period.last}: {days:,} days rolled up, {views:,} views counted{rate}"
    result = {"from": period.first, "to": period.last, "days": days, "views": views, "expired": expired}
    print_result(result, text, as_json=as_json)
    if expired and again:
        raise CommandFailed(f"days whose views have expired keep their counts: {', '.join(expired)}")
    if expired:
        click.echo(
            f"warning: days with views that were stored late, and had expired before they were counted, keep their "
            f"counts: {', '.join(expired)}",
            err=True,
        )


async def _warn(settings: Settings, store: RollupStore, done: Period) -> None:
    """Warn of days without a rollup, whose segments will expire; those of `done` may not be seen yet."""
    if not settings.views_retention_days:
        return
    held = Period(_first_held(settings, _last_closed()), _last_closed())
    rolled_up = await store.totals(held)
    missing = [day for day in held if day not in rolled_up and not done.first <= day <= done.last]
    if missing:
        click.echo(
            f"warning: {len(missing)} days from {missing[0]} on are not rolled up; views expire after "
            f"VITRINA_VIEWS_RETENTION_DAYS={settings.views_retention_days} and can't be counted after that "
            f"(vitrina views rollup --from {missing[0]})",
            err=True,
        )


async def _report(settings: Settings, period: Period, out: Path, *, as_json: bool) -> None:
    async with Services(settings, patient=PATIENCE) as services:
        with progress() as display:
            task = display.add_task("Reading", total=len(period), unit="days")
            data = await read_report(
                services.rollup_store,
                services.product_store,
                services.product_listings,
                services.rollups,
                period,
                day_done=lambda: display.advance(task),
            )
    page = render(data).encode()
    with output_file(out) as file:
        file.write(page)
    views = sum(day.total.views for day in data.days)
    result = {"out": out, "bytes": len(page), "views": views}
    print_result(result, f"{out}: {len(page):,} bytes, {views:,} views", as_json=as_json)
