"""Listings of products, each one query of one index: a page costs the same whatever the size of the catalogue."""

from datetime import datetime
from typing import Final

from vitrina.domain.pages import Page, Position
from vitrina.domain.products import Change, PricePeriod, Product, Sort
from vitrina.store import keys
from vitrina.store.codecs import change_from, price_from, product_from
from vitrina.store.items import ChangeItem, Item, PriceItem, ProductItem
from vitrina.store.paging import page
from vitrina.store.reads import Query
from vitrina.store.table import Table

_LISTING: Final = {
    Sort.NEWEST: (keys.LISTING_BY_TIME, True),
    Sort.NAME: (keys.LISTING_BY_NAME, False),
    Sort.PRICE: (keys.LISTING_BY_PRICE, False),
    Sort.PRICE_DESCENDING: (keys.LISTING_BY_PRICE, True),
}
_GROUP: Final = {
    Sort.NEWEST: (keys.GROUP_BY_TIME, True),
    Sort.NAME: (keys.GROUP_BY_NAME, False),
    Sort.PRICE: (keys.GROUP_BY_PRICE, False),
    Sort.PRICE_DESCENDING: (keys.GROUP_BY_PRICE, True),
}
_LATEST_PRICES: Final = 100
"""Prices read by one query when the lowest of a month is looked for."""


class ProductListings:
    """Reads many products, or much about one."""

    def __init__(self, table: Table) -> None:
        """Take the table."""
        self._table = table

    async def live(
        self, *, sort: Sort, brand: str | None, name_prefix: str | None, limit: int, start: Position | None
    ) -> Page[Product]:
        """Read a page of live products, all or a brand's; it may be stale. `name_prefix` goes with sort by name."""
        if brand is None:
            index, descending = _LISTING[sort]
            condition = Item.listing == keys.LIVE_PRODUCTS
        else:
            index, descending = _GROUP[sort]
            condition = Item.listing_group == keys.brand_group(brand)
        if name_prefix is not None:
            condition &= Item.by_name.startswith(keys.name_prefix(name_prefix))
        query = Query(condition=condition, index=index, descending=descending)
        return await page(self._table, query, limit=limit, start=start, decode=_product)

    async def deleted(self, *, limit: int, start: Position | None) -> Page[Product]:
        """Read a page of deleted products, the newest deletion first."""
        query = Query(condition=Item.listing == keys.DELETED_PRODUCTS, index=keys.LISTING_BY_TIME, descending=True)
        return await page(self._table, query, limit=limit, start=start, decode=_product)

    async def history(self, product_id: str, *, limit: int, start: Position | None) -> Page[Change]:
        """Read a page of a product's changes, newest first; every product has at least one."""
        condition = (Item.pk == keys.product(product_id).pk) & Item.sk.startswith(keys.CHANGE_PREFIX)
        query = Query(condition=condition, descending=True, consistent=True)
        return await page(self._table, query, limit=limit, start=start, decode=_change)

    async def prices(
        self, product_id: str, *, limit: int, start: Position | None, consistent: bool
    ) -> Page[PricePeriod]:
        """Read a page of a product's prices, newest first.

        A price ends where the next one begins, so a page that continues another reads that one's last price again.
        """
        last = f"{keys.PRICE_PREFIX}\uffff" if start is None else start["sk"]
        overlap = 0 if start is None else 1
        condition = (Item.pk == keys.product(product_id).pk) & Item.sk.between(keys.PRICE_PREFIX, last)
        query = Query(condition=condition, descending=True, consistent=consistent)
        read = await page(self._table, query, limit=limit + overlap, start=None, decode=_price)
        periods = [price_from(item, until=newer) for newer, item in zip([None, *read.items], read.items, strict=False)]
        return Page(periods[overlap:], read.next)

    async def prices_since(self, product_id: str, since: datetime, *, consistent: bool) -> list[PricePeriod]:
        """Read the prices that were in force at `since` or later, newest first."""
        periods: list[PricePeriod] = []
        start: Position | None = None
        while True:
            read = await self.prices(product_id, limit=_LATEST_PRICES, start=start, consistent=consistent)
            for period in read.items:
                periods.append(period)
                if period.since <= since:
                    return periods
            if read.next is None:
                return periods
            start = read.next


def _product(item: Item) -> Product:
    assert isinstance(item, ProductItem)  # noqa: S101 - what the indexes hold is decided in codecs.py
    return product_from(item)


def _change(item: Item) -> Change:
    assert isinstance(item, ChangeItem)  # noqa: S101 - the sort key's prefix decides it
    return change_from(item)


def _price(item: Item) -> PriceItem:
    assert isinstance(item, PriceItem)  # noqa: S101 - the sort key's prefix decides it
    return item
