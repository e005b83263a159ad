"""The prices of a product, and the lowest ones that shops must state."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from vitrina.clock import Clock, now
from vitrina.domain.pages import Page, Position
from vitrina.domain.products import PricePeriod, lowest_before_reduction, lowest_price
from vitrina.errors import NotFound
from vitrina.ids import is_id
from vitrina.store.listings import ProductListings
from vitrina.store.products import ProductStore

_OMNIBUS: Final = timedelta(days=30)
"""The period whose lowest price a shop must state (Directive 98/6/EC, article 6a)."""


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """A page of prices, and the lowest ones in the current currency: of the last 30 days, and before a reduction."""

    page: Page[PricePeriod]
    lowest_last_30_days: Decimal
    lowest_30_days_before_reduction: Decimal | None


class Prices:
    """Reads the prices of products."""

    def __init__(self, store: ProductStore, listings: ProductListings, *, clock: Clock = now) -> None:
        self._store = store
        self._listings = listings
        self._clock = clock

    async def history(self, product_id: str, *, limit: int, start: Position | None, current: bool) -> PriceHistory:
        """Return a page of a product's prices, newest first.

        With `current` the reads are consistent and include deleted products. Raises NotFound.
        """
        since = self._clock() - _OMNIBUS
        if not is_id(product_id):
            raise NotFound
        product, page, recent = await asyncio.gather(
            self._store.get(product_id, consistent=current),
            self._listings.prices(product_id, limit=limit, start=start, consistent=current),
            self._listings.prices_since(product_id, since, before_newest=_OMNIBUS, consistent=current),
        )
        if product is None or not recent or (product.deleted_at is not None and not current):
            raise NotFound
        return PriceHistory(page, lowest_price(recent, since), lowest_before_reduction(recent, _OMNIBUS))
