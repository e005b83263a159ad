"""Reports of views (R12): closed days come from their rollups, other days are counted on request."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final, TypeVar

import structlog

from vitrina.clock import Clock, now
from vitrina.domain.products import Product
from vitrina.domain.reports import Counts, Period, is_closed, pack_table
from vitrina.errors import NoRoom, NotFound, Overloaded, Unavailable, VitrinaError
from vitrina.ids import is_id
from vitrina.services.analytics.product_counts import ProductCounts
from vitrina.services.analytics.rollups import RollupQueue, Rollups
from vitrina.services.concurrency import gather
from vitrina.store.products import ProductStore
from vitrina.store.rollups import RollupStore, RollupTorn, StoredRollup

log = structlog.get_logger(__name__)

T = TypeVar("T")

_DAYS_AT_ONCE: Final = 2
"""Days that are counted concurrently from their segments, each with `_READS_AT_ONCE` concurrent reads."""
_READS_AT_ONCE: Final = 4
_TABLES_AT_ONCE: Final = 3
"""Concurrent reads of tables, each of which holds many products."""
_MOST_PERIODS: Final = 8
"""Periods whose products are summed concurrently, each for all requests for that period."""
_LONGEST: Final = 60.0
"""Seconds for one period; a longer one needs `vitrina views rollup` first, or fewer days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """A product and its views over a period, without bots."""

    product: Product
    views: int
    unique_visitors: int


