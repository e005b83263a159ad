"""Counts days of views, and rolls up closed days (R12). All counts are derived from the stored segments."""

import asyncio
import contextvars
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import date
from typing import Final

import structlog

from vitrina.clock import Clock, now
from vitrina.domain.reports import (
    NAMED_HOSTS,
    OTHER,
    Counts,
    DaySummary,
    HourViews,
    is_closed,
    only,
    product_id_of,
    product_key,
)
from vitrina.domain.views import PackedViews, shard_of
from vitrina.errors import NoRoom, TableUnavailable
from vitrina.services.analytics.view_counter import Totals, ViewCounter
from vitrina.services.concurrency import gather
from vitrina.store import keys
from vitrina.store.rollups import RollupStore
from vitrina.store.views import Segment, ViewStore

log = structlog.get_logger(__name__)

_SETTLING: Final = 10.0
"""Seconds between the reading of an outdated rollup and the counting of its day.

By then the late views are stored, since the call that outdates the rollup and the one that stores them take 2.5 s each
at most, and replicas have them. A process that could not store its views tries again, and outdates the rollup first.
"""

Advance = Callable[[int], object]
"""Called with the number of views counted since the last call."""


class DayOpen(Exception):
    """A day cannot be rolled up before its grace period has ended, by the own and the table's clock.

    Views may still arrive.
    """


class SegmentsGone(Exception):
    """A day cannot be rolled up again: some of the segments that its rollup counted have expired.

    A rollup that was outdated counts again as it is, without the views that came late.
    """


class Rollups:
    """Counts segments page by page in a thread, while the next pages are being read."""

    def __init__(self, views: ViewStore, store: RollupStore, *, clock: Clock = now) -> None:
        self._views = views
        self._store = store
        self._clock = clock

    async def count_product(self, day: date, product_id: str, *, at_once: int = 1) -> Counts:
        """Count a day of a product from the segments that may hold it, with `at_once` concurrent reads."""
        product = product_key(product_id)
        with ViewCounter() as counter:
            pages = self._views.pages_of_product(day, product_id)
            await self._add(counter, pages, at_once=at_once, chosen=lambda packed: only(packed, product))
            return (await asyncio.to_thread(counter.totals)).products.get(product, Counts())

    async def count_day(
        self, day: date, *, at_once: int = 1, advance: Advance = lambda _: None
    ) -> tuple[DaySummary, dict[bytes, Counts]]:
        """Count a day of the whole shop from its segments: returns the summary, and the counts of each product.

        `at_once` is the number of partitions that are read concurrently.
        """
        with ViewCounter() as counter:
            pages = (self._views.pages(day, shard) for shard in range(keys.VIEW_SHARDS))
            await self._add(counter, pages, at_once=at_once, advance=advance)
            totals = await asyncio.to_thread(counter.totals)
            return _summary(day, counter, totals), totals.products

    async def roll_up(
        self, day: date, *, again: bool = False, at_once: int = 1, advance: Advance = lambda _: None
    ) -> bool:
        """Roll up a closed day; returns False if it has a rollup that counts and `again` is not set.

        The clocks are read before the counting, and a day that gets views meanwhile is counted once more. `at_once` is
        the number of shards that are read and written concurrently. A rollup that was interrupted while it was written
        does not count, and continues behind the products that it has written. Raises DayOpen and SegmentsGone.
        """
        if not is_closed(day, self._clock()):
            raise DayOpen
        while True:
            earlier, at = await self._store.earlier(day)
            if not is_closed(day, at):
                raise DayOpen
            if earlier.is_valid and not again:
                return False
            if earlier.generation is not None and not earlier.is_valid:
                await asyncio.sleep(_SETTLING)
            summary, products = await self.count_day(day, at_once=at_once, advance=advance)
            if summary.total.events < earlier.counts.events:
                if earlier.is_valid or await self._store.keep(day, generation=earlier.generation, at=at):
                    raise SegmentsGone
                continue
            generation = earlier.generation
            if earlier.is_valid and (generation := await self._store.outdate(day, generation)) is None:
                continue
            await self._write(summary, products, generation, at_once=at_once)
            if await self._store.put_totals(summary, generation=generation, made_at=at):
                return True
            again = True  # Another process may have made the rollup meanwhile; this one has replaced some of its items.

    async def _write(
        self, summary: DaySummary, products: dict[bytes, Counts], generation: str | None, *, at_once: int
    ) -> None:
        day = summary.day
        await self._store.put_summary(summary, generation=generation)
        stored = await self._store.parts(day, generation=generation)
        shards: list[dict[bytes, Counts]] = [{} for _ in range(keys.VIEW_SHARDS)]
        for product, counts in products.items():
            shards[shard_of(product_id_of(product), keys.VIEW_SHARDS)][product] = counts
        writing = (
            self._store.put_products(day, *shard, generation=generation, stored=stored) for shard in enumerate(shards)
        )
        await gather(writing, at_once=at_once)

    async def _add(
        self,
        counter: ViewCounter,
        partitions: Iterable[AsyncIterator[Sequence[Segment]]],
        *,
        at_once: int = 1,
        advance: Advance = lambda _: None,
        chosen: Callable[[PackedViews], PackedViews] = lambda packed: packed,
    ) -> None:
        """Count the views of partitions that `chosen` selects."""
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
    """Rolls up days in the background, one after the other, so that later reports are quick."""

    def __init__(self, rollups: Rollups) -> None:
        self._rollups = rollups
        self._days: dict[date, None] = {}
        self._worker: asyncio.Task[None] | None = None

    def add(self, day: date) -> None:
        """Queue a closed day, once."""
        self._days[day] = None
        if self._worker is None:
            # The work serves many requests, so it does not run in the context of the first one.
            self._worker = asyncio.get_running_loop().create_task(self._work(), context=contextvars.Context())

    async def done(self) -> None:
        """Wait until the queue is empty."""
        while self._worker is not None:
            await asyncio.wait([self._worker])

    async def close(self) -> None:
        """Cancel the work; a day without a complete rollup is counted again later."""
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
                except SegmentsGone:
                    log.warning("rollup_kept", day=day.isoformat())
                except (TableUnavailable, NoRoom, DayOpen) as error:
                    log.warning("rollup_failed", day=day.isoformat(), error=type(error).__name__)
                except Exception:
                    log.exception("rollup_failed", day=day.isoformat())
                finally:
                    self._days.pop(day, None)
        finally:
            self._worker = None


def _summary(day: date, counter: ViewCounter, totals: Totals) -> DaySummary:
    """Return the summary of the whole shop's day."""
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
