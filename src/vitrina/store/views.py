"""View segments in the table (R11): items with many views of a day each, in shards of products.

Views of several shards are written as one mixed segment if that at least halves the write units, since a few views
leave most of a unit unused. In return, a report of the open day has to read the mixed segments of all products; there
are far more views than such reports. Views of one shard that arrive together and fill no unit are mixed too: if many
processes read one hot product, its shard's partition alone could not take their segments.
"""

import math
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import Final, NamedTuple

import orjson

from vitrina.backoff import Backoff
from vitrina.clock import Clock, epoch_seconds, now
from vitrina.domain.reports import is_closed
from vitrina.domain.views import (
    DAY_MS,
    MOST_IN_SEGMENT,
    MOST_OF_REFERRERS,
    VIEW_BYTES,
    PackedViews,
    View,
    day_of,
    pack,
    shard_of,
)
from vitrina.errors import TableUnavailable
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.items import Item, RawItem, ViewRollupItem, ViewSegmentItem
from vitrina.store.operations import Query, Update
from vitrina.store.rollups import outdating
from vitrina.store.table import MOST_PUTS, Table

_UNIT: Final = 1024
"""Bytes of a write unit."""
_BARE: Final = 82
"""Bytes of a mixed segment without its views and their referrers."""
_PAGE_BYTES: Final = 1024 * 1024
"""Bytes that one call reads at most."""
_LARGEST: Final = 64
"""Segments of the maximum size, 16 KB, in such a page."""
_BACKOFF: Final = Backoff(first=1, longest=16, jitter=0.5)
"""Pauses between the tries of one page."""
_EARLY: Final = timedelta(minutes=30)
"""Time before a day closes from which new segments outdate its rollup: clocks of two processes differ by less."""
_NO_REFERRERS: Final = {"S": ""}
_QUOTED: Final = 4
"""Bytes that JSON adds to a host in a list: quotes, comma, space."""


class Segment(NamedTuple):
    """A stored segment: its id, which contains its time, and its packed views."""

    id: str
    packed: PackedViews