class Analytics:
    """Reports of products by day and of the most viewed products; `queue` rolls up closed days that were counted."""

    def __init__(
        self,
        store: RollupStore,
        products: ProductStore,
        rollups: Rollups,
        *,
        queue: RollupQueue,
        clock: Clock = now,
    ) -> None:
        self._store = store
        self._products = products
        self._rollups = rollups
        self._queue = queue
        self._clock = clock
        self._adding: dict[Period, asyncio.Task[ProductCounts]] = {}

    async def close(self) -> None:
        """Cancel the sums that are running."""
        adding = list(self._adding.values())
        for task in adding:
            task.cancel()
        await asyncio.gather(*adding, return_exceptions=True)

    def period(self, first: date | None, last: date | None) -> Period:
        """Return the period of a request, by default the last 30 days. Raises ValidationFailed."""
        return Period.of(first, last, today=self._clock().date())

    async def of_product(self, product_id: str, period: Period) -> dict[date, Counts]:
        """Return the counts of a product, live or deleted, for each day of a period. Raises NotFound."""
        if not is_id(product_id):
            raise NotFound
        return await self._from_whole(lambda torn: self._of_product(product_id, period, torn))

    async def _of_product(self, product_id: str, period: Period, torn: Collection[date]) -> dict[date, Counts]:
        product, rollups = await asyncio.gather(
            self._products.get(product_id, consistent=True), self._stored(period, torn)
        )
        if product is None:
            raise NotFound
        counted = await self._store.of_product(product_id, rollups)
        # There are no views from before its creation.
        days = [day for day in self._uncounted(period, rollups) if day >= product.created_at.date()]
        counting = (self._rollups.count_product(day, product_id, at_once=_READS_AT_ONCE) for day in days)
        try:
            live = await self._live(days, counting)
        except NoRoom as error:
            raise _unavailable(error) from error
        found = {day: counts for day, counts in counted.items() if rollups[day].is_valid}
        for day, counts in zip(days, live, strict=True):
            # An outdated rollup has more than its segments once they have expired.
            found[day] = max(counts, counted.get(day, Counts()), key=lambda each: each.events)
        return {day: found.get(day, Counts()) for day in period}

    async def leaders(self, period: Period, *, limit: int) -> list[Leader]:
        """Return the products with the most views of people in a period; ties are ordered by id, that is by age.

        Concurrent requests for the same period share one task, which continues when a request times out, so that a
        retry finds it further ahead: a year of a large catalogue may take longer than one request. Raises Overloaded
        above `_MOST_PERIODS` periods, and Unavailable if a sum takes longer than `_LONGEST`.
        """
        adding = self._adding.get(period)
        if adding is None:
            if len(self._adding) >= _MOST_PERIODS:
                raise Overloaded
            adding = self._adding[period] = asyncio.create_task(self._add_up(period))
            adding.add_done_callback(lambda task: self._added_up(period, task))
        leaders = await asyncio.shield(adding)
        first = await asyncio.to_thread(leaders.most_viewed, limit)
        products = await self._products.get_many(list(first))
        return [
            Leader(product=products[product_id], views=counts.views, unique_visitors=counts.unique_visitors)
            for product_id, counts in first.items()
            if product_id in products
        ]

    async def _add_up(self, period: Period) -> ProductCounts:
        try:
            async with asyncio.timeout(_LONGEST):
                return await self._counted(period)
        except (TimeoutError, NoRoom) as error:
            raise _unavailable(error) from error

    async def _counted(self, period: Period) -> ProductCounts:
        return await self._from_whole(lambda torn: self._sums(period, torn))

    async def _sums(self, period: Period, torn: Collection[date]) -> ProductCounts:
        rollups = await self._stored(period, torn)
        leaders = ProductCounts()
        whole = {day: rollup for day, rollup in rollups.items() if rollup.is_valid}
        await gather((self._add_tables(leaders, *each) for each in whole.items()), at_once=_TABLES_AT_ONCE)
        days = self._uncounted(period, rollups)
        await self._live(days, (self._add_live(leaders, day, rollups.get(day)) for day in days))
        return leaders

    async def _from_whole(self, count: Callable[[Collection[date]], Awaitable[T]]) -> T:
        """Return the result of `count`, which gets the days of torn rollups, and is repeated when it finds another one.

        These rollups are outdated, so that they are made again.
        """
        torn: set[date] = set()
        while True:
            try:
                return await count(torn)
            except RollupTorn as error:
                outdated = await self._store.outdate(error.day, error.generation)
                if outdated:  # Otherwise the totals that were read were stale.
                    log.warning("rollup_torn", day=error.day.isoformat())
                torn.add(error.day)

    async def _stored(self, period: Period, torn: Collection[date]) -> dict[date, StoredRollup]:
        """Return the rollups of a period; those of `torn` days do not count."""
        rollups = await self._store.stored(period)
        return rollups | {day: replace(rollups[day], is_valid=False) for day in torn if day in rollups}

    def _added_up(self, period: Period, task: asyncio.Task[ProductCounts]) -> None:
        del self._adding[period]
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, VitrinaError):
            log.error("report_failed", exc_info=error)  # Perhaps no request waits, which would raise it.

    async def _add_tables(self, leaders: ProductCounts, day: date, rollup: StoredRollup) -> None:
        async for table in self._store.tables(day, rollup):
            await asyncio.to_thread(leaders.add_table, table)

    async def _add_live(self, leaders: ProductCounts, day: date, outdated: StoredRollup | None) -> None:
        summary, products = await self._rollups.count_day(day, at_once=_READS_AT_ONCE)
        if outdated is not None and summary.total.events < outdated.counts.events:  # The segments have expired.
            await self._add_tables(leaders, day, outdated)
        else:
            await asyncio.to_thread(lambda: leaders.add_table(pack_table(products)))

    async def _live(self, days: Collection[date], counting: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """Count days from their segments, then queue their rollup, also on a timeout, so that a retry is quick."""
        try:
            counted = await gather(counting, at_once=_DAYS_AT_ONCE)
        except asyncio.CancelledError:
            self._roll_up(days)
            raise
        self._roll_up(days)
        return counted

    def _roll_up(self, days: Collection[date]) -> None:
        """Queue the rollup of the closed days, of empty ones too: to look for their segments costs as much."""
        for day in days:
            if is_closed(day, self._clock()):
                self._queue.add(day)

    def _uncounted(self, period: Period, rollups: Mapping[date, StoredRollup]) -> list[date]:
        today = self._clock().date()
        return [day for day in period if day <= today and not (day in rollups and rollups[day].is_valid)]


def _unavailable(error: OSError) -> Unavailable:
    log.warning("report_given_up", error=type(error).__name__)
    return Unavailable()
