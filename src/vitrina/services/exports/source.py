"""Reads the segments of a day for an export: all shards concurrently, in an order that never changes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from datetime import date
from itertools import chain
from typing import Final, Protocol

from vitrina.domain.reports import Period
from vitrina.domain.views import DAY_MS, midnight_ms
from vitrina.ids import time_ms
from vitrina.services.concurrency import gather
from vitrina.store import keys
from vitrina.store.listings import ProductListings
from vitrina.store.products import ProductStore
from vitrina.store.rollups import RollupStore
from vitrina.store.table import MOST_KEYS
from vitrina.store.views import Segment, ViewStore

_SKU_READS_AT_ONCE: Final = 10
"""Concurrent reads of SKUs, on which a whole batch waits."""
_PAGES_AT_ONCE: Final = 8
"""Concurrent reads of pages: each takes several times its size in memory until it is parsed."""


class ViewSource(Protocol):
    """What an export reads."""

    async def first_day(self) -> date | None:
        """Return a day before which there are no views; None if there are none at all."""

    async def generations(self, period: Period) -> Mapping[date, str]:
        """Return the generation of each day that has one: a new one each time it gets views after it has closed."""

    def open(self, day: date) -> "Day":
        """Start to read a day."""

    async def skus(self, product_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the SKUs of those products that are known, by product id."""


class LiveSource:
    """The table itself: one query per shard and day, each read one page ahead; a page is tried `tries` times."""

    def __init__(
        self,
        views: ViewStore,
        rollups: RollupStore,
        products: ProductStore,
        listings: ProductListings,
        *,
        tries: int = 1,
    ) -> None:
        self._views = views
        self._rollups = rollups
        self._products = products
        self._listings = listings
        self._tries = tries
        self._free = asyncio.Semaphore(_PAGES_AT_ONCE)

    async def first_day(self) -> date | None:
        """Return the day on which the oldest product was created, live or deleted. Raises TableUnavailable."""
        first = await self._listings.first_created()
        return first and first.date()

    async def generations(self, period: Period) -> Mapping[date, str]:
        """Return those of the days' rollups. Raises TableUnavailable."""
        stored = await self._rollups.stored(period)
        return {day: rollup.generation for day, rollup in stored.items() if rollup.generation is not None}

    def open(self, day: date) -> "Day":
        """Start to read a day: up to 1 MB of each shard."""
        pages = [self._views.pages(day, shard, tries=self._tries) for shard in range(keys.VIEW_SHARDS)]
        return Day(day, pages, free=self._free)

    async def skus(self, product_ids: Sequence[str]) -> Mapping[str, str]:
        """Return current SKUs by eventually consistent reads of 100 products each. Raises TableUnavailable."""
        parts = [product_ids[first : first + MOST_KEYS] for first in range(0, len(product_ids), MOST_KEYS)]
        found: dict[str, str] = {}
        for skus in await gather(map(self._products.skus, parts), at_once=_SKU_READS_AT_ONCE):
            found |= skus
        return found


class _Shard:
    """The rest of a shard's current page, while its next page is being read."""

    def __init__(self, pages: AsyncIterator[list[Segment]], free: asyncio.Semaphore) -> None:
        self._pages = pages
        self._free = free
        self._next = asyncio.create_task(self._page())
        self.rest: list[Segment] = []
        self._ended = False

    async def fill(self) -> bool:
        """Wait for the next page with segments if this one is used up; False if there is none."""
        while not self.rest:
            page = await self._next
            if page is None:
                self._ended = True
                return False
            self._next = asyncio.create_task(self._page())
            self.rest = page
        return True

    def take(self, number: int) -> list[Segment]:
        taken, self.rest = self.rest[:number], self.rest[number:]
        return taken

    def passed(self, midnight_ms: int) -> float:
        """Return the part of the day, 0 to 1, that precedes the time in the next segment's id."""
        if self._ended or not self.rest:
            return float(self._ended)
        return min(max((time_ms(self.rest[0].id) - midnight_ms) / DAY_MS, 0.0), 1.0)

    async def close(self) -> None:
        self._next.cancel()
        await asyncio.gather(self._next, return_exceptions=True)

    async def _page(self) -> list[Segment] | None:
        async with self._free:
            return await anext(self._pages, None)


class Day:
    """A day that is being read; `passed` is about how much of it has been read, from 0 to 1.

    Segments come from each shard in turn, the oldest first: this order does not depend on page boundaries, and all
    shards are read concurrently. A merge by time would wait for one shard after the other wherever one is ahead.
    """

    def __init__(self, day: date, shards: Iterable[AsyncIterator[list[Segment]]], *, free: asyncio.Semaphore) -> None:
        """Start to read the pages of a day's shards, with as many concurrent reads as `free` allows."""
        self.day = day
        self.passed = 0.0
        self._midnight_ms = midnight_ms(day)
        self._shards = [_Shard(pages, free) for pages in shards]

    async def ready(self) -> None:
        """Wait for the first page of each shard; raises what reading raises."""
        for shard in self._shards:
            await shard.fill()

    async def segments(self) -> AsyncGenerator[Sequence[Segment], None]:
        """Yield the segments of the pages at hand, then of the next ones. Raises what reading raises."""
        while live := [shard for shard in self._shards if await shard.fill()]:
            rounds = min(len(shard.rest) for shard in live)
            yield list(chain.from_iterable(zip(*(shard.take(rounds) for shard in live), strict=True)))
            # Mixed segments follow a shard's own and start again at midnight; progress must not go back.
            passed = sum(shard.passed(self._midnight_ms) for shard in self._shards) / len(self._shards)
            self.passed = max(self.passed, passed)

    async def close(self) -> None:
        """Cancel the reads of pages."""
        for shard in self._shards:
            await shard.close()
