"""Streams an export: reads days, decodes batches of events, looks up their SKUs, and encodes them.

Decoding and encoding run in threads, where Arrow releases the interpreter's lock, while the next pages arrive. The
read-ahead is bounded: two pages of each shard and two batches of a day, and the first pages of the next day.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import islice
from typing import Final, ParamSpec, Self, TypeVar

from vitrina.services.concurrency import ahead, in_turn
from vitrina.services.exports.columns import EventBatch, decode, products_of
from vitrina.services.exports.formats import Encoder, Skus
from vitrina.services.exports.source import Day, ViewSource
from vitrina.store.views import Segment

P = ParamSpec("P")
T = TypeVar("T")
_BATCHES_AT_ONCE: Final = 2
"""Batches that are being decoded or wait to be encoded; a third one was no faster."""
_MOST_SKUS: Final = 100_000
"""SKUs that are cached, at about 150 bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The progress of an export: `days` of its days, the last one in part, and `rows` events."""

    days: float
    rows: int


Report = Callable[[Progress], object]


class Exporter:
    """Encodes days of a source. A context, which owns two threads: one decodes while the other encodes."""

    def __init__(self, source: ViewSource, *, report: Report = lambda _: None) -> None:
        self._source = source
        self._report = report
        self._skus: dict[str, str | None] = {}
        self._looking_up = asyncio.Lock()
        self._days = 0
        self._threads = ThreadPoolExecutor(2, "export")
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def days(self, days: Iterable[date]) -> AsyncGenerator[Day, None]:
        """Yield days in turn, each of which is opened while the one before is being encoded. Close the iterator."""
        opened: deque[Day] = deque()
        rest = map(self._source.open, days)
        try:
            opened.extend(islice(rest, 1))
            while opened:
                opened.extend(islice(rest, 1))
                yield opened[0]
                await opened.popleft().close()
                self._days += 1
                self._report(Progress(days=self._days, rows=self.rows))
        finally:
            for day in opened:
                await day.close()

    async def stream(self, days: Iterable[date], encoder: Encoder) -> AsyncGenerator[memoryview, None]:
        """Yield days as one file, the first piece once the first pages have been read. Close the iterator."""
        began = False
        async with aclosing(self.days(days)) as opened:
            async for day in opened:
                if not began:
                    await day.ready()
                    yield memoryview(encoder.begin())
                    began = True
                async with aclosing(self._encoded(day, encoder)) as pieces:
                    async for piece in pieces:
                        yield piece
        yield memoryview(encoder.end())

    async def file(self, day: Day, encoder: Encoder) -> AsyncGenerator[memoryview, None]:
        """Yield a day as one file. Close the iterator."""
        yield memoryview(encoder.begin())
        async with aclosing(self._encoded(day, encoder)) as pieces:
            async for piece in pieces:
                yield piece
        yield memoryview(encoder.end())

    async def _encoded(self, day: Day, encoder: Encoder) -> AsyncGenerator[memoryview, None]:
        """Yield a day's events in pieces, while the next pieces are being decoded and encoded."""
        async with aclosing(ahead(self._encode(day, encoder))) as pieces:
            async for rows, piece in pieces:
                yield piece
                self.rows += rows
                self._report(Progress(days=self._days + day.passed, rows=self.rows))

    async def _encode(self, day: Day, encoder: Encoder) -> AsyncGenerator[tuple[int, memoryview], None]:
        batches = _batches(day, encoder.rows)
        async with aclosing(in_turn(batches, partial(self._decode, day.day), at_once=_BATCHES_AT_ONCE)) as decoded:
            async for events, skus in decoded:
                yield events.rows, await self._in_thread(encoder.encode, events, skus)

    async def _decode(self, day: date, segments: Sequence[Segment]) -> tuple[EventBatch, Skus]:
        products = await self._in_thread(products_of, segments)
        looking_up = asyncio.create_task(self._skus_of(products.ids))
        try:
            return await self._in_thread(decode, day, segments, products), await looking_up
        finally:
            looking_up.cancel()
            await asyncio.gather(looking_up, return_exceptions=True)

    async def _in_thread(self, work: Callable[P, T], *arguments: P.args, **_: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def _skus_of(self, product_ids: Sequence[str]) -> Skus:
        """Return the SKUs of a batch's products, from the cache where possible."""
        known = self._skus
        async with self._looking_up:
            wanted = [product_id for product_id in product_ids if product_id not in known]
            if wanted:
                if len(known) + len(wanted) > _MOST_SKUS:
                    known.clear()
                    wanted = list(product_ids)
                found = await self._source.skus(wanted)
                known |= {product_id: found.get(product_id) for product_id in wanted}
            return [known[product_id] for product_id in product_ids]


async def _batches(day: Day, rows: int) -> AsyncGenerator[Sequence[Segment], None]:
    """Group a day's segments into batches of at least `rows` events, regardless of page boundaries."""
    batch: list[Segment] = []
    size = 0
    async with aclosing(day.segments()) as parts:
        async for part in parts:
            for segment in part:
                batch.append(segment)
                size += len(segment.packed)
                if size >= rows:
                    yield batch
                    batch, size = [], 0
    if batch:
        yield batch
