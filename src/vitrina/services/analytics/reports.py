"""Reports of views (R12): closed days from their rollups, all others counted when they are asked for."""

import asyncio
from collections.abc import Collection, Coroutine, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, TypeVar

import structlog

from vitrina.clock import Clock, now
from vitrina.domain.products import Product
from vitrina.domain.reports import Counts, DayViews, Period, is_closed, pack_table, product_key
from vitrina.errors import NoRoom, NotFound, Overloaded, Unavailable
from vitrina.ids import is_id
from vitrina.services.analytics.product_counts import ProductCounts
from vitrina.services.analytics.rollups import RollupQueue, Rollups
from vitrina.services.concurrency import gather
from vitrina.store.products import ProductStore
from vitrina.store.rollups import RollupStore

log = structlog.get_logger(__name__)

T = TypeVar("T")

_DAYS_AT_ONCE: Final = 2
"""Days of a product that are counted from their segments beside each other, each by `_CALLS_AT_ONCE`."""
_CALLS_AT_ONCE: Final = 4
_TABLES_AT_ONCE: Final = 3
"""Calls that each bring many products, which others have to wait for."""
_MOST_PERIODS: Final = 8
"""Periods whose products are added up beside each other, for whoever still waits or asks again."""
_LONGEST: Final = 60.0
"""Seconds for one of them: what takes longer is for `vitrina views rollup`, or for fewer days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """A product and its views over a period."""

    product: Product
    counts: Counts


class Analytics:
    """Counts views for people who may know."""

    def __init__(
        self,
        store: RollupStore,
        products: ProductStore,
        rollups: Rollups,
        *,
        queue: RollupQueue,
        clock: Clock = now,
    ) -> None:
        """Take the stores, who counts, and who is told of a closed day that should be rolled up."""
        self._store = store
        self._products = products
        self._rollups = rollups
        self._queue = queue
        self._clock = clock
        self._adding: dict[Period, asyncio.Task[ProductCounts]] = {}

    async def close(self) -> None:
        """Let go of what nobody waits for any more."""
        adding = list(self._adding.values())
        for task in adding:
            task.cancel()
        await asyncio.gather(*adding, return_exceptions=True)

    def period(self, first: date | None, last: date | None) -> Period:
        """Return the days that were asked for, by default the last 30. Raises ValidationFailed."""
        return Period.of(first, last, today=self._clock().date())

    async def of_product(self, product_id: str, period: Period) -> list[DayViews]:
        """Return each day of a period and what it counts of a product, live or deleted. Raises NotFound."""
        if not is_id(product_id):
            raise NotFound
        product, totals = await asyncio.gather(
            self._products.get(product_id, consistent=True), self._store.totals(period)
        )
        if product is None:
            raise NotFound
        counted = await self._store.of_product(product_id, period) if totals else {}
        # Nobody can have seen it on a day before it was made.
        days = [day for day in self._uncounted(period, totals.keys()) if day >= product.created_at.date()]
        packed = product_key(product_id)
        counting = (self._rollups.count_product(day, product_id, packed, at_once=_CALLS_AT_ONCE) for day in days)
        try:
            live = await self._live(days, counting)
        except NoRoom as error:
            raise _given_up(error) from error
        found = {day: counted.get(day, Counts()) for day in totals} | dict(zip(days, live, strict=True))
        return [DayViews(day, found.get(day, Counts())) for day in period]

    async def leaders(self, period: Period, *, limit: int) -> list[Leader]:
        """Return the products with the most views of people in a period; ties by id, which is by age.

        Who asks for the same period meanwhile shares the work, which goes on when a request runs out of time: a year of
        a large catalogue may take longer than one has, and the next one finds it further. Raises Overloaded past
        `_MOST_PERIODS`, and Unavailable when the work takes longer than `_LONGEST`.
        """
        adding = self._adding.get(period)
        if adding is None:
            if len(self._adding) >= _MOST_PERIODS:
                raise Overloaded
            adding = self._adding[period] = asyncio.create_task(self._add_up(period))
            adding.add_done_callback(lambda task: self._added_up(period, task))
        leaders = await asyncio.shield(adding)
        first = dict(await asyncio.to_thread(leaders.first, limit))
        products = await self._products.get_many(list(first))
        return [
            Leader(product=products[product_id], counts=counts)
            for product_id, counts in first.items()
            if product_id in products
        ]

    async def _add_up(self, period: Period) -> ProductCounts:
        try:
            async with asyncio.timeout(_LONGEST):
                return await self._counted(period)
        except (TimeoutError, NoRoom) as error:
            raise _given_up(error) from error

    async def _counted(self, period: Period) -> ProductCounts:
        totals = await self._store.totals(period)
        leaders = ProductCounts()
        await gather((self._add_tables(leaders, day) for day in totals), at_once=_TABLES_AT_ONCE)
        days = self._uncounted(period, totals.keys())
        await self._live(days, (self._add_live(leaders, day) for day in days))
        return leaders

    def _added_up(self, period: Period, task: asyncio.Task[ProductCounts]) -> None:
        del self._adding[period]
        if not task.cancelled():
            task.exception()  # Those who wait raise it; there may be none.

    async def _add_tables(self, leaders: ProductCounts, day: date) -> None:
        async for table in self._store.tables(day):
            await asyncio.to_thread(leaders.add_table, table)

    async def _add_live(self, leaders: ProductCounts, day: date) -> None:
        _, products = await self._rollups.count_day(day, at_once=_CALLS_AT_ONCE)
        await asyncio.to_thread(lambda: leaders.add_table(pack_table(products)))

    async def _live(self, days: Collection[date], counting: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """Count days live and have them rolled up after it, above all if time runs out: who asks again finds them."""
        try:
            counted = await gather(counting, at_once=_DAYS_AT_ONCE)
        except asyncio.CancelledError:
            self._roll_up(days)
            raise
        self._roll_up(days)
        return counted

    def _roll_up(self, days: Collection[date]) -> None:
        """Have the closed ones of days that were counted live rolled up, empty ones too: a lookup costs as much."""
        for day in days:
            if is_closed(day, self._clock()):
                self._queue.add(day)

    def _uncounted(self, period: Period, rolled_up: Collection[date]) -> list[date]:
        today = self._clock().date()
        return [day for day in period if day not in rolled_up and day <= today]


def _given_up(error: OSError) -> Unavailable:
    log.warning("report_given_up", error=type(error).__name__)
    return Unavailable()
