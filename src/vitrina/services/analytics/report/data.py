"""Reads the data of the report page; closed days without a rollup are rolled up first."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final

from vitrina.clock import Clock, now
from vitrina.domain.products import PricePeriod, Product
from vitrina.domain.reports import Counts, DaySummary, Period, pack_table, product_key
from vitrina.services.analytics.product_counts import ProductCounts
from vitrina.services.analytics.rollups import DayOpen, Rollups, SegmentsGone
from vitrina.store.listings import ProductListings
from vitrina.store.products import ProductStore
from vitrina.store.rollups import RollupStore, RollupTorn, StoredRollup

LEADERS: Final = 15
"""Products on the page."""
_SHARDS_AT_ONCE: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderTrend:
    """One of the most viewed products, with its views on each day of the period.

    `prices` are those of the period, newest first, and the one before them.
    """

    product: Product
    counts: Counts
    trend: Sequence[int]
    prices: Sequence[PricePeriod]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """The data of the page: a summary of every day of the period, and the most viewed products.

    The period ends today at the latest, and views of today are counted until `at`, UTC. `incomplete` are days whose
    views had expired before those that were stored late could be counted.
    """

    period: Period
    at: datetime
    days: Sequence[DaySummary]
    leaders: Sequence[LeaderTrend]
    incomplete: Sequence[date] = ()


async def read_report(
    store: RollupStore,
    products: ProductStore,
    listings: ProductListings,
    rollups: Rollups,
    period: Period,
    *,
    clock: Clock = now,
    day_done: Callable[[], object] = lambda: None,
) -> ReportData:
    """Read a period that begins today or earlier, and roll up its closed days that have no rollup.

    Calls `day_done` after each day. Prices may be stale: one query for each of the `LEADERS`.
    """
    at = clock()
    period = Period(period.first, min(period.last, at.date()))
    while True:
        try:
            return await _read(store, products, listings, rollups, period, at=at, day_done=day_done)
        except RollupTorn as torn:  # Now it does not count, so that it is made again.
            await store.outdate(torn.day, torn.generation)


async def _read(
    store: RollupStore,
    products: ProductStore,
    listings: ProductListings,
    rollups: Rollups,
    period: Period,
    *,
    at: datetime,
    day_done: Callable[[], object],
) -> ReportData:
    """Read a period up to the day of `at`. Raises RollupTorn."""
    sums = ProductCounts()
    days: list[DaySummary] = []
    stored: dict[date, StoredRollup] = {}
    live: dict[date, dict[bytes, Counts]] = {}
    for day in period:
        if rolled_up := await _rolled_up(store, rollups, day):
            summary, stored[day] = rolled_up
            async for table in store.tables(day, stored[day]):
                sums.add_table(table)
        else:
            summary, live[day] = await rollups.count_day(day, at_once=_SHARDS_AT_ONCE)
            sums.add_table(pack_table(live[day]))
        days.append(summary)
        day_done()
    first = sums.most_viewed(LEADERS)
    begin = datetime.combine(period.first, time.min, UTC)
    found = await products.get_many(list(first))
    leaders: list[LeaderTrend] = []
    for product_id, counts in first.items():
        if product_id not in found:
            continue
        by_day = await store.of_product(product_id, stored)
        by_day |= {day: counted.get(product_key(product_id), Counts()) for day, counted in live.items()}
        trend = [by_day.get(day, Counts()).views for day in period]
        prices = await listings.prices_since(product_id, begin, consistent=False)
        leaders.append(LeaderTrend(product=found[product_id], counts=counts, trend=trend, prices=prices))
    incomplete = [day for day, rollup in stored.items() if rollup.may_lack_views]
    return ReportData(period=period, at=at, days=days, leaders=leaders, incomplete=incomplete)


async def _rolled_up(store: RollupStore, rollups: Rollups, day: date) -> tuple[DaySummary, StoredRollup] | None:
    """Roll a day up if need be and return its summary, None if it is open or has just got views."""
    try:
        with suppress(SegmentsGone):  # The rollup counts as it is.
            await rollups.roll_up(day, at_once=_SHARDS_AT_ONCE)
    except DayOpen:
        return None
    return await store.summary(day)
