"""Reads the data of the report page; closed days without a rollup are rolled up first."""

from collections.abc import Callable, Sequence
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
from vitrina.store.rollups import RollupStore

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

    The period ends today at the latest, and views of today are counted until `at`, UTC.
    """

    period: Period
    at: datetime
    days: Sequence[DaySummary]
    leaders: Sequence[LeaderTrend]


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
    sums = ProductCounts()
    days: list[DaySummary] = []
    live: dict[date, dict[bytes, Counts]] = {}
    for day in period:
        summary: DaySummary | None
        try:
            await rollups.roll_up(day, at_once=_SHARDS_AT_ONCE)
            async for table in store.tables(day):
                sums.add_table(table)
            summary = await store.summary(day)
        except (DayOpen, SegmentsGone):
            summary, live[day] = await rollups.count_day(day, at_once=_SHARDS_AT_ONCE)
            sums.add_table(pack_table(live[day]))
        days.append(summary or DaySummary(day=day, total=Counts()))
        day_done()
    first = sums.most_viewed(LEADERS)
    begin = datetime.combine(period.first, time.min, UTC)
    found = await products.get_many(list(first))
    leaders: list[LeaderTrend] = []
    for product_id, counts in first.items():
        if product_id not in found:
            continue
        by_day = await store.of_product(product_id, period)
        by_day |= {day: counted.get(product_key(product_id), Counts()) for day, counted in live.items()}
        trend = [by_day.get(day, Counts()).views for day in period]
        prices = await listings.prices_since(product_id, begin, consistent=False)
        leaders.append(LeaderTrend(product=found[product_id], counts=counts, trend=trend, prices=prices))
    return ReportData(period=period, at=at, days=days, leaders=leaders)