class ViewStore:
    """Writes and reads segments. Reads ignore expired ones that TTL has not deleted yet."""

    def __init__(
        self, table: Table, *, retention_days: int = 0, clock: Clock = now, backoff: Backoff = _BACKOFF
    ) -> None:
        """TTL deletes a segment `retention_days` after its day; 0: never."""
        self._table = table
        self._retention_days = retention_days
        self._clock = clock
        self._backoff = backoff

    def segments(self, views: Sequence[View]) -> list[ViewSegmentItem]:
        """Return the items for `views`: for each day one per shard or a mixed one, more if one would be too large."""
        days: dict[int, dict[int, list[View]]] = {}
        for view in views:
            shards = days.setdefault(view.at_ms // DAY_MS, {})
            shards.setdefault(shard_of(view.product_id, keys.VIEW_SHARDS), []).append(view)
        return [segment for number, shards in days.items() for segment in self._of_day(day_of(number * DAY_MS), shards)]

    async def put(self, segments: Sequence[ViewSegmentItem]) -> None:
        """Write segments: 1 call for each `MOST_PUTS`. Idempotent."""
        for first in range(0, len(segments), MOST_PUTS):
            await self._table.put_many(segments[first : first + MOST_PUTS])

    async def put_late(self, segments: Sequence[ViewSegmentItem]) -> set[date]:
        """Write segments as `put` does, but outdate the rollups of closed days first: 1 call more for each such day.

        A rollup that is being made is outdated too. If the process dies in between, a day is counted again in vain, and
        no stored segment is left out. `Rollups.roll_up` waits until the segments are stored. Returns the days.
        """
        outdated: set[date] = set()
        for first in range(0, len(segments), MOST_PUTS):
            some = segments[first : first + MOST_PUTS]
            outdated |= await self._outdate_rollups(some)
            await self._table.put_many(some)
        return outdated

    async def _outdate_rollups(self, segments: Sequence[ViewSegmentItem]) -> set[date]:
        at = self._clock()
        unexpired = [one for one in segments if (one.expires_at or math.inf) > epoch_seconds(at)]
        days = {day for one in unexpired if is_closed(day := keys.day_and_shard(one.pk)[0], at + _EARLY)}
        counts = ViewRollupItem.views, ViewRollupItem.unique_visitors, ViewRollupItem.bots, ViewRollupItem.products
        for day in days:
            actions = [
                ViewRollupItem.type.set(ViewRollupItem),
                ViewRollupItem.v.set(1),
                *(count.set(count | 0) for count in counts),
                *outdating(day, new_id()),
            ]
            await self._table.update(Update(keys.view_rollup(day), actions))
        return days

    async def pages(
        self, day: date, shard: int, *, only_mixed: bool = False, page: int = 1_000, tries: int = 1
    ) -> AsyncIterator[list[Segment]]:
        """Yield the packed segments of a day in one shard's partition, those of the shard before mixed ones.

        Each list is the result of a call: up to `page` segments, at most 1 MB. Long exports set `tries`: each page is
        tried so many times, with pauses, before TableUnavailable is raised.
        """
        condition = Item.pk == keys.view_segments(day, shard)
        if only_mixed:
            condition &= Item.sk.startswith(keys.MIXED_PREFIX)
        query, limit, position = Query(condition=condition), min(page, _LARGEST), None
        while True:
            items, position = await self._page(query, limit, position, tries)
            yield self._unexpired(items)
            if position is None:
                return
            limit = min(page, _fitting(items) or limit)

    def pages_of_product(self, day: date, product_id: str) -> list[AsyncIterator[list[Segment]]]:
        """Return iterators of the pages that may have views of a product: its shard's, and mixed ones of others."""
        own = shard_of(product_id, keys.VIEW_SHARDS)
        return [self.pages(day, shard, only_mixed=shard != own) for shard in range(keys.VIEW_SHARDS)]

    async def _page(
        self, query: Query, limit: int, start: dict[str, str] | None, tries: int
    ) -> tuple[list[RawItem], dict[str, str] | None]:
        for attempt in range(1, tries):
            try:
                return await self._table.query_raw(query, limit=limit, start=start)
            except TableUnavailable:
                await self._backoff.sleep(attempt)
        return await self._table.query_raw(query, limit=limit, start=start)

    def _unexpired(self, items: Sequence[RawItem]) -> list[Segment]:
        """Decode the segments that have not expired. Models are avoided: building them would take most of the time."""
        at = epoch_seconds(self._clock())
        return [
            Segment(
                keys.segment_id(item["sk"]["S"]),
                PackedViews(
                    events=item["events"]["B"],
                    referrers=orjson.loads(item["referrers"]["S"]) if "referrers" in item else [],
                ),
            )
            for item in items
            if "expires_at" not in item or int(item["expires_at"]["N"]) > at
        ]

    def _of_day(self, day: date, shards: Mapping[int, Sequence[View]]) -> Iterator[ViewSegmentItem]:
        views = list(chain.from_iterable(shards.values()))
        units = _units(views)
        if 2 * units <= sum(map(_units, shards.values())) or units == 1 < len(views):
            for part in _parts(views):
                segment_id = new_id()
                shard = shard_of(segment_id, keys.VIEW_SHARDS)
                yield self._segment(keys.mixed_view_segment(day, shard, segment_id), day, part)
        else:
            for shard, of_shard in shards.items():
                for part in _parts(of_shard):
                    yield self._segment(keys.view_segment(day, shard, new_id()), day, part)

    def _segment(self, key: keys.Key, day: date, views: Sequence[View]) -> ViewSegmentItem:
        packed = pack(views)
        expires_at = None
        if self._retention_days:
            last_day = day + timedelta(days=self._retention_days + 1)
            expires_at = epoch_seconds(datetime.combine(last_day, time.min, UTC))
        return ViewSegmentItem.keyed(
            key,
            events=packed.events,
            referrers=packed.referrers or None,
            expires_at=expires_at,
        )


def _fitting(items: Sequence[RawItem]) -> int:
    """Return the number of segments like these in 1 MB; DynamoDB Local reads those beyond it in vain."""
    size = sum(_BARE + len(item["events"]["B"]) + len(item.get("referrers", _NO_REFERRERS)["S"]) for item in items)
    return _PAGE_BYTES * len(items) // size if size else 0


def _units(views: Sequence[View]) -> int:
    """Return the write units of views as one segment, without their referrers."""
    return -(-(_BARE + VIEW_BYTES * len(views)) // _UNIT)


def _parts(views: Iterable[View]) -> Iterator[list[View]]:
    """Split views so that each part, with its referring hosts, is a segment of at most 16 KB."""
    part: list[View] = []
    hosts: set[str] = set()
    size = 0
    for view in views:
        host = view.referrer_host
        new = 0 if host is None or host in hosts else len(host) + _QUOTED
        if part and (len(part) == MOST_IN_SEGMENT or size + new > MOST_OF_REFERRERS):
            yield part
            part, hosts, size = [], set(), 0
            new = 0 if host is None else len(host) + _QUOTED
        part.append(view)
        if host is not None:
            hosts.add(host)
        size += new
    if part:
        yield part
