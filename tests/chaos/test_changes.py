"""A reader of the feed of changes misses none (GET /v1/changes), on AWS as tests/aws_simulator simulates it.

`CHAOS_WRITERS=20 CHAOS_SECONDS=60 CHAOS_KILLS=6 scripts/test tests/chaos/test_changes.py` is the long run.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest

from tests.aws_simulator.concurrency import Concurrency
from tests.aws_simulator.latency import Latency
from tests.aws_simulator.proxy import Behaviour, Clock, simulate
from tests.aws_simulator.staleness import Staleness
from tests.aws_simulator.throughput import Throughput
from tests.chaos.conftest import SEED
from tests.chaos.stack import environment, until
from tests.service import drop_table, make_table, settings_for
from vitrina.bootstrap import Services
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.domain.products import ProductDraft
from vitrina.errors import Conflict, NotDeleted, NotFound, Unavailable
from vitrina.store.items import ChangeItem, Item
from vitrina.store.operations import Scan

WRITERS = int(os.environ.get("CHAOS_WRITERS") or 8)
SECONDS = float(os.environ.get("CHAOS_SECONDS") or 2)
KILLS = int(os.environ.get("CHAOS_KILLS") or 1)
SKEWS = (-1.0, 1.0)
"""Seconds by which the clocks of two writing processes are off; the reader's is ahead of the first by 2 s."""
ROWS = 5_000
"""Products of the import that is killed."""
Changed = tuple[str, int]
"""A product and a version of it."""

pytestmark = pytest.mark.requires_dynamodb_local("transactions that conflict")


@dataclass
class Shop:
    """An installation: processes that write, one that reads, and access to the table past the simulator."""

    settings: Settings
    writers: list[Services]
    reader: Services
    direct: Services
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))
    products: list[str] = field(default_factory=list)
    answered: dict[Changed, float] = field(default_factory=dict)
    seen: list[tuple[Changed, float]] = field(default_factory=list)
    skipped: float = 0.0
    """Seconds that the clocks were set ahead after the last write, for a test not to wait for them."""

    def clock(self, skew: float) -> datetime:
        """Return the time of a process whose clock is off."""
        return now() + timedelta(seconds=skew + self.skipped)

    def time(self) -> float:
        """Return seconds, by a clock that is always right."""
        return asyncio.get_running_loop().time() + self.skipped

    async def write(self, number: int, *, seconds: float) -> None:
        """Create, change, delete and restore products that all writers share."""
        products, end = self.writers[number % len(self.writers)].products, self.time() + seconds
        change = 0
        by = f"writer-{number}"
        while self.time() < end:
            change += 1
            request_id, price = f"{number}-{change}", Decimal(number * 100_000 + change) / 100
            with suppress(Conflict, NotFound, NotDeleted, Unavailable):
                if self.dice.random() < 0.2 or not self.products:
                    draft = ProductDraft(
                        sku=f"W-{number}-{change}", name="Lamp", brand="Alder", description=None, price=price,
                        currency="USD",
                    )  # fmt: skip
                    product = await products.create(draft, by=by, request_id=request_id)
                    self.products.append(product.id)
                elif self.dice.random() < 0.9:
                    product = await products.change(
                        self.dice.choice(self.products), {"price": price}, by=by, request_id=request_id, expected=None
                    )
                else:
                    product_id = self.dice.choice(self.products)
                    await products.delete(product_id, by=by, request_id=request_id, expected=None)
                    product = await products.restore(product_id, None, by=by, request_id=request_id)
                self.answered[product.id, product.version] = self.time()

    async def follow(self) -> None:
        """Read the feed for ever, from the beginning."""
        position = None
        while True:
            page = await self.reader.change_feed.page(start=position, since=None, limit=self.dice.randint(1, 100))
            self.seen += (((change.product_id, change.version), self.time()) for change in page.items)
            position = page.next
            if not page.items:
                await asyncio.sleep(0.05)

    async def committed(self) -> set[Changed]:
        """Return all changes in the table."""
        found: set[Changed] = set()
        position = None
        while True:
            scan = Scan(filter=Item.type.is_in(ChangeItem), consistent=True)
            items, position = await self.direct.table.scan(scan, limit=1_000, start=position)
            found |= {(item.product_id, item.version) for item in items if isinstance(item, ChangeItem)}
            if position is None:
                return found

    async def settled(self) -> set[Changed]:
        """Return all changes once the transactions of killed processes, which may be under way, have ended."""
        found, before = await self.committed(), None
        while found != before:
            await asyncio.sleep(1)
            found, before = await self.committed(), found
        return found

    async def kill_an_import(self, file: Path, kill: int) -> None:
        """Import products in a process of its own, and kill it while it writes."""
        command = [sys.executable, "-m", "vitrina", "products", "import", str(file)]
        process = await asyncio.create_subprocess_exec(*command, env=os.environ | environment(self.settings))
        try:
            row = kill * ROWS // KILLS // 50

            async def has_begun() -> bool:
                assert process.returncode is None
                return await self.direct.product_store.holder(f"I-{row}", consistent=True) is not None

            await until(has_begun, seconds=60)
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()


