"""A catalogue in memory, as a source of exports of prices."""

from collections.abc import Sequence
from decimal import Decimal

from tests.store import samples
from tests.store.samples import at
from vitrina.domain.pages import Page, Position
from vitrina.domain.products import Listing, PricePeriod, Product
from vitrina.errors import TableUnavailable


class Catalogue:
    """Lists of products that a test can change between two pages, and their prices."""

    def __init__(self, products: Sequence[Product]) -> None:
        self.products = {product.id: product for product in products}
        self.prices: dict[str, list[PricePeriod]] = {}
        self.failures = 0
        self.read: list[str] = []

    def _page(self, products: Sequence[Product], limit: int, start: Position | None) -> Page[Product]:
        first = int(start["place"]) if start else 0
        following = {"place": str(first + limit)} if first + limit < len(products) else None
        return Page(list(products[first : first + limit]), following)

    async def live(self, _: Listing, *, limit: int, start: Position | None) -> Page[Product]:
        """Return a page of the live products."""
        return self._page([it for it in self.products.values() if not it.deleted_at], limit, start)

    async def deleted(self, *, limit: int, start: Position | None) -> Page[Product]:
        """Return a page of the deleted products."""
        return self._page([it for it in self.products.values() if it.deleted_at], limit, start)

    async def price_periods(self, product_id: str) -> list[PricePeriod]:
        """Return the prices of a product, unless the table fails."""
        if self.failures:
            self.failures -= 1
            raise TableUnavailable
        self.read.append(product_id)
        return self.prices.get(product_id, [period("19.99", "USD", 0, None)])


def period(price: str, currency: str, begin: float, end: float | None) -> PricePeriod:
    """Return a price from one minute to another after `START`."""
    return PricePeriod(price=Decimal(price), currency=currency, since=at(begin), until=None if end is None else at(end))


def products(number: int) -> list[Product]:
    return [samples.product(id=f"01a20ceb-ab32-7095-a216-{place:012}", sku=f"SKU-{place}") for place in range(number)]
