"""Rollups of closed days (R12): an item for each product and day, a packed table of all products, and a summary.

The day's totals are written last: their existence means that the rest exists, which is therefore read from the writer.
They have the time at which counting began; a rollup that was begun before its day had closed, by a clock that was
ahead, does not count, nor does one whose day has got views since (`ViewStore.put_late`).

What outdates a rollup also gives the day's totals a mark, which names the next rollup and is in all of its items: so
readers notice items of another one, whose writer died or is slow (`RollupTorn`). Rollups with the same mark are
computed from the same views, so whichever process writes, it writes the same bytes.
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
"""Products in one item of a table: 112 KB, whose sum takes 2 ms."""
_PARTS_OF_PAGE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRollup:
    """What the totals of a day say of its rollup, which counts if `is_valid`.

    `mark` is that of its items, None for a day's first rollup. With `may_lack_views` the day could not be counted again
    because its segments had expired: views that came late are missing, and its items are of any mark.
    """

    counts: Counts = field(default_factory=Counts)
    mark: str | None = None
    is_valid: bool = False
    may_lack_views: bool = False

    def has(self, item: ViewDayItem | ViewSummaryItem | ViewTallyItem) -> bool:
        """Return whether an item belongs to the rollup; all do if it does not count."""
        return item.mark == self.mark or not self.is_valid or self.may_lack_views


class RollupTorn(Exception):
    """An item of a day's rollup, whose totals have this mark, belongs to another rollup of the day."""

    def __init__(self, day: date, mark: str | None) -> None:
        super().__init__(f"the rollup of {day} is torn")
        self.day = day
        self.mark = mark


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
        """Yield the packed tables of a day; those of one call are joined. Raises RollupTorn, perhaps at last."""
        async for parts in self._parts(day):
            for part in parts:
                _require(part, day, rollup)
            if rows := b"".join(part.rows for part in parts):
                yield rows

    async def parts(self, day: date, *, mark: str | None) -> dict[keys.Key, bytes]:
        """Return the parts of the packed tables of a day with this mark, by key; an interrupted rollup has some."""
        return {part.key: part.rows async for parts in self._parts(day) for part in parts if part.mark == mark}

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

    async def outdate(self, day: date, mark: str | None) -> str | None:
        """Make a day's rollup not count until it is made again, before any of its items is replaced: 1 call.

        Returns the mark of the next rollup; None, and writes nothing, if the totals have another mark than `mark`.
        """
        new_mark = new_id()
        return new_mark if await self._change(day, outdating(day, new_mark), mark=mark) else None

    async def keep(self, day: date, *, mark: str | None, at: datetime) -> bool:
        """Let a rollup that was outdated count as it is, because the day's segments have expired: 1 call.

        Returns False, and writes nothing, if the totals have another mark than `mark`.
        """
        actions = [ViewRollupItem.made_at.set(at), ViewRollupItem.may_lack_views.set(True)]
        return await self._change(day, actions, mark=mark)

    async def put_summary(self, summary: DaySummary, *, mark: str | None) -> None:
        """Write a day's summary, before all other items."""
        item = ViewSummaryItem.keyed(
            keys.view_summary(summary.day),
            hours=[list(hour) for hour in summary.hours],
            referrers=[list(referrer) for referrer in summary.referrers],
            direct=summary.direct,
            other=summary.other,
            mark=mark,
        )
        await self._table.put(Put(item))

    async def put_products(
        self,
        day: date,
        shard: int,
        products: Mapping[bytes, Counts],
        *,
        mark: str | None,
        stored: Mapping[keys.Key, bytes],
    ) -> None:
        """Write the counts of a shard's products, some thousand at a time: each singly, then all as a part of a table.

        The products of a part that is `stored` with the same counts and mark are complete, and are left out.
        """
        ordered = sorted(products.items())
        for part, first in enumerate(range(0, len(ordered), _PRODUCTS_OF_PART)):
            of_part = dict(ordered[first : first + _PRODUCTS_OF_PART])
            key, rows = keys.view_tally(day, shard, part), pack_table(of_part)
            if stored.get(key) == rows:
                continue
            items = [
                ViewDayItem.keyed(keys.view_day(product_id_of(product), day), **counts._asdict(), mark=mark)
                for product, counts in of_part.items()
            ]
            for start in range(0, len(items), MOST_PUTS):
                await self._table.put_many(items[start : start + MOST_PUTS])
            await self._table.put(Put(ViewTallyItem.keyed(key, rows=rows, mark=mark)))

    async def put_totals(self, summary: DaySummary, *, mark: str | None, made_at: datetime) -> bool:
        """Write a day's totals, which complete the rollup with this mark. All other items must be written before.

        Returns False, and writes nothing, if views of the day have been stored since `mark` was read, which the
        counting may lack.
        """
        key, totals = keys.view_rollup(summary.day), summary.total._asdict()
        item = ViewRollupItem.keyed(key, products=summary.products, made_at=made_at, outdated_by=mark, **totals)
        try:
            await self._table.put(Put(item, _has(mark)))
        except ConditionFailed:
            return False
        return True

    async def _change(self, day: date, actions: Sequence[Action], *, mark: str | None) -> bool:
        try:
            await self._table.update(Update(keys.view_rollup(day), actions, Item.pk.exists() & _has(mark)))
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
            mark=item.outdated_by,
            is_valid=is_closed(day, self._clock()) and (made_at is None or is_closed(day, made_at)),
            may_lack_views=bool(item.may_lack_views),
        )


def outdating(day: date, mark: str) -> list[Action]:
    """Return the actions by which a day's rollup counts for no release until the one with `mark` is complete."""
    return [
        ViewRollupItem.made_at.set(datetime.combine(day, time.min, UTC)),
        ViewRollupItem.outdated_by.set(mark),
    ]


def _has(mark: str | None) -> Condition:
    outdated_by = ViewRollupItem.outdated_by
    condition: Condition = outdated_by.does_not_exist() if mark is None else outdated_by == mark
    return condition


def _require(item: ViewDayItem | ViewSummaryItem | ViewTallyItem, day: date, rollup: StoredRollup) -> None:
    """Raise RollupTorn unless an item belongs to a rollup."""
    if not rollup.has(item):
        raise RollupTorn(day, rollup.mark)


def _counts(item: ViewDayItem | ViewRollupItem) -> Counts:
    return Counts(item.views, item.unique_visitors, item.bots)
