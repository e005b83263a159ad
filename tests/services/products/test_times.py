"""The time of a change is taken shortly before it is sent."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import count
from typing import Any, cast

import pytest

from tests.store.samples import at
from vitrina.domain.products import Change, Product, ProductDraft
from vitrina.errors import TableUnavailable
from vitrina.services.products.cache import NoCache
from vitrina.services.products.products import Products
from vitrina.store.retries import TimePassed


@dataclass
class ThrottledStore:
    """A store to which a product is sent in time only after some attempts."""

    late: int
    times: list[datetime] = field(default_factory=list)

    async def create(self, product: Product, change: Change, **_: object) -> None:
        """Write a product, or raise TimePassed."""
        assert product.created_at == product.updated_at == change.at
        self.times.append(change.at)
        if len(self.times) <= self.late:
            raise TimePassed


async def create(store: ThrottledStore) -> Product:
    """Create a product; the clock moves a minute between two looks."""
    clock = map(at, count())
    products = Products(cast("Any", store), cast("Any", None), NoCache(), clock=lambda: next(clock))
    draft = ProductDraft(
        sku="LAMP", name="Lamp", brand="Alder", description=None, price=Decimal("19.99"), currency="USD"
    )
    return await products.create(draft, by="ana", request_id="r")


async def test_a_change_that_was_not_sent_in_time_gets_a_new_time() -> None:
    store = ThrottledStore(late=2)
    product = await create(store)
    assert store.times == [at(0), at(1), at(2)]
    assert product.updated_at == at(2)


async def test_a_change_that_is_never_sent_in_time_is_an_outage() -> None:
    with pytest.raises(TableUnavailable):
        await create(ThrottledStore(late=10_000))