@pytest.fixture
async def shop(engine: str) -> AsyncIterator[Shop]:
    """An installation on the simulated AWS with an admin, whose reads of an index are up to 300 ms old."""
    settings, clock, dice = settings_for(engine), Clock(), random.Random(SEED)
    print(f"CHAOS_SEED={SEED}")  # noqa: T201 - shown when a test fails
    await make_table(settings)
    behaviours: list[Behaviour] = [Concurrency(), Latency(clock, dice), Throughput(clock), Staleness(clock, dice)]
    async with simulate(engine, behaviours) as urls, AsyncExitStack() as stack:
        on_aws = settings.model_copy(update={"writer_endpoint": urls.dynamodb})
        direct = await stack.enter_async_context(Services(settings))
        shop = Shop(on_aws, [], direct, direct)
        for skew in SKEWS:
            process = Services(on_aws, clock=partial(shop.clock, skew))
            shop.writers.append(await stack.enter_async_context(process))
        shop.reader = await stack.enter_async_context(Services(on_aws, clock=partial(shop.clock, SKEWS[1])))
        await direct.accounts.create_super_admin(email="super@example.com", password="blue-lantern-2026", name="Sol")
        yield shop
    await drop_table(settings)


async def test_the_feed_misses_no_change(shop: Shop, tmp_path: Path) -> None:
    """Clocks differ by 2 s, a process that imports is killed, and each change is seen within 10 s of its response."""
    file = tmp_path / "products.csv"
    file.write_text("sku,name,brand,price\n" + "".join(f"I-{n},Chair,Alder,{n}\n" for n in range(ROWS)))
    reading = asyncio.create_task(shop.follow())
    writing = [asyncio.create_task(shop.write(number, seconds=SECONDS)) for number in range(WRITERS)]
    for kill in range(KILLS):
        await shop.kill_an_import(file, kill)
    await asyncio.gather(*writing)
    expected = await shop.settled()
    end = shop.time() + 12
    while {changed for changed, _ in shop.seen} < expected and shop.time() < end:
        assert not reading.done(), reading.result()
        await asyncio.sleep(0.1)
        shop.skipped += 0.4
    reading.cancel()
    assert_complete(expected, dict(reversed(shop.seen)), [changed for changed, _ in shop.seen], shop.answered)


def assert_complete(
    expected: set[Changed], first_seen: Mapping[Changed, float], order: list[Changed], answered: Mapping[Changed, float]
) -> None:
    """Check that each change was read once, in time, and after the product's versions before it."""
    assert len(answered) > WRITERS
    assert sorted(order) == sorted(expected)
    late = {changed: first_seen[changed] - at for changed, at in answered.items() if first_seen[changed] - at > 10}
    assert late == {}
    versions: dict[str, int] = {}
    for product_id, version in order:
        assert version == versions.get(product_id, 0) + 1, (product_id, version)
        versions[product_id] = version
