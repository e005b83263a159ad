"""Pages of a query: full unless they are the last, and sure of whether they are."""

from collections.abc import Callable
from typing import TypeVar

from vitrina.domain.pages import Page, Position
from vitrina.store.items import Item
from vitrina.store.keys import Index
from vitrina.store.reads import Query
from vitrina.store.table import Table

T = TypeVar("T")


async def page(
    table: Table, query: Query, *, limit: int, start: Position | None, decode: Callable[[Item], T]
) -> Page[T]:
    """Read a page. One item more than asked for is read: it tells whether a next page has anything."""
    wanted = limit + 1
    items, position = await table.query(query, limit=wanted, start=start)
    while len(items) < wanted and position is not None:
        more, position = await table.query(query, limit=wanted, start=position)
        items += more
    following = position_of(items[limit - 1], query.index) if len(items) > limit else None
    return Page([decode(item) for item in items[:limit]], following)


def position_of(item: Item, index: Index | None) -> Position:
    """Return where a query stands after `item`: its keys, so that the item itself need not be there any more."""
    names = ("pk", "sk") if index is None else ("pk", "sk", index.partition, index.sort)
    return {name: str(getattr(item, name)) for name in names}


async def every(table: Table, query: Query, *, limit: int = 1000) -> list[Item]:
    """Read a query to its end, for collections that are small by nature (an account's sessions)."""
    items, position = await table.query(query, limit=limit)
    while position is not None:
        more, position = await table.query(query, limit=limit, start=position)
        items += more
    return items
