"""Rollups of closed days (R12): an item for each product and day, a packed table of all products, and a summary.

A rollup is computed from the day's segments alone, so writing it again writes the same bytes under the same keys. The
day's totals are written last: their existence means that the rest exists, which is therefore read from the writer.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import date
from typing import Final

from vitrina.domain.reports import ROW_BYTES, Counts, DaySummary, HourViews, Period, pack_table, product_id_of
from vitrina.store import keys
from vitrina.store.items import Item, ViewDayItem, ViewRollupItem, ViewSummaryItem, ViewTallyItem, expect_type
from vitrina.store.operations import Put, Query
from vitrina.store.paging import every, pages
from vitrina.store.table import MOST_PUTS, Table

_ROWS_OF_PART: Final = 4_000
"""Products in one item of a table: 112 KB, whose sum takes 2 ms."""
_PARTS_OF_PAGE: Final = 8


class RollupStore:
    """Writes and reads rollups."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def totals(self, period: Period) -> dict[date, Counts]:
        """Return the totals of the days of a period that have a rollup: 1 call. The latest may be missing."""
        condition = (Item.pk == keys.VIEW_ROLLUPS) & Item.sk.between(
            keys.view_rollup(period.first).sk, keys.view_rollup(period.last).sk
        )
        items = await every(self._table, Query(condition=condition))
        return {date.fromisoformat(item.sk): _counts(item) for item in items if isinstance(item, ViewRollupItem)}

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
        condition = (Item.pk == keys.view_tallies(day)) & Item.sk.startswith(keys.VIEW_TALLY_PREFIX)
        query = Query(condition=condition, consistent=True)
        async for items in pages(self._table, query, limit=_PARTS_OF_PAGE):
            if rows := b"".join(expect_type(item, ViewTallyItem).rows for item in items):
                yield rows

    async def summary(self, day: date) -> DaySummary | None:
        """Return the summary of a day, None without a rollup: 1 call."""
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
        """Write the counts of a shard's products, singly and as a table."""
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
        """Write a day's summary, then its totals, which complete the rollup. All other items must be written before."""
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
