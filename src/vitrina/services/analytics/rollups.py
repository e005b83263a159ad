"""Counts days of views, and rolls closed days up (R12). The segments are the truth; all else follows from them."""

import asyncio
import contextvars
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import date

import structlog

from vitrina.clock import Clock, now
from vitrina.domain.reports import (
    NAMED_HOSTS,
    OTHER,
    Counts,
    DaySummary,
    HourViews,
    Period,
    is_closed,
    only,
    product_id_of,
)
from vitrina.domain.views import PackedViews, shard_of
from vitrina.errors import NoRoom, TableUnavailable
from vitrina.services.analytics.view_counter import Totals, ViewCounter
from vitrina.services.concurrency import gather
from vitrina.store import keys
from vitrina.store.rollups import RollupStore
from vitrina.store.views import Segment, ViewStore

log = structlog.get_logger(__name__)

Advance = Callable[[int], object]
"""Hears how many views more have been counted."""


class DayOpen(Exception):
    """A day that has not ended, or whose grace has not, can't be rolled up: views may still come."""


class SegmentsGone(Exception):
    """A day can't be rolled up again: some of the segments that its rollup counted are not there any more."""


class Rollups:
    """Counts segments page by page in a thread, while the next pages are on their way."""

    def __init__(self, views: ViewStore, store: RollupStore, *, clock: Clock = now) -> None:
        """Take the stores."""
        self._views = views
        self._store = store
        self._clock = clock

    async def count_product(self, day: date, product_id: str, product: bytes, *, at_once: int = 1) -> Counts:
        """Count a day of a product from the segments that may hold it; `at_once` calls beside each other."""
        with ViewCounter() as counter:
            pages = self._views.pages_of_product(day, product_id)
            await self._add(counter, pages, at_once=at_once, chosen=lambda packed: only(packed, product))
            return (await asyncio.to_thread(counter.totals)).products.get(product, Counts())

    async def count_day(
        self, day: date, *, at_once: int = 1, advance: Advance = lambda _: None
    ) -> tuple[DaySummary, dict[bytes, Counts]]:
        """Count a day of the whole shop from its segments: what it tells, and each product.

        `at_once` is how many partitions are read beside each other.
        """
        with ViewCounter() as counter:
            pages = (self._views.pages(day, shard) for shard in range(keys.VIEW_SHARDS))
            await self._add(counter, pages, at_once=at_once, advance=advance)
            totals = await asyncio.to_thread(counter.totals)
            return _summary(day, counter, totals), totals.products

    async def roll_up(
        self, day: date, *, again: bool = False, at_once: int = 1, advance: Advance = lambda _: None
    ) -> bool:
        """Roll a closed day up; False if it was already and is not to be made `again`.

        `at_once` is how many shards are read and written beside each other. Raises DayOpen, SegmentsGone.
        """
        if not is_closed(day, self._clock()):
            raise DayOpen
        if not again and await self._store.totals(Period(day, day)):
            return False
        summary, products = await self.count_day(day, at_once=at_once, advance=advance)
        shards: list[dict[bytes, Counts]] = [{} for _ in range(keys.VIEW_SHARDS)]
        for product, counts in products.items():
            shards[shard_of(product_id_of(product), keys.VIEW_SHARDS)][product] = counts
        if again:
            await gather((self._check(day, *shard) for shard in enumerate(shards)), at_once=at_once)
        await gather((self._store.put_products(day, *shard) for shard in enumerate(shards)), at_once=at_once)
        await self._store.put_summary(summary)
        return True

    async def _check(self, day: date, shard: int, products: dict[bytes, Counts]) -> None:
        """Raise SegmentsGone if a shard has less than what was counted before."""
        counted = sum(counts.views + counts.bots for counts in products.values())
        if counted < await self._store.events(day, shard):
            raise SegmentsGone

    async def _add(
        self,
        counter: ViewCounter,
        partitions: Iterable[AsyncIterator[Sequence[Segment]]],
        *,
        at_once: int = 1,
        advance: Advance = lambda _: None,
        chosen: Callable[[PackedViews], PackedViews] = lambda packed: packed,
    ) -> None:
        """Count what is chosen of the pages of partitions."""
        counting = asyncio.Lock()

        def count(segments: Sequence[Segment]) -> None:
            counter.add([chosen(segment.packed) for segment in segments])

        async def read(pages: AsyncIterator[Sequence[Segment]]) -> None:
            async for segments in pages:
                async with counting:
                    await asyncio.to_thread(count, segments)
                advance(sum(len(segment.packed) for segment in segments))

        await gather(map(read, partitions), at_once=at_once)


class RollupQueue:
    """Rolls days up in the background, one after the other, for the reports that come next."""

    def __init__(self, rollups: Rollups) -> None:
        """Start with nothing to do."""
        self._rollups = rollups
        self._days: dict[date, None] = {}
        self._worker: asyncio.Task[None] | None = None

    def add(self, day: date) -> None:
        """Have a closed day rolled up some time soon, once."""
        self._days[day] = None
        if self._worker is None:
            # The work is shared: it runs in a context of its own, not in that of the request that came first.
            self._worker = asyncio.get_running_loop().create_task(self._work(), context=contextvars.Context())

    async def done(self) -> None:
        """Return when no day is waiting."""
        while self._worker is not None:
            await asyncio.wait([self._worker])

    async def close(self) -> None:
        """Let go of what is under way: a day that is not whole is not marked, and will be counted anew."""
        self._days.clear()
        if self._worker is not None:
            self._worker.cancel()
            await self.done()

    async def _work(self) -> None:
        try:
            while self._days:
                day = next(iter(self._days))
                try:
                    if await self._rollups.roll_up(day):
                        log.info("views_rolled_up", day=day.isoformat())
                except (TableUnavailable, NoRoom) as error:
                    log.warning("rollup_failed", day=day.isoformat(), error=type(error).__name__)
                finally:
                    self._days.pop(day, None)
        finally:
            self._worker = None


def _summary(day: date, counter: ViewCounter, totals: Totals) -> DaySummary:
    """Return what a day's count tells of the whole shop."""
    counts = totals.products.values()
    referrers = Counter(counter.referrers)
    direct, other = referrers.pop(None, 0), referrers.pop(OTHER, 0)
    hosts = sorted(((str(host), number) for host, number in referrers.items()), key=lambda one: (-one[1], one[0]))
    return DaySummary(
        day=day,
        total=Counts(
            views=sum(each.views for each in counts),
            unique_visitors=totals.unique_visitors,
            bots=sum(each.bots for each in counts),
        ),
        products=len(counts),
        hours=[HourViews(*hour) for hour in counter.hours],
        referrers=hosts[:NAMED_HOSTS],
        direct=direct,
        other=other + sum(number for _, number in hosts[NAMED_HOSTS:]),
    )
