"""The export of the catalogue."""

import pytest

from tests.service import make_table, settings_for
from tests.store.samples import create, delete
from vitrina.aws import connect
from vitrina.services.exports import products as product_export
from vitrina.services.exports.products import live_products
from vitrina.store.listings import ProductListings
from vitrina.store.products import ProductStore
from vitrina.store.table import Table


async def test_all_live_products_are_read_page_by_page(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, and none that is deleted (R7)."""
    monkeypatch.setattr(product_export, "_PAGE", 2)
    settings = settings_for(engine)
    await make_table(settings)
    async with connect(settings) as clients:
        table = Table(clients, name=settings.table_name, deadline=60)
        store = ProductStore(table)
        made = [await create(store, sku=f"S-{number}") for number in range(6)]
        await delete(store, made.pop())
        pages = [page async for page in live_products(ProductListings(table))]
        await clients.writer.delete_table(TableName=settings.table_name)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert {product.id for page in pages for product in page} == {product.id for product in made}
