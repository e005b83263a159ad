"""The feed of all changes, oldest first: a merge of the shards of an index (table_design.md, "The feed of changes")."""

import asyncio
from collections import deque
from datetime import UTC, datetime
from typing import Final

from vitrina.domain.pages import Page, Position
from vitrina.domain.products import Change
from vitrina.store import keys
from vitrina.store.codecs.products import change_from
from vitrina.store.items import ChangeItem, Item, expect_type
from vitrina.store.operations import Query
from vitrina.store.table import Table

_POSITION: Final = keys.CHANGES_BY_TIME.sort
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


class ChangeStore:
    """Reads the changes of all products."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def page(
        self, *, start: Position | None, since: datetime | None, until: datetime, limit: int
    ) -> Page[Change]:
        """Read changes after the position `start`, or else of `since` or later, and before `until`; by time.

        `next` is where to go on, also after the last change: the position does not move past what was read. One call
        for each shard reads twice its share of the page; a shard that has more than that takes a second one.
        """
        after = keys.feed_time(since or _BEGINNING) if start is None else start[_POSITION]
        first, last = keys.after_feed_position(after), keys.feed_time(until)
        found: list[ChangeItem] = []
        if first <= last:
            shards = [FeedShard(self._table, shard, first, last) for shard in range(keys.FEED_SHARDS)]
            await asyncio.gather(*(shard.read(max(1, 2 * limit // len(shards))) for shard in shards))
            while len(found) < limit:
                if behind := [shard for shard in shards if shard.has_more and not shard.items]:
                    await asyncio.gather(*(shard.read(limit - len(found)) for shard in behind))
                    continue
                if not (ready := [shard for shard in shards if shard.items]):
                    break
                found.append(min(ready, key=FeedShard.position).items.popleft())
        if found:
            after = str(found[-1].feed_position)
        return Page([change_from(item) for item in found], {_POSITION: after})


class FeedShard:
    """The changes of one shard between two positions; `items` were read and not yet taken."""

    def __init__(self, table: Table, shard: int, first: str, last: str) -> None:
        condition = (Item.feed == keys.feed(shard)) & Item.feed_position.between(first, last)
        self._table = table
        self._query = Query(condition=condition, index=keys.CHANGES_BY_TIME, fresh=True)
        self._next: Position | None = None
        self.has_more = True
        self.items: deque[ChangeItem] = deque()

    async def read(self, limit: int) -> None:
        """Read up to `limit` further items."""
        items, self._next = await self._table.query(self._query, limit=limit, start=self._next)
        self.items.extend(expect_type(item, ChangeItem) for item in items)
        self.has_more = self._next is not None

    def position(self) -> str:
        """Return the position of the first item."""
        return str(self.items[0].feed_position)
