"""Pages of any query: full though a filter leaves items out, and sure of the end."""

import pytest

from vitrina.domain.pages import Position
from vitrina.store.items import Item, LoginAttemptsItem, expect_type
from vitrina.store.keys import Key
from vitrina.store.operations import Query
from vitrina.store.paging import every, page
from vitrina.store.table import Table

ALL = Query(condition=Item.pk == "P", consistent=True)


async def furnish(table: Table, number: int) -> None:
    """Write items whose tries are their places in the partition."""
    await table.put_many(LoginAttemptsItem.keyed(Key("P", f"{place:03d}"), tries=place) for place in range(number))


def tries(item: LoginAttemptsItem) -> int:
    """Return the place of an item."""
    return item.tries


@pytest.mark.parametrize("limit", [1, 3, 4, 5, 20])
async def test_a_filter_leaves_no_page_short(table: Table, limit: int) -> None:
    """DynamoDB counts a limit before the filter; a page does not."""
    await furnish(table, 20)
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
    """However many calls that takes."""
    await furnish(table, 20)
    for limit in (1000, 20, 7, 1):
        items = await every(table, ALL, limit=limit)
        assert [expect_type(item, LoginAttemptsItem).tries for item in items] == list(range(20))
