"""Lists of products. Each is a query of one index, so the cost of a page does not depend on the catalogue's size."""

from datetime import datetime, timedelta
from typing import Final

from vitrina.domain.notices import PriceChanged
from vitrina.domain.pages import Page, Position
from vitrina.domain.products import (
    Change,
    Listing,
    PlainProduct,
    PricePeriod,
    Product,
    Sort,
    is_reduced,
    price_periods,
)
from vitrina.store import keys
from vitrina.store.codecs.products import change_from, plain_product, price_from, product_from
from vitrina.store.items import ChangeItem, Item, PriceItem, ProductItem, expect_type
from vitrina.store.operations import Query
from vitrina.store.paging import every, page, raw_page
from vitrina.store.stream import price_changed_from
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
"""Prices that the first query reads when the lowest price of a month is determined."""
_EARLIER_PRICES: Final = 1_000
"""Prices that each further query reads then."""


class ProductListings:
    """Reads lists of products, and the changes and prices of one product."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def live(self, listing: Listing, *, limit: int, start: Position | None) -> Page[Product]:
        """Read a page of live products; it may be stale."""
        return await page(self._table, _live(listing), ProductItem, product_from, limit=limit, start=start)

    async def plain(
        self, listing: Listing, *, limit: int, start: Position | None, fresh: bool = False
    ) -> Page[PlainProduct]:
        """Read a page of live products to be shown as they are.

        It may be stale; a `fresh` one is as old as the index is behind the table, and not as a replica is.
        """
        read = await raw_page(self._table, _live(listing, fresh=fresh), limit=limit, start=start)
        return Page([plain_product(item) for item in read.items], read.next)

    async def deleted(self, *, limit: int, start: Position | None) -> Page[Product]:
        """Read a page of deleted products, the latest deletion first."""
        query = Query(condition=Item.listing == keys.DELETED_PRODUCTS, index=keys.LISTING_BY_TIME, descending=True)
        return await page(self._table, query, ProductItem, product_from, limit=limit, start=start)

    async def first_created(self) -> datetime | None:
        """Return when the oldest product was created, live or deleted; None without products. It may be stale.

        1 call for live products, which the index has in order of creation, and 1 for each 1,000 deleted ones.
        """
        oldest = Query(condition=Item.listing == keys.LIVE_PRODUCTS, index=keys.LISTING_BY_TIME)
        live = await page(self._table, oldest, ProductItem, product_from, limit=1, start=None)
        first = [product.created_at for product in live.items]
        start: Position | None = None
        while True:
            deleted = await self.deleted(limit=1_000, start=start)
            first = sorted([*first, *(product.created_at for product in deleted.items)])[:1]
            if deleted.next is None:
                return first[0] if first else None
            start = deleted.next

    async def history(self, product_id: str, *, limit: int, start: Position | None) -> Page[Change]:
        """Read a page of a product's changes, newest first. Every product has at least one."""
        condition = (Item.pk == keys.product(product_id).pk) & Item.sk.startswith(keys.CHANGE_PREFIX)
        query = Query(condition=condition, descending=True, consistent=True)
        return await page(self._table, query, ChangeItem, change_from, limit=limit, start=start)

    async def price_periods(self, product_id: str) -> list[PricePeriod]:
        """Read the prices that were in force, oldest first, from all changes of a product; it may be stale."""
        condition = (Item.pk == keys.product(product_id).pk) & Item.sk.startswith(keys.CHANGE_PREFIX)
        items = await every(self._table, Query(condition=condition))
        return price_periods(change_from(expect_type(item, ChangeItem)) for item in items)

    async def price_change(self, product_id: str, version: int) -> PriceChanged | None:
        """Read one change; None if there is none or it changed no price. Raises ChangeUnreadable."""
        found = await self._table.get_many_raw([keys.change(product_id, version)], consistent=True)
        return price_changed_from(product_id, version, found[0]) if found and "old_price" in found[0] else None

    async def prices(
        self, product_id: str, *, limit: int, start: Position | None, consistent: bool
    ) -> Page[PricePeriod]:
        """Read a page of a product's prices, newest first.

        A price ends when the next one takes effect, so a following page reads the last price of the previous one again.
        """
        last = f"{keys.PRICE_PREFIX}\uffff" if start is None else start["sk"]
        overlap = 0 if start is None else 1
        condition = (Item.pk == keys.product(product_id).pk) & Item.sk.between(keys.PRICE_PREFIX, last)
        query = Query(condition=condition, descending=True, consistent=consistent)
        read = await page(self._table, query, PriceItem, lambda item: item, limit=limit + overlap, start=None)
        periods = [price_from(item, until=newer) for newer, item in zip([None, *read.items], read.items, strict=False)]
        return Page(periods[overlap:], read.next)

    async def prices_since(
        self, product_id: str, since: datetime, *, before_newest: timedelta = timedelta(0), consistent: bool
    ) -> list[PricePeriod]:
        """Read the prices that applied at `since` or later.

        If the newest price is a reduction, also those that applied in the time `before_newest` before it began. Newest
        first: the first 100 by one call, and 1,000 by each further one.
        """
        periods: list[PricePeriod] = []
        start: Position | None = None
        while True:
            limit = _LATEST_PRICES if start is None else _EARLIER_PRICES
            read = await self.prices(product_id, limit=limit, start=start, consistent=consistent)
            for period in read.items:
                periods.append(period)
                is_known = len(periods) > 1 or not before_newest
                earliest = periods[0].since - before_newest if is_reduced(periods) else since
                if is_known and period.since <= min(since, earliest):
                    return periods
            if read.next is None:
                return periods
            start = read.next


def _live(listing: Listing, *, fresh: bool = False) -> Query:
    if listing.brand is None:
        index, descending = _LISTING[listing.sort]
        condition = Item.listing == keys.LIVE_PRODUCTS
    else:
        index, descending = _GROUP[listing.sort]
        condition = Item.listing_group == keys.brand_group(listing.brand)
    if listing.name_prefix is not None:
        condition &= Item.by_name.startswith(keys.name_prefix(listing.name_prefix))
    if listing.prices is not None:
        least, most = keys.price_prefix(listing.prices.least), keys.by_price(listing.prices.most, "\uffff")
        condition &= Item.by_price.between(least, most)
    return Query(condition=condition, index=index, descending=descending, fresh=fresh)
