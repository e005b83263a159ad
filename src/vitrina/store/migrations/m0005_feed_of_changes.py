"""0005: gives changes that an older release wrote their positions in the feed of changes.

Run it once every process runs this release, before consumers of the feed start: a change gets the position of its own
time, which lies before the cursor of a consumer that has read past it. After a rollback run it again
(`vitrina table migrate --again 5`), and let consumers go on from the time of the rollback.
"""

from datetime import UTC, datetime
from typing import Final

from vitrina.store import keys
from vitrina.store.items import ChangeItem, Item, ProductItem, expect_type
from vitrina.store.migrations.ledger import Ledger
from vitrina.store.operations import Query, Update
from vitrina.store.paging import pages
from vitrina.store.table import Table

NAME: Final = "feed of changes"
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_PAGE: Final = 100
"""Changes of a product that are read by one call, and in memory."""


async def run(table: Table, ledger: Ledger) -> None:
    """Derive the position of each change of each product, none before that of an earlier version; write those missing.

    Products are never erased, so each change has one.
    """

    async def visit(item: Item) -> bool:
        of_product = (Item.pk == item.pk) & Item.sk.startswith(keys.CHANGE_PREFIX)
        at, written = _EARLIEST, False
        async for found in pages(table, Query(condition=of_product, consistent=True), limit=_PAGE):
            for change in (expect_type(each, ChangeItem) for each in found):
                at = max(at, change.at)  # The clocks of two processes may have differed.
                position = keys.feed_position(at, change.product_id, change.version)
                if change.feed_position != position:
                    feed = ChangeItem.feed.set(keys.feed(keys.feed_shard(change.product_id)))
                    actions = [feed, ChangeItem.feed_position.set(position)]
                    await table.update(Update(change.key, actions, ChangeItem.version == change.version))
                    written = True
        return written

    await ledger.sweep(visit, only=Item.type.is_in(ProductItem))
