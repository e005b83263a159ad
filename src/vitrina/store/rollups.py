"""Rollups of closed days (R12): an item for each product and day, a packed table of all products, and a summary.

The day's totals are written last: their existence means that the rest exists, which is therefore read from the writer.
They have the time at which counting began; a rollup that was begun before its day had closed, by a clock that was
ahead, does not count.

A rollup is outdated before views of its day are stored late (`ViewStore.put_late`), and before it is made again. Its
totals then do not count, and get a new generation: an id, which the next rollup writes into all of its items. So a
reader notices an item of another generation, which a process that is slow or died has left (`RollupTorn`). Rollups of
one generation are computed from the same views, so whichever process writes, it writes the same bytes.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Final

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from vitrina.clock import Clock, now
from vitrina.domain.reports import Counts, DaySummary, HourViews, Period, is_closed, pack_table, product_id_of
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.items import Item, ViewDayItem, ViewRollupItem, ViewSummaryItem, ViewTallyItem, expect_type
from vitrina.store.operations import Put, Query, Update
from vitrina.store.paging import every, pages
from vitrina.store.table import MOST_PUTS, ConditionFailed, Table

_PRODUCTS_OF_PART: Final = 4_000
"""Products in one item of a table: 112 KB, whose sum takes 2 ms.

