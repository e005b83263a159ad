"""Pages of a query: each is full except the last, and it is known whether another page follows."""

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from vitrina.domain.pages import Page, Position
from vitrina.store.items import Item, ItemT, RawItem, expect_type
from vitrina.store.keys import Index
from vitrina.store.operations import Query
from vitrina.store.table import Table

T = TypeVar("T")


async def page(
    table: Table, query: Query, kind: type[ItemT], decode: Callable[[ItemT], T], *, limit: int, start: Position | None
) -> Page[T]:
    """Read a page of items of one kind."""
    read = await raw_page(table, query, limit=limit, start=start)
    return Page([decode(expect_type(Item.from_raw_data(item), kind)) for item in read.items], read.next)


async def raw_page(table: Table, query: Query, *, limit: int, start: Position | None) -> Page[RawItem]:
    """Read a page without deserialising. Reads one item more than `limit` to know whether a next page exists."""
    wanted = limit + 1
    items, position = await table.query_raw(query, limit=wanted, start=start)
    while len(items) < wanted and position is not None:
        more, position = await table.query_raw(query, limit=wanted, start=position)
        items += more
    following = _position_of(items[limit - 1], query.index) if len(items) > limit else None
    return Page(items[:limit], following)


def _position_of(item: RawItem, index: Index | None) -> Position:
    """Return the position of a query after `item`: its keys. The item may be deleted by the time they are used."""
    names = ("pk", "sk") if index is None else ("pk", "sk", index.partition, index.sort)
    return {name: item[name]["S"] for name in names}


async def pages(table: Table, query: Query, *, limit: int) -> AsyncIterator[list[Item]]:
    """Yield what each call of a query reads, up to `limit` items, to the query's end."""
    position: Position | None = None
    while True:
        items, position = await table.query(query, limit=limit, start=position)
        yield items
        if position is None:
            return


async def every(table: Table, query: Query, *, limit: int = 1000) -> list[Item]:
    """Read a query to its end; only for small collections, such as an account's sessions."""
    return [item async for items in pages(table, query, limit=limit) for item in items]
