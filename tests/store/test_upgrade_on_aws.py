"""A new attribute and its indexes reach a table in production, on which two versions of the service run.

Version N lacks `by_price` and the indexes of it; version N+1 is this one. First the versions run side by side while the
indexes are added; once N has ended, the migration fills the attribute in. Both steps are interrupted and run again.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from tests.aws_simulator.concurrency import Concurrency
from tests.aws_simulator.control_plane import ControlPlane
from tests.aws_simulator.proxy import Behaviour, Clock, Forward, ManualClock, Request, Response, simulate
from tests.aws_simulator.staleness import Staleness
from tests.aws_simulator.throughput import Throughput
from vitrina.aws import Clients, connect
from vitrina.backoff import Backoff
from vitrina.config import Settings
from vitrina.domain.products import Listing, ProductDraft, Sort
from vitrina.errors import Conflict, TableUnavailable
from vitrina.services.products.cache import NoCache
from vitrina.services.products.products import Products
from vitrina.store import consistency, definition, keys, schema
from vitrina.store.items import ProductItem
from vitrina.store.listings import ProductListings
from vitrina.store.migrations import ledger
from vitrina.store.migrations.ledger import Entry
from vitrina.store.migrations.runner import migrate
from vitrina.store.operations import Put, Step
from vitrina.store.products import ProductStore
from vitrina.store.table import Table

pytestmark = pytest.mark.requires_dynamodb_local("indexes are added while products are written")

PRODUCTS = 12
INDEX_KEYS = 2
"""The number of the migration."""


class TableOfVersionN(Table):
    """Writes products as version N does, which drops the attribute that version N+1 has written."""

    async def commit(self, steps: Sequence[Step], *, within: float = math.inf) -> None:
        """Write all steps or none."""
        for step in steps:
            if isinstance(step.write, Put) and isinstance(step.write.item, ProductItem):
                step.write.item.by_price = None
        await super().commit(steps, within=within)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """The clock of control plane and indexes; clients poll without pauses, and read few items between checkpoints."""
    monkeypatch.setattr(schema, "_POLLING", Backoff(first=0, longest=0))
    monkeypatch.setattr(ledger, "PAGE", 3)
    monkeypatch.setattr(ledger, "SEGMENTS", 2)
    return ManualClock()


@pytest.fixture
async def aws(
    clients: Clients, settings: Settings, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Clients]:
    """Clients of AWS, which has the table of version N; each DescribeTable moves the clock by a second."""
    with monkeypatch.context() as patch:
        patch.setattr(definition, "INDEXES", [index for index in keys.INDEXES if index.sort != "by_price"])
        await clients.writer.create_table(**definition.create_table_arguments(settings))

    async def pass_time(request: Request, forward: Forward) -> Response:
        clock.advance(request.operation == "DescribeTable")
        return await forward(request)

    control, lagging = ControlPlane(clock, updating=2, filling=5), Staleness(clock, random.Random(1))
    behaviours: list[Behaviour] = [pass_time, control, Concurrency(), Throughput(Clock()), lagging]
    async with simulate(settings.writer_endpoint or "", behaviours) as urls:
        async with connect(settings.model_copy(update={"writer_endpoint": urls.dynamodb})) as opened:
            yield opened
        await clients.writer.delete_table(TableName=settings.table_name)


class Version:
    """A version of the service that changes prices until it is ended."""

    def __init__(self, table: Table) -> None:
        self.products = Products(ProductStore(table), ProductListings(table), NoCache())
        self.written: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self._ended = asyncio.Event()

    async def run(self, product_ids: Sequence[str]) -> None:
        """Change prices, read each product, and list all of them by name."""
        while not self._ended.is_set():
            for product_id in product_ids:
                fields = {"price": Decimal(random.randrange(10**9))}
                try:
                    after = await self.products.change(product_id, fields, by="ana", request_id="r", expected=None)
                except Conflict:
                    continue
                except TableUnavailable:  # DynamoDB Local fails some transactions while it fills an index.
                    self.unknown[product_id] += 1
                    continue
                self.written[product_id] += 1
                assert (await self.products.get(product_id)).version >= after.version
            assert len(await self.listed(Sort.NAME)) == PRODUCTS

    async def listed(self, sort: Sort) -> list[str]:
        """Return the ids of all products in an order."""
        page = await self.products.page(Listing(sort=sort), limit=2 * PRODUCTS, start=None)
        return [str(product["id"]) for product in page.items]

    def end(self) -> None:
        """End after this round."""
        self._ended.set()


async def test_an_attribute_and_its_indexes_are_added_beside_two_versions(
    aws: Clients, settings: Settings, clock: ManualClock
) -> None:
    table = Table(aws, name=settings.table_name, deadline=30)
    old, new = Version(TableOfVersionN(aws, name=settings.table_name, deadline=30)), Version(table)
    lamp = ProductDraft(sku="S", name="Lamp", brand="B", description=None, price=Decimal(1), currency="USD")
    drafts = [replace(lamp, sku=f"S-{number}") for number in range(PRODUCTS)]
    ids = [(await old.products.create(draft, by="ana", request_id="r")).id for draft in drafts]
    clock.advance(1)
    running = [asyncio.create_task(old.run(ids[:8])), asyncio.create_task(new.run(ids[4:]))]

    def interrupt_adding(report: str) -> None:
        if "filling" in report:
            adding.cancel()

    adding = asyncio.create_task(schema.ensure(aws.writer, settings, interrupt_adding))
    with pytest.raises(asyncio.CancelledError):
        await adding
    await schema.ensure(aws.writer, settings, lambda _: None)
    assert (await schema.status(aws.writer, settings)).differences == ()
    old.end()
    await running[0]
    clock.advance(1)
    assert len(await new.listed(Sort.PRICE)) < PRODUCTS

    def interrupt_filling(entry: Entry) -> None:
        if entry.number == INDEX_KEYS and entry.seen:
            filling.cancel()

    filling = asyncio.create_task(migrate(table, interrupt_filling))
    with pytest.raises(asyncio.CancelledError):
        await filling
    await migrate(table, lambda _: None)
    new.end()
    await running[1]
    clock.advance(1)

    made = [await new.products.get(product_id) for product_id in ids]
    for one in made:
        written, unknown = old.written[one.id] + new.written[one.id], old.unknown[one.id] + new.unknown[one.id]
        assert 0 <= one.version - 1 - written <= unknown
    assert await new.listed(Sort.PRICE) == [one.id for one in sorted(made, key=lambda one: one.price)]
    assert [finding async for finding in consistency.check(table)] == []