With more, a rollup that is made again would have fewer parts, and leave one of the generation before.
"""
_PARTS_OF_PAGE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRollup:
    """What the totals of a day say of its rollup, which counts if `is_valid`.

    `generation` is that of its items, None for a day's first rollup. With `may_lack_views` the day could not be counted
    again because its segments had expired: views that came late are missing, and its items are of any generation.
    """

    counts: Counts = field(default_factory=Counts)
    generation: str | None = None
    is_valid: bool = False
    may_lack_views: bool = False


class RollupTorn(Exception):
    """An item of a day's rollup is not of this generation, which the day's totals have."""

    def __init__(self, day: date, generation: str | None) -> None:
        super().__init__(f"the rollup of {day} is torn")
        self.day = day
        self.generation = generation


class RollupStore:
    """Writes and reads rollups; those of days that are not closed by `clock` do not count either."""

    def __init__(self, table: Table, *, clock: Clock = now) -> None:
        self._table = table
        self._clock = clock

    async def stored(self, period: Period) -> dict[date, StoredRollup]:
        """Return the rollups of a period, also those that do not count: 1 call. The latest may be missing."""
        condition = (Item.pk == keys.VIEW_ROLLUPS) & Item.sk.between(
            keys.view_rollup(period.first).sk, keys.view_rollup(period.last).sk
        )
        items = await every(self._table, Query(condition=condition))
        days = ((date.fromisoformat(item.sk), item) for item in items if isinstance(item, ViewRollupItem))
        return {day: self._stored(day, item) for day, item in days}

    async def totals(self, period: Period) -> dict[date, Counts]:
        """Return the totals of the days of a period that have a rollup that counts, as `stored` does."""
        return {day: rollup.counts for day, rollup in (await self.stored(period)).items() if rollup.is_valid}

    async def of_product(self, product_id: str, rollups: Mapping[date, StoredRollup]) -> dict[date, Counts]:
        """Return the counts of a product for the days of these rollups that have views: 1 call. Raises RollupTorn."""
        if not rollups:
            return {}
        condition = (Item.pk == keys.product(product_id).pk) & Item.sk.between(
            keys.view_day(product_id, min(rollups)).sk, keys.view_day(product_id, max(rollups)).sk
        )
        items = await every(self._table, Query(condition=condition, consistent=True))
        found: dict[date, Counts] = {}
        for item in items:
            day = date.fromisoformat(item.sk.removeprefix(keys.VIEW_DAY_PREFIX))
            if day in rollups and isinstance(item, ViewDayItem):
                _require(item, day, rollups[day])
                found[day] = _counts(item)
        return found

    async def tables(self, day: date, rollup: StoredRollup) -> AsyncIterator[bytes]:
        """Yield the packed tables of a day; those of one call are joined. Raises RollupTorn, perhaps after some."""
        async for parts in self._parts(day):
            for part in parts:
                _require(part, day, rollup)
            if rows := b"".join(part.rows for part in parts):
                yield rows

    async def parts(self, day: date, *, generation: str | None) -> dict[keys.Key, bytes]:
        """Return the packed tables of a day and generation, as far as they are written, by the key of each part."""
        found = [part async for parts in self._parts(day) for part in parts]
        return {part.key: part.rows for part in found if part.generation == generation}

    async def summary(self, day: date) -> tuple[DaySummary, StoredRollup] | None:
        """Return the summary of a day, None without a rollup that counts: 1 call. Raises RollupTorn."""
        wanted = [keys.view_rollup(day), keys.view_summary(day)]
        found = await self._table.get_many(wanted, consistent=True)
        totals, summary = (found.get(key) for key in wanted)
        if not isinstance(totals, ViewRollupItem) or not isinstance(summary, ViewSummaryItem):
            return None
        rollup = self._stored(day, totals)
        if not rollup.is_valid:
            return None
        _require(summary, day, rollup)
        of_day = DaySummary(
            day=day,
            total=rollup.counts,
            products=totals.products,
            hours=[HourViews(*hour) for hour in summary.hours],
            referrers=[(host, number) for host, number in summary.referrers],
            direct=summary.direct,
            other=summary.other,
        )
        return of_day, rollup

    async def earlier(self, day: date) -> tuple[StoredRollup, datetime]:
        """Read a day's totals before its views are counted: 1 call. Returns the time by the table's clock too."""
        item, read_at = await self._table.get_dated(keys.view_rollup(day))
        rollup = self._stored(day, item) if isinstance(item, ViewRollupItem) else StoredRollup()
        return rollup, read_at or self._clock()

    async def outdate(self, day: date, generation: str | None) -> str | None:
        """Make a day's rollup not count until it is made again, before any of its items is replaced: 1 call.

        Returns the generation of the next rollup; None, and writes nothing, if the totals are not of `generation`.
        """
        following = new_id()
        return following if await self._change(day, outdating(day, following), generation=generation) else None

    async def keep(self, day: date, *, generation: str | None, at: datetime) -> bool:
        """Let a rollup that was outdated count as it is, because the day's segments have expired: 1 call.

        Returns False, and writes nothing, if the totals are not of `generation`.
        """
        actions = [ViewRollupItem.made_at.set(at), ViewRollupItem.may_lack_views.set(True)]
        return await self._change(day, actions, generation=generation)

    async def put_summary(self, summary: DaySummary, *, generation: str | None) -> None:
        """Write a day's summary, before all other items."""
        item = ViewSummaryItem.keyed(
            keys.view_summary(summary.day),
            hours=[list(hour) for hour in summary.hours],
            referrers=[list(referrer) for referrer in summary.referrers],
            direct=summary.direct,
            other=summary.other,
            generation=generation,
        )
        await self._table.put(Put(item))

    async def put_products(
        self,
        day: date,
        shard: int,
        products: Mapping[bytes, Counts],
        *,
        generation: str | None,
        stored: Mapping[keys.Key, bytes],
    ) -> None:
        """Write the counts of a shard's products, some thousand at a time: each singly, then all as a part of a table.

        The products of a part that is `stored` with the same counts and generation are complete, and are left out.
        """
        ordered = sorted(products.items())
        for part, first in enumerate(range(0, len(ordered), _PRODUCTS_OF_PART)):
            of_part = dict(ordered[first : first + _PRODUCTS_OF_PART])
            key, rows = keys.view_tally(day, shard, part), pack_table(of_part)
            if stored.get(key) == rows:
                continue
            items = [
                ViewDayItem.keyed(keys.view_day(product_id_of(product), day), **counts._asdict(), generation=generation)
                for product, counts in of_part.items()
            ]
            for start in range(0, len(items), MOST_PUTS):
                await self._table.put_many(items[start : start + MOST_PUTS])
            await self._table.put(Put(ViewTallyItem.keyed(key, rows=rows, generation=generation)))

    async def put_totals(self, summary: DaySummary, *, generation: str | None, made_at: datetime) -> bool:
        """Write a day's totals, which complete the rollup of this generation. All other items must be written before.

        Returns False, and writes nothing, if the rollup was outdated after `generation` was read: the counting may lack
        views that were stored since.
        """
        key, totals = keys.view_rollup(summary.day), summary.total._asdict()
        item = ViewRollupItem.keyed(key, products=summary.products, made_at=made_at, generation=generation, **totals)
        try:
            await self._table.put(Put(item, _has(generation)))
        except ConditionFailed:
            return False
        return True

    async def _change(self, day: date, actions: Sequence[Action], *, generation: str | None) -> bool:
        try:
            await self._table.update(Update(keys.view_rollup(day), actions, Item.pk.exists() & _has(generation)))
        except ConditionFailed:
            return False
        return True

    async def _parts(self, day: date) -> AsyncIterator[list[ViewTallyItem]]:
        condition = (Item.pk == keys.view_tallies(day)) & Item.sk.startswith(keys.VIEW_TALLY_PREFIX)
        query = Query(condition=condition, consistent=True)
        async for items in pages(self._table, query, limit=_PARTS_OF_PAGE):
            yield [expect_type(item, ViewTallyItem) for item in items]

    def _stored(self, day: date, item: ViewRollupItem) -> StoredRollup:
        made_at: datetime | None = item.made_at
        return StoredRollup(
            counts=_counts(item),
            generation=item.generation,
            is_valid=is_closed(day, self._clock()) and (made_at is None or is_closed(day, made_at)),
            may_lack_views=bool(item.may_lack_views),
        )


def outdating(day: date, generation: str) -> list[Action]:
    """Return the actions by which a day's rollup counts for no release until the one of `generation` is complete."""
    return [
        ViewRollupItem.made_at.set(datetime.combine(day, time.min, UTC)),
        ViewRollupItem.generation.set(generation),
    ]


def _has(generation: str | None) -> Condition:
    stored = ViewRollupItem.generation
    condition: Condition = stored.does_not_exist() if generation is None else stored == generation
    return condition


def _require(item: ViewDayItem | ViewSummaryItem | ViewTallyItem, day: date, rollup: StoredRollup) -> None:
    """Raise RollupTorn unless an item belongs to a rollup; all do if it does not count, or may lack views."""
    if rollup.is_valid and not rollup.may_lack_views and item.generation != rollup.generation:
        raise RollupTorn(day, rollup.generation)


def _counts(item: ViewDayItem | ViewRollupItem) -> Counts:
    return Counts(item.views, item.unique_visitors, item.bots)
