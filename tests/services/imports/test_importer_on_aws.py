"""An import under a table of little throughput: it adapts its pace, and goes on where it was interrupted."""

import asyncio

import pytest

from tests.aws_simulator.proxy import Clock, Forward, Request, Response, simulate
from tests.aws_simulator.throughput import Bucket, Throughput
from tests.services.imports.catalogue import Catalogue
from tests.store.conftest import clients, settings, table
from vitrina.aws import connect
from vitrina.config import Settings
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import Outcome
from vitrina.services.products.cache import NoCache
from vitrina.services.products.products import Products
from vitrina.store.listings import ProductListings
from vitrina.store.products import ProductStore
from vitrina.store.table import Table

__all__ = ["clients", "settings", "table"]

PRODUCTS = 50
"""Each takes 8 of the 200 write units that the table has in a second."""
BUSY = 20
"""The transaction before which other clients use up what the table serves in 0.2 s: it is refused on any machine."""


class Transactions:
    """Counts transactions and those that were refused, and keeps the table busy before one of them."""

    def __init__(self, limits: Throughput, table_name: str) -> None:
        self.tried = 0
        self.refused = 0
        self._limits = limits
        self._table = Bucket(table_name, None, "Write", None)

    async def __call__(self, request: Request, forward: Forward) -> Response:
        """Forward a call."""
        if request.operation != "TransactWriteItems":
            return await forward(request)
        self.tried += 1
        if self.tried == BUSY:
            self._limits.exhaust(self._table, seconds=0.2)
        response = await forward(request)
        self.refused += not response.ok
        return response


@pytest.mark.usefixtures("table")
async def test_a_throttled_import_is_interrupted_and_ends_in_the_next_run(settings: Settings) -> None:
    limits = Throughput(Clock(), share=0.05)
    transactions = Transactions(limits, settings.table_name)
    rows = "".join(f"SKU-{number},Lamp,Brightwell,1,\n" for number in range(PRODUCTS))
    async with (
        simulate(settings.writer_endpoint or "", [transactions, limits]) as urls,
        connect(settings.model_copy(update={"writer_endpoint": urls.dynamodb})) as slow,
    ):
        throttled = Table(slow, name=settings.table_name, deadline=30, patience=60)
        store = ProductStore(throttled)
        catalogue = Catalogue(store, Products(store, ProductListings(throttled), NoCache()))
        half = asyncio.Event()

        def stop(_: int) -> None:
            if plan.counts()[Outcome.CREATED] >= PRODUCTS // 2:
                half.set()

        with ImportPlan() as plan:
            importer = await catalogue.planned(plan, rows)
            writing = asyncio.create_task(importer.apply(by="ana", run="import-1", advance=stop))
            await half.wait()
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            before = plan.counts()[Outcome.CREATED]
        after = await catalogue.imported(rows)
        held = await store.holders([f"sku-{number}" for number in range(PRODUCTS)], consistent=True)
        made = await store.get_many(list(held.values()), consistent=True)
    assert PRODUCTS - before - 16 <= after[Outcome.CREATED] <= PRODUCTS - before
    assert {one.version for one in made.values()} == {1}
    assert len(made) == PRODUCTS
    # More than the first only on a machine that is faster than the table.
    assert 1 <= transactions.refused < 0.4 * transactions.tried
