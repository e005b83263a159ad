"""The measured products: ids, sizes and first pages are the same whatever their number."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Final

from vitrina.bootstrap import Services
from vitrina.config import Settings
from vitrina.domain.products import Product
from vitrina.store import keys
from vitrina.store.codecs.products import product_item
from vitrina.store.items import Item, SkuItem
from vitrina.store.table import MOST_PUTS

BASE: Final = 1_000
"""Products that come first in every sort order, so that catalogues of any size have the same first pages."""
BRANDS: Final = (
    "Aurora", "Borealis", "Cascade", "Dorado", "Equinox", "Fjord", "Glacier", "Horizon", "Indigo", "Jasper",
)  # fmt: skip
NAME_PREFIX: Final = "Atlas"
_NEWEST: Final = datetime(2026, 11, 1, tzinfo=UTC)
_WRITERS: Final = 8
_PATIENCE: Final = 10.0
"""Seconds to wait for one response of an engine under full load."""


def product_id(number: int) -> str:
    """Return the id of the product of this number."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://vitrina.test/{number}"))


def products(count: int) -> Iterator[Product]:
    """Yield `count` products; those past `BASE` are older, sort later by name, and have prices between the others."""
    maker = product_id(-1)
    for number in range(count):
        brand, place = number % len(BRANDS), number // len(BRANDS)
        among_first = number < BASE
        thousands = 500 if not among_first else 100 if place % 2 else 900
        made_at = _NEWEST - timedelta(seconds=number)
        yield Product(
            id=product_id(number),
            sku=f"BENCH-{number:06d}",
            name=f"{NAME_PREFIX if among_first else 'Zephyr'} kettle {number:06d}",
            brand=BRANDS[brand],
            description="A kettle that is there to be measured: this text is as long as a short real one would be.",
            price=Decimal(thousands * 1_000) + Decimal(number) / 100,
            currency="USD",
            version=1,
            created_at=made_at,
            created_by=maker,
            updated_at=made_at,
            updated_by=maker,
        )


def ids(count: int = BASE) -> list[str]:
    """Return the ids of the first `count` products."""
    return [product_id(number) for number in range(count)]


async def load(settings: Settings, count: int, *, advance: Callable[[int], object]) -> None:
    """Write `count` products with their SKU items by BatchWriteItem; `advance` gets the number of each batch."""
    items = _items(count)

    async def write() -> None:
        while batch := list(islice(items, MOST_PUTS)):
            await services.table.put_many(batch)
            advance(sum(item.sk == keys.product("").sk for item in batch))

    async with Services(settings, patient=_PATIENCE) as services, asyncio.TaskGroup() as writers:
        for _ in range(_WRITERS):
            writers.create_task(write())


def _items(count: int) -> Iterator[Item]:
    for product in products(count):
        yield product_item(product)
        yield SkuItem.keyed(keys.sku(product.sku), product_id=product.id)
