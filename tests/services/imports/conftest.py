"""The catalogue of the tests of imports."""

from collections.abc import AsyncIterator

import pytest

from tests.service import make_table, settings_for
from tests.services.imports.catalogue import Catalogue
from vitrina.aws import connect
from vitrina.services.products.cache import NoCache
from vitrina.services.products.products import Products
from vitrina.store.listings import ProductListings
from vitrina.store.products import ProductStore
from vitrina.store.table import Table


@pytest.fixture
async def catalogue(engine: str) -> AsyncIterator[Catalogue]:
    """An empty catalogue."""
    settings = settings_for(engine)
    await make_table(settings)
    async with connect(settings) as clients:
        table = Table(clients, name=settings.table_name, deadline=60)
        store = ProductStore(table)
        yield Catalogue(store, Products(store, ProductListings(table), NoCache()))
        await clients.writer.delete_table(TableName=settings.table_name)
