"""Reports of views (R12): closed days from rollups, the open day from its segments, and a rollup beside a bare loop."""

import re
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from rich.progress import Progress

from scripts.benchmarks import catalogue
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.history import bare_loop, fill, run_vitrina
from scripts.benchmarks.service import Service, create_table, service, settings_for
from scripts.devstack.engines import dynamodb_local
from vitrina.config import Settings
from vitrina.domain.reports import GRACE
from vitrina.store import keys

MANY: Final = 1_000_000
GROWTH: Final = 4
OPEN_DAY: Final = 100_000
CLOSED_DAYS: Final = 30
ROUNDS: Final = 3
REPORTS: Final = 60
GATHERED: Final = (1, 14)
"""Readers per flush on an open day: 1, and as many as 32 connections over 1,000 products produce."""
AT_ONCE: Final = 3
"""Shards that the bare loop reads in parallel, as the rollup does."""
PAGE_BYTES: Final = 1 << 20
BLOCK_BYTES: Final = 4096
OVERHEAD: Final = 3
"""Read units of a report that are not for views: those of the caller and the product."""
_COUNTED: Final = re.compile(r"([\d,]+) views counted, ([\d,]+) a second")


async def measure(folder: Path, progress: Progress) -> Report:
    """Fill a day with a million views, 30 days with a million in all, and today; then roll up and report."""
    report = Report("reports")
    async with dynamodb_local() as endpoint:
        settings = settings_for(endpoint, "vitrina", read_timeout=10.0)
        await create_table(settings)
        await catalogue.load(settings, catalogue.BASE, advance=lambda _: None)
        today = datetime.now(UTC).date()
        not_closed = (datetime.now(UTC) - GRACE).date()  # In the first hour of a day the one before, too.
        large = not_closed - timedelta(days=CLOSED_DAYS + 1)
        larger = large - timedelta(days=1)
        closed = [not_closed - timedelta(days=days) for days in range(CLOSED_DAYS, 0, -1)]
        sizes = {large: MANY, larger: GROWTH * MANY} | dict.fromkeys(closed, MANY // CLOSED_DAYS) | {today: OPEN_DAY}
        await fill(settings, sizes, progress)
        await _measure_rollup(report, settings, large, larger, progress)
        await run_vitrina(settings, "views", "rollup", "--from", f"{closed[0]}", "--to", f"{closed[-1]}")
        async with service("vitrina", settings, folder=folder) as vitrina:
            await _measure_reports(report, vitrina, closed, today)
    for together in GATHERED:
        async with dynamodb_local() as endpoint:
            await _measure_open_day(report, endpoint, together, folder, progress)
    return report


async def _measure_rollup(report: Report, settings: Settings, day: date, larger: date, progress: Progress) -> None:
    task = progress.add_task("rollup", total=ROUNDS + 1)

    async def roll_up(of: date, events: int) -> tuple[float, float]:
        """Return the events per second and the peak memory in MB."""
        output, peak = await run_vitrina(settings, "views", "rollup", "--from", f"{of}", "--to", f"{of}", "--again")
        match = _COUNTED.search(output)
        if match is None or int(match[1].replace(",", "")) != events:
            raise RuntimeError(f"the rollup did not count {events:,} views: {output}")
        return float(match[2].replace(",", "")), peak

    bare: list[float] = []
    rounds: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        bare.append(await bare_loop(settings, day, at_once=AT_ONCE))
        rounds.append(await roll_up(day, MANY))
        progress.advance(task)
    peak = max(peak for _, peak in rounds)
    _, larger_peak = await roll_up(larger, GROWTH * MANY)
    progress.advance(task)
    ratios = [rate / its for (rate, _), its in zip(rounds, bare, strict=True)]
    report.add(
        Figure(name="bare loop: events a second", value=statistics.median(bare)),
        Figure(name=f"rollup of {MANY:,} events: events a second", value=statistics.median(rate for rate, _ in rounds)),
        Figure(name="rollup, times the bare loop's rate", value=statistics.median(ratios)),
        Figure(name=f"rollup of {MANY:,} events: peak memory, MB", value=peak, at_most=250),
        Figure(name=f"rollup of {GROWTH} times the events: times the memory", value=larger_peak / peak, at_most=1.1),
    )


async def _measure_reports(report: Report, vitrina: Service, closed: Sequence[date], today: date) -> None:
    token = await vitrina.sign_in()
    for name, path in [
        ("a middling product", f"/v1/products/{catalogue.product_id(100)}/views?from={closed[0]}&to={closed[-1]}"),
        ("the top products", f"/v1/analytics/top-products?from={closed[0]}&to={closed[-1]}"),
    ]:
        p50, units = await _asked(vitrina, path, token)
        of_product = name == "a middling product"
        report.add(
            Figure(name=f"{name}, 30 closed days: p50, ms", value=p50, at_most=50 if of_product else None),
            Figure(name=f"{name}, 30 closed days: RCU", value=units),
        )
    hot = catalogue.product_id(0)
    p50, units = await _asked(vitrina, f"/v1/products/{hot}/views?from={today}&to={today}", token)
    size = OPEN_DAY * 35 * 1.02 / keys.VIEW_SHARDS
    report.add(
        Figure(name="a hot product, the open day of 100,000: p50, ms", value=p50),
        Figure(
            name="a hot product, the open day of 100,000: RCU",
            value=units,
            at_most=OVERHEAD + (size + PAGE_BYTES) / BLOCK_BYTES / 2,
        ),
    )


async def _measure_open_day(report: Report, endpoint: str, together: int, folder: Path, progress: Progress) -> None:
    """Request the open day of a product whose views do not fill their segments."""
    settings = settings_for(endpoint, f"gathered-{together}", read_timeout=10.0)
    await create_table(settings)
    await catalogue.load(settings, catalogue.BASE, advance=lambda _: None)
    today = datetime.now(UTC).date()
    await fill(settings, {today: OPEN_DAY}, progress, together=together)
    async with service(settings.table_name, settings, folder=folder) as vitrina:
        path = f"/v1/products/{catalogue.product_id(0)}/views?from={today}&to={today}"
        p50, units = await _asked(vitrina, path, await vitrina.sign_in())
    report.add(
        Figure(name=f"… that came {together} to a flush: p50, ms", value=p50),
        Figure(name=f"… that came {together} to a flush: RCU", value=units),
    )


async def _asked(vitrina: Service, path: str, token: str) -> tuple[float, float]:
    """Send one request after another; returns the median milliseconds and the read units of one."""
    await vitrina.get(path, token=token)
    start = vitrina.log_size()
    times = []
    for _ in range(REPORTS):
        began = time.perf_counter()
        await vitrina.get(path, token=token)
        times.append(time.perf_counter() - began)
    entries = await vitrina.answered_since(start)
    return statistics.median(times) * 1000, statistics.median(entry.read_units for entry in entries)
