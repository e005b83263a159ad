"""A history of views in memory, as a source of exports."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any, cast

from tests.stored_views import unpack
from vitrina.clock import rfc3339
from vitrina.domain.reports import Period
from vitrina.domain.views import PackedViews, View
from vitrina.services.exports.source import Day
from vitrina.store import keys
from vitrina.store.table import Table
from vitrina.store.views import Segment, ViewStore

DAY = date(2026, 11, 20)
LAMP = "01a20ceb-ab32-7095-a216-7a34ed216944"
KETTLE = "01a20ceb-ab32-7095-a216-7a34ed216945"


class History:
    """A source that records which days and SKUs were read; the store's own code makes its segments."""

    def __init__(self, views: Sequence[View], *, skus: Mapping[str, str] | None = None, page: int = 3) -> None:
        self.known = skus or {}
        self.late: dict[date, str] = {}
        self.skus_read: list[str] = []
        self.opened: list[date] = []
        self._page = page
        self._segments: dict[tuple[date, int], list[tuple[str, Segment]]] = {}
        self.add(views)

    def add(self, views: Sequence[View]) -> None:
        """Add views as stored segments."""
        for item in ViewStore(cast(Table, None)).segments(views):
            packed = PackedViews(events=item.events, referrers=item.referrers or [])
            segment = Segment(keys.segment_id(item.sk), packed)
            self._segments.setdefault(keys.day_and_shard(item.pk), []).append((item.sk, segment))

    async def first_day(self) -> date | None:
        """Return the first day with views."""
        return min((day for day, _ in self._segments), default=None)

    async def generations(self, period: Period) -> Mapping[date, str]:
        """Return the generations of a period's days."""
        return {day: generation for day, generation in self.late.items() if day in set(period)}

    def open(self, day: date) -> Day:
        """Start to read a day."""
        self.opened.append(day)
        pages = [self._pages(day, shard) for shard in range(keys.VIEW_SHARDS)]
        return Day(day, pages, free=asyncio.Semaphore(4))

    async def skus(self, product_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the SKUs of the known products."""
        self.skus_read += product_ids
        return {product_id: self.known[product_id] for product_id in product_ids if product_id in self.known}

    async def _pages(self, day: date, shard: int) -> AsyncGenerator[list[Segment], None]:
        segments = iter(self._of_shard(day, shard))
        while page := list(islice(segments, self._page)):
            yield page

    def _of_shard(self, day: date, shard: int) -> list[Segment]:
        return [segment for _, segment in sorted(self._segments.get((day, shard), []))]

    def rows(self, day: date) -> list[dict[str, Any]]:
        """Return a day's events as rows, in the order of an export: a segment of each shard in turn."""
        shards = [self._of_shard(day, shard) for shard in range(keys.VIEW_SHARDS)]
        longest = max(map(len, shards))
        return [
            row
            for place in range(longest)
            for segments in shards
            for segment in segments[place : place + 1]
            for row in self._rows(segment, day)
        ]

    def _rows(self, segment: Segment, day: date) -> list[dict[str, Any]]:
        return [
            {
                "event_id": f"{segment.id}-{place}",
                "event_time": rfc3339(datetime.fromtimestamp(view.at_ms / 1000, UTC)),
                "day": f"{day}",
                "product_id": view.product_id,
                "sku": self.known.get(view.product_id),
                "visitor_id": view.visitor.hex(),
                "referrer_host": view.referrer_host,
                "is_bot": view.bot,
            }
            for place, view in enumerate(unpack(segment.packed, day))
        ]
