"""Where the events of an export come from: segments of a day, all shards beside each other, in one order for ever."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import date
from itertools import chain
from typing import Final, Protocol

from vitrina.domain.views import DAY_MS, midnight_ms
from vitrina.ids import time_ms
from vitrina.services.concurrency import gather
from vitrina.store import keys
from vitrina.store.products import ProductStore
from vitrina.store.table import MOST_KEYS
from vitrina.store.views import Segment, ViewStore

_CALLS_AT_ONCE: Final = 10
"""Calls for SKUs, which a whole batch waits for."""
_PAGES_AT_ONCE: Final = 8
"""Pages under way: each takes several times its size until it has been parsed."""


class Day(Protocol):
    """A day that is being read."""

    day: date
    passed: float
    """How much of it has been read, from 0 to 1, about."""

    def segments(self) -> AsyncGenerator[Sequence[Segment], None]:
        """Return its segments, some at a time. Raises what reading them raises."""

    async def close(self) -> None:
        """Let go of what is under way."""


class ViewSource(Protocol):
    """What an export reads."""

    async def open(self, day: date) -> Day:
        """Begin to read a day; the beginning is there when this returns."""

    async def skus(self, product_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the SKUs of those products that are known."""


class LiveSource:
    """The table itself: eight queries a day, a page of each read ahead."""

    def __init__(self, views: ViewStore, products: ProductStore, *, tries: int = 1) -> None:
        """Take the stores, and how often a page is tried before the export fails."""
        self._views = views
        self._products = products
        self._tries = tries
        self._free = asyncio.Semaphore(_PAGES_AT_ONCE)

    async def open(self, day: date) -> Day:
        """Begin to read a day: up to 1 MB of each shard. Raises TableUnavailable."""
        pages = [self._views.pages(day, shard, tries=self._tries) for shard in range(keys.VIEW_SHARDS)]
        return await open_day(day, pages, free=self._free)

    async def skus(self, product_ids: Sequence[str]) -> Mapping[str, str]:
        """Return SKUs as they are now, perhaps stale: a call for each 100. Raises TableUnavailable."""
        parts = [product_ids[first : first + MOST_KEYS] for first in range(0, len(product_ids), MOST_KEYS)]
        found: dict[str, str] = {}
        for skus in await gather(map(self._products.skus, parts), at_once=_CALLS_AT_ONCE):
            found |= skus
        return found


async def open_day(day: date, shards: Sequence[AsyncIterator[list[Segment]]], *, free: asyncio.Semaphore) -> Day:
    """Begin to read the pages of a day's shards, as many at once as are `free`; the first ones are there on return."""
    opened = _OpenedDay(day, [_Shard(pages, free) for pages in shards])
    try:
        await opened.start()
    except BaseException:
        await opened.close()
        raise
    return opened


class _Shard:
    """The rest of a shard's current page; the one after it is on its way."""

    def __init__(self, pages: AsyncIterator[list[Segment]], free: asyncio.Semaphore) -> None:
        self._pages = pages
        self._free = free
        self._next = self._fetch()
        self.rest: list[Segment] = []
        self._ended = False

    async def turn(self) -> bool:
        """Go on to the next page that has anything, if this one is at its end; False where there is none."""
        while not self.rest:
            page = await self._next
            if page is None:
                self._ended = True
                return False
            self._next = self._fetch()
            self.rest = page
        return True

    def take(self, number: int) -> list[Segment]:
        taken, self.rest = self.rest[:number], self.rest[number:]
        return taken

    def passed(self, midnight_ms: int) -> float:
        """Tell by the time in a segment's id how far through its day this is."""
        if self._ended or not self.rest:
            return float(self._ended)
        return min(max((time_ms(self.rest[0].id) - midnight_ms) / DAY_MS, 0.0), 1.0)

    async def close(self) -> None:
        self._next.cancel()
        await asyncio.gather(self._next, return_exceptions=True)

    def _fetch(self) -> asyncio.Task[list[Segment] | None]:
        async def fetch() -> list[Segment] | None:
            async with self._free:
                return await anext(self._pages, None)

        return asyncio.create_task(fetch())


class _OpenedDay:
    """A day whose shards are read.

    The order is a segment of each shard in turn, the oldest first: the same however the pages fall, and all shards
    are read at once. A merge by time would wait for one shard after the other wherever one is ahead.
    """

    def __init__(self, day: date, shards: Sequence[_Shard]) -> None:
        """Take the shards, whose first pages are on their way."""
        self.day = day
        self.passed = 0.0
        self._midnight_ms = midnight_ms(day)
        self._shards = shards

    async def start(self) -> None:
        """Wait for the first page of each shard."""
        for shard in self._shards:
            await shard.turn()

    async def segments(self) -> AsyncGenerator[Sequence[Segment], None]:
        """Return what the pages at hand hold of every shard, and go on to the next ones."""
        while live := [shard for shard in self._shards if await shard.turn()]:
            rounds = min(len(shard.rest) for shard in live)
            yield list(chain.from_iterable(zip(*(shard.take(rounds) for shard in live), strict=True)))
            # Mixed segments come after a shard's own, from the beginning of the day: no progress is taken back.
            passed = sum(shard.passed(self._midnight_ms) for shard in self._shards) / len(self._shards)
            self.passed = max(self.passed, passed)

    async def close(self) -> None:
        """Let go of the pages that are on their way."""
        for shard in self._shards:
            await shard.close()
