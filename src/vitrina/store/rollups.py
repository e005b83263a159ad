"""Rollups of closed days (R12): small items by product and day, a table of all products of a day, and what it tells.

They follow from the segments alone, so writing them again is the same bytes under the same keys. The item that says
that a day is rolled up is written last. Who has seen it may rely on the others, so those are read from the writer.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import date
from typing import Final

from vitrina.domain.reports import (
    ROW_BYTES,
    Counts,
    DaySummary,
    HourViews,
    Period,
    pack_table,
    product_id_of,
    unpack_table,
)
from vitrina.store import keys
from vitrina.store.items import Item, ViewDayItem, ViewRollupItem, ViewSummaryItem, ViewTallyItem
from vitrina.store.paging import every
from vitrina.store.reads import Query
from vitrina.store.table import MOST_PUTS, Table
from vitrina.store.writes import Put

_ROWS_OF_PART: Final = 4_000
"""Products of one item of a table: 112 KB, which take 2 ms to add up."""
_PARTS_OF_PAGE: Final = 8


class RollupStore:
    """Writes and reads rollups."""

    def __init__(self, table: Table) -> None:
        """Take the table."""
        self._table = table

    async def totals(self, period: Period) -> dict[date, Counts]:
        """Return the totals of those days of a period that are rolled up, perhaps without the latest: 1 call."""
        condition = (Item.pk == keys.VIEW_ROLLUPS) & Item.sk.between(
            keys.view_rollup(period.first).sk, keys.view_rollup(period.last).sk
        )
        items = await every(self._table, Query(condition=condition))
        return {date.fromisoformat(item.sk): _counts(item) for item in items if isinstance(item, ViewRollupItem)}

    async def of_product(self, product_id: str, period: Period) -> dict[date, Counts]:
        """Return the days of a product that have views, of those that are rolled up: 1 call."""
        condition = (Item.pk == keys.product(product_id).pk) & Item.sk.between(
            keys.view_day(product_id, period.first).sk, keys.view_day(product_id, period.last).sk
        )
        items = await every(self._table, Query(condition=condition, consistent=True))
        days = {item.sk.removeprefix(keys.VIEW_DAY_PREFIX): item for item in items if isinstance(item, ViewDayItem)}
        return {date.fromisoformat(day): _counts(item) for day, item in days.items()}

    async def tables(self, day: date, shard: int | None = None) -> AsyncIterator[bytes]:
        """Return the packed tables of a day that is rolled up, of one shard or of all: those of each call joined."""
        partition, prefix = keys.view_tallies(day, shard)
        query = Query(condition=(Item.pk == partition) & Item.sk.startswith(prefix), consistent=True)
        items, position = await self._table.query(query, limit=_PARTS_OF_PAGE)
        while True:
            rows = b"".join(item.rows for item in items if isinstance(item, ViewTallyItem))
            if rows:
                yield rows
            if position is None:
                return
            items, position = await self._table.query(query, limit=_PARTS_OF_PAGE, start=position)

    async def events(self, day: date, shard: int) -> int:
        """Return how many views a shard's rollup counts, bots among them; 0 if there is none."""
        tables = [table async for table in self.tables(day, shard)]
        return sum(counts.views + counts.bots for table in tables for _, counts in unpack_table(table))

    async def summary(self, day: date) -> DaySummary | None:
        """Return what a day tells of the whole shop, None if it is not rolled up: 1 call."""
        wanted = [keys.view_rollup(day), keys.view_summary(day)]
        found = await self._table.get_many(wanted, consistent=True)
        rollup, summary = (found.get(key) for key in wanted)
        if not isinstance(rollup, ViewRollupItem) or not isinstance(summary, ViewSummaryItem):
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

    async def put_products(self, day: date, shard: int, products: Mapping[bytes, Counts]) -> None:
        """Write the counts of a shard's products."""
        items = [
            ViewDayItem.keyed(keys.view_day(product_id_of(product), day), **counts._asdict())
            for product, counts in products.items()
        ]
        for first in range(0, len(items), MOST_PUTS):
            await self._table.put_many(items[first : first + MOST_PUTS])
        table = pack_table(products)
        size = _ROWS_OF_PART * ROW_BYTES
        for part, first in enumerate(range(0, len(table), size)):
            rows = table[first : first + size]
            await self._table.put(Put(ViewTallyItem.keyed(keys.view_tally(day, shard, part), rows=rows)))

    async def put_summary(self, summary: DaySummary) -> None:
        """Write what a day tells, then that it is rolled up; all else must be there."""
        item = ViewSummaryItem.keyed(
            keys.view_summary(summary.day),
            hours=[list(hour) for hour in summary.hours],
            referrers=[list(referrer) for referrer in summary.referrers],
            direct=summary.direct,
            other=summary.other,
        )
        await self._table.put(Put(item))
        done = ViewRollupItem.keyed(keys.view_rollup(summary.day), products=summary.products, **summary.total._asdict())
        await self._table.put(Put(done))


def _counts(item: ViewDayItem | ViewRollupItem) -> Counts:
    return Counts(item.views, item.unique_visitors, item.bots)
