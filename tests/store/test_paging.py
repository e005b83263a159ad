"""Pages of any query: a filter does not shorten them, and the last one has no cursor."""

import pytest

from vitrina.domain.pages import Position
from vitrina.store.items import Item, LoginAttemptsItem, expect_type
from vitrina.store.keys import Key
from vitrina.store.operations import Query
from vitrina.store.paging import every, page
from vitrina.store.table import Table

ALL = Query(condition=Item.pk == "P", consistent=True)


async def fill(table: Table, number: int) -> None:
    """Write items whose `tries` are their positions in the partition."""
    await table.put_many(LoginAttemptsItem.keyed(Key("P", f"{place:03d}"), tries=place) for place in range(number))


def tries(item: LoginAttemptsItem) -> int:
    """Return the position of an item."""
    return item.tries


@pytest.mark.parametrize("limit", [1, 3, 4, 5, 20])
async def test_a_filter_does_not_shorten_a_page(table: Table, limit: int) -> None:
    """DynamoDB applies a limit before the filter; a page applies it after."""
    await fill(table, 20)
    for rest, wanted in [(LoginAttemptsItem.tries >= 15, range(15, 20)), (LoginAttemptsItem.tries < 4, range(4))]:
        query = Query(condition=Item.pk == "P", filter=rest, consistent=True)
        found: list[int] = []
        start: Position | None = None
        while True:
            read = await page(table, query, LoginAttemptsItem, tries, limit=limit, start=start)
            found += read.items
            if read.next is None:
                break
            assert len(read.items) == limit
            start = read.next
        assert found == list(wanted)
        assert len(read.items) > 0


async def test_a_collection_is_read_to_its_end(table: Table) -> None:
    """However many requests that takes."""
    await fill(table, 20)
    for limit in (1000, 20, 7, 1):
        items = await every(table, ALL, limit=limit)
        assert [expect_type(item, LoginAttemptsItem).tries for item in items] == list(range(20))
