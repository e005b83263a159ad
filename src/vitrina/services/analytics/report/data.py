"""Reads the data of the report page; closed days without a rollup are rolled up first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from vitrina.clock import Clock, now
from vitrina.domain.products import Product
from vitrina.domain.reports import (
    Counts,
    DaySummary,
    HourViews,
    Period,
    is_closed,
    pack_table,
    product_key,
)
from vitrina.services.analytics.product_counts import ProductCounts
from vitrina.services.analytics.rollups import Rollups
from vitrina.store.products import ProductStore
from vitrina.store.rollups import RollupStore

LEADERS: Final = 15
"""Products on the page."""
_SHARDS_AT_ONCE: Final = 3

Live = Mapping[date, Mapping[bytes, Counts]]
"""The counts of each product on the days without a rollup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderTrend:
    """One of the most viewed products, with its views on each day of the period."""

    product: Product
    counts: Counts
    trend: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """The data of the page: a summary of every day of the period, and the most viewed products."""

    period: Period
    days: Sequence[DaySummary]
    leaders: Sequence[LeaderTrend]


class ReportReader:
    """Reads the data of the page."""

    def __init__(self, store: RollupStore, products: ProductStore, rollups: Rollups, *, clock: Clock = now) -> None:
        self._store = store
        self._products = products
        self._rollups = rollups
        self._clock = clock

    async def read(self, period: Period, *, day_done: Callable[[], object] = lambda: None) -> ReportData:
        """Read a period, and roll up its closed days that have no rollup; calls `day_done` after each day."""
        leaders = ProductCounts()
        days: list[DaySummary] = []
        live: dict[date, dict[bytes, Counts]] = {}
        for day in period:
            summary = await self._closed(day, leaders) if is_closed(day, self._clock()) else None
            if summary is None and day <= self._clock().date():
                summary, live[day] = await self._rollups.count_day(day, at_once=_SHARDS_AT_ONCE)
                leaders.add_table(pack_table(live[day]))
            days.append(summary or _empty(day))
            day_done()
        first = leaders.most_viewed(LEADERS)
        products = await self._products.get_many([product_id for product_id, _ in first])
        trends = [
            LeaderTrend(product=products[product_id], counts=counts, trend=await self._trend(product_id, period, live))
            for product_id, counts in first
            if product_id in products
        ]
        return ReportData(period=period, days=days, leaders=trends)

    async def _closed(self, day: date, leaders: ProductCounts) -> DaySummary | None:
        await self._rollups.roll_up(day, at_once=_SHARDS_AT_ONCE)
        async for table in self._store.tables(day):
            leaders.add_table(table)
        return await self._store.summary(day)

    async def _trend(self, product_id: str, period: Period, live: Live) -> list[int]:
        closed = await self._store.of_product(product_id, period)
        product = product_key(product_id)
        counted = [live[day].get(product) if day in live else closed.get(day) for day in period]
        return [counts.views if counts else 0 for counts in counted]


def _empty(day: date) -> DaySummary:
    """Return the summary of a day in the future."""
    hours = [HourViews(0, 0)] * 24
    return DaySummary(day=day, total=Counts(), products=0, hours=hours, referrers=[], direct=0, other=0)
