"""Rollups of closed days (R12): an item for each product and day, a packed table of all products, and a summary.

A rollup is computed from the day's segments alone, so writing it again writes the same bytes under the same keys. The
day's totals are written last: their existence means that the rest exists, which is therefore read from the writer. They
have the time at which counting began; a rollup that was begun before its day had closed, by a clock that was ahead,
does not count, nor does one whose day has got views since (`ViewStore.outdate_rollups`).
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from vitrina.clock import Clock, now
from vitrina.domain.reports import Counts, DaySummary, HourViews, Period, is_closed, pack_table, product_id_of
from vitrina.store import keys
from vitrina.store.items import Item, ViewDayItem, ViewRollupItem, ViewSummaryItem, ViewTallyItem, expect_type
from vitrina.store.operations import Put, Query
from vitrina.store.paging import every, pages
from vitrina.store.table import MOST_PUTS, ConditionFailed, Table

_PRODUCTS_OF_PART: Final = 4_000
"""Products in one item of a table: 112 KB, whose sum takes 2 ms."""
_PARTS_OF_PAGE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierRollup:
    """What is stored of a day's rollup before its views are counted: `counts`, even if it does not count (`is_valid`).

    `read_at` is when it was read, by the table's clock if it has one.
    """

    counts: Counts
    is_valid: bool
    outdated_by: str | None
    read_at: datetime


class RollupStore:
    """Writes and reads rollups; those of days that are not closed by `clock` do not count either."""

    def __init__(self, table: Table, *, clock: Clock = now) -> None:
        self._table = table
        self._clock = clock

    async def totals(self, period: Period) -> dict[date, Counts]:
        """Return the totals of the days of a period that have a rollup: 1 call. The latest may be missing."""
        condition = (Item.pk == keys.VIEW_ROLLUPS) & Item.sk.between(
            keys.view_rollup(period.first).sk, keys.view_rollup(period.last).sk
        )
        items = await every(self._table, Query(condition=condition))
        return {
            day: _counts(item)
            for item in items
            if isinstance(item, ViewRollupItem) and self._is_valid(day := date.fromisoformat(item.sk), item)
        }

    async def of_product(self, product_id: str, period: Period) -> dict[date, Counts]:
        """Return the counts of a product for the days with views and a rollup: 1 call."""
        condition = (Item.pk == keys.product(product_id).pk) & Item.sk.between(
            keys.view_day(product_id, period.first).sk, keys.view_day(product_id, period.last).sk
        )
        items = await every(self._table, Query(condition=condition, consistent=True))
        days = {item.sk.removeprefix(keys.VIEW_DAY_PREFIX): item for item in items if isinstance(item, ViewDayItem)}
        return {date.fromisoformat(day): _counts(item) for day, item in days.items()}

    async def tables(self, day: date) -> AsyncIterator[bytes]:
        """Yield the packed tables of a day with a rollup; those of one call are joined."""
        async for parts in self._parts(day):
            if rows := b"".join(part.rows for part in parts):
                yield rows

    async def parts(self, day: date) -> dict[keys.Key, bytes]:
        """Return the parts of the packed tables of a day that are stored, by key; an interrupted rollup has some."""
        return {part.key: part.rows async for parts in self._parts(day) for part in parts}

    async def summary(self, day: date) -> DaySummary | None:
        """Return the summary of a day, None without a rollup: 1 call."""
        wanted = [keys.view_rollup(day), keys.view_summary(day)]
        found = await self._table.get_many(wanted, consistent=True)
        rollup, summary = (found.get(key) for key in wanted)
        if not isinstance(rollup, ViewRollupItem) or not isinstance(summary, ViewSummaryItem):
            return None
        if not self._is_valid(day, rollup):
            return None
        return DaySummary(
            day=day,
            total=_counts(rollup),
            products=rollup.products,
            hours=[HourViews(*hour) for hour in summary.hours],
            referrers=[(host, number) for host, number in summary.referrers],
            direct=summary.direct,
            other=summary.other,
        )

    async def earlier(self, day: date) -> EarlierRollup:
        """Read a day's totals before its views are counted: 1 call."""
        item, read_at = await self._table.get_dated(keys.view_rollup(day))
        rollup = item if isinstance(item, ViewRollupItem) else None
        return EarlierRollup(
            counts=Counts() if rollup is None else _counts(rollup),
            is_valid=rollup is not None and self._is_valid(day, rollup),
            outdated_by=None if rollup is None else rollup.outdated_by,
            read_at=read_at or self._clock(),
        )

    async def put_summary(self, summary: DaySummary) -> None:
        """Write a day's summary, before all other items."""
        item = ViewSummaryItem.keyed(
            keys.view_summary(summary.day),
            hours=[list(hour) for hour in summary.hours],
            referrers=[list(referrer) for referrer in summary.referrers],
            direct=summary.direct,
            other=summary.other,
        )
        await self._table.put(Put(item))

    async def put_products(
        self, day: date, shard: int, products: Mapping[bytes, Counts], *, stored: Mapping[keys.Key, bytes]
    ) -> None:
        """Write the counts of a shard's products, some thousand at a time: each singly, then all as a part of a table.

        The products of a part that is `stored` with the same counts are complete, and are left out.
        """
        ordered = sorted(products.items())
        for part, first in enumerate(range(0, len(ordered), _PRODUCTS_OF_PART)):
            of_part = dict(ordered[first : first + _PRODUCTS_OF_PART])
            key, rows = keys.view_tally(day, shard, part), pack_table(of_part)
            if stored.get(key) == rows:
                continue
            items = [
                ViewDayItem.keyed(keys.view_day(product_id_of(product), day), **counts._asdict())
                for product, counts in of_part.items()
            ]
            for start in range(0, len(items), MOST_PUTS):
                await self._table.put_many(items[start : start + MOST_PUTS])
            await self._table.put(Put(ViewTallyItem.keyed(key, rows=rows)))

    async def put_totals(self, summary: DaySummary, *, earlier: EarlierRollup) -> bool:
        """Write a day's totals, which complete the rollup. All other items must be written before.

        Returns False, and writes nothing, if views of the day have been stored since `earlier`, which the counting may
        lack.
        """
        key, totals = keys.view_rollup(summary.day), summary.total._asdict()
        item = ViewRollupItem.keyed(
            key, products=summary.products, made_at=earlier.read_at, outdated_by=earlier.outdated_by, **totals
        )
        mark = ViewRollupItem.outdated_by
        unchanged = mark.does_not_exist() if earlier.outdated_by is None else mark == earlier.outdated_by
        try:
            await self._table.put(Put(item, unchanged))
        except ConditionFailed:
            return False
        return True

    async def _parts(self, day: date) -> AsyncIterator[list[ViewTallyItem]]:
        condition = (Item.pk == keys.view_tallies(day)) & Item.sk.startswith(keys.VIEW_TALLY_PREFIX)
        query = Query(condition=condition, consistent=True)
        async for items in pages(self._table, query, limit=_PARTS_OF_PAGE):
            yield [expect_type(item, ViewTallyItem) for item in items]

    def _is_valid(self, day: date, item: ViewRollupItem) -> bool:
        made_at: datetime | None = item.made_at
        return is_closed(day, self._clock()) and (made_at is None or is_closed(day, made_at))


def _counts(item: ViewDayItem | ViewRollupItem) -> Counts:
    return Counts(item.views, item.unique_visitors, item.bots)
