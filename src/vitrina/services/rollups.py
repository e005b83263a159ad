"""Counts days of views, and rolls closed days up (R12). The segments are the truth; all else follows from them."""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    Period,
    Tally,
    count_distinct,
    is_closed,
    only,
)
from vitrina.domain.views import PackedViews, shard_of
from vitrina.errors import TableUnavailable
from vitrina.services.concurrency import gather
from vitrina.store import keys
from vitrina.store.rollups import RollupStore
from vitrina.store.views import ViewStore

log = structlog.get_logger(__name__)

Advance = Callable[[int], object]
"""Hears how many views more have been counted."""


_VIEWS_AT_A_TIME: Final = 4_000
"""Views that are counted before others have their turn: about 2 ms."""


class DayOpen(Exception):
    """A day that has not ended, or whose grace has not, can't be rolled up: views may still come."""


class SegmentsGone(Exception):
    """A day can't be rolled up again: some of the segments that its rollup counted are not there any more."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What one shard's day comes to."""

    products: dict[bytes, Counts]
    visitors: bytes
    hours: Sequence[Sequence[int]]
    referrers: Counter[str | None]

    @classmethod
    def of(cls, tally: Tally) -> "_Part":
        return cls(tally.products(), tally.visitors(), tally.hours, tally.referrers)


class Rollups:
    """Counts segments, a shard of a day at a time, so that memory is that of a shard's visitors.

    Others have their turn every few thousand views, so a count holds nobody up; with several shards beside each other,
    one is counted while the next page of another is on its way.
    """

    def __init__(self, views: ViewStore, store: RollupStore, *, clock: Clock = now) -> None:
        """Take the stores."""
        self._views = views
        self._store = store
        self._clock = clock

    async def count(self, day: date, shard: int, *, advance: Advance = lambda _: None) -> Tally:
        """Count a shard of a day from its segments."""
        return await self._count(day, shard, advance, lambda packed: packed)

    async def count_product(self, day: date, product_id: str, product: bytes) -> Counts:
        """Count a day of a product from the segments of its shard."""
        shard = shard_of(product_id, keys.VIEW_SHARDS)
        tally = await self._count(day, shard, lambda _: None, lambda packed: only(packed, product))
        return tally.products().get(product, Counts())

    async def count_day(self, day: date, *, at_once: int = 1) -> tuple[DaySummary, dict[bytes, Counts]]:
        """Count a day of the whole shop from its segments: what it tells, and each product."""
        tallies = await gather((self.count(day, shard) for shard in range(keys.VIEW_SHARDS)), at_once=at_once)
        parts = [await asyncio.to_thread(_Part.of, tally) for tally in tallies]
        summary = await asyncio.to_thread(_summary, day, parts)
        return summary, {product: counts for part in parts for product, counts in part.products.items()}

    async def roll_up(
        self, day: date, *, again: bool = False, at_once: int = 1, advance: Advance = lambda _: None
    ) -> bool:
        """Roll a closed day up; False if it was already and is not to be made `again`.

        `at_once` is how many shards are counted beside each other. Raises DayOpen, SegmentsGone.
        """
        if not is_closed(day, self._clock()):
            raise DayOpen
        if not again and await self._store.totals(Period(day, day)):
            return False
        work = (self._roll_up_shard(day, shard, again=again, advance=advance) for shard in range(keys.VIEW_SHARDS))
        parts = await gather(work, at_once=at_once)
        await self._store.put_summary(await asyncio.to_thread(_summary, day, parts))
        return True

    async def _roll_up_shard(self, day: date, shard: int, *, again: bool, advance: Advance) -> _Part:
        part = await asyncio.to_thread(_Part.of, await self.count(day, shard, advance=advance))
        if again:
            counted = sum(counts.views + counts.bots for counts in part.products.values())
            if counted < await self._store.events(day, shard):
                raise SegmentsGone
        await self._store.put_products(day, shard, part.products)
        return part

    async def _count(
        self, day: date, shard: int, advance: Advance, chosen: Callable[[PackedViews], PackedViews]
    ) -> Tally:
        tally = Tally()
        since_pause = 0
        async for segments in self._views.pages(day, shard):
            for segment in segments:
                tally.add(chosen(segment.packed))
                since_pause += len(segment.packed)
                if since_pause >= _VIEWS_AT_A_TIME:
                    since_pause = 0
                    await asyncio.sleep(0)
            advance(sum(len(segment.packed) for segment in segments))
        return tally


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
                except TableUnavailable:
                    log.warning("rollup_failed", day=day.isoformat())
                finally:
                    self._days.pop(day, None)
        finally:
            self._worker = None


def _summary(day: date, parts: Sequence[_Part]) -> DaySummary:
    """Put the shards of a day together."""
    counts = [counts for part in parts for counts in part.products.values()]
    referrers: Counter[str | None] = Counter()
    for part in parts:
        referrers.update(part.referrers)
    direct, other = referrers.pop(None, 0), referrers.pop(OTHER, 0)
    hosts = sorted(((str(host), number) for host, number in referrers.items()), key=lambda one: (-one[1], one[0]))
    return DaySummary(
        day=day,
        total=Counts(
            views=sum(each.views for each in counts),
            unique_visitors=count_distinct(part.visitors for part in parts),
            bots=sum(each.bots for each in counts),
        ),
        products=len(counts),
        hours=[
            HourViews(*(sum(part.hours[hour][kind] for part in parts) for kind in (0, 1)))
            for hour in range(len(parts[0].hours))
        ],
        referrers=hosts[:NAMED_HOSTS],
        direct=direct,
        other=other + sum(number for _, number in hosts[NAMED_HOSTS:]),
    )
