"""No acknowledged write or view is lost, and nothing is done twice, when processes of the API get SIGKILL.

`CHAOS_KILLS=20 CHAOS_SECONDS=60 scripts/test tests/chaos/test_api_kills.py` is the long run. The engine is never killed
here: on disk, DynamoDB Local itself loses acknowledged transactions then (section 12 of table_design.md).
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from scripts.devstack.engines import Engine
from tests.api.client import PASSWORD, Client, ok, product_body, sign_in
from tests.chaos.api_load import ApiLoad
from tests.chaos.conftest import SEED
from tests.chaos.stack import environment
from tests.service import drop_table, make_table, settings_for
from tests.stored_views import read
from vitrina.bootstrap import Services
from vitrina.store import consistency, keys
from vitrina.store.items import ChangeItem, Item
from vitrina.store.operations import Scan

KILLS = int(os.environ.get("CHAOS_KILLS") or 2)
SECONDS = float(os.environ.get("CHAOS_SECONDS") or 1.5)

pytestmark = pytest.mark.slow


@dataclass
class Api:
    """`vitrina api` on a table of its own, and the table as the test reads it."""

    engine: Engine
    workers: int
    load: ApiLoad
    services: Services
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def kill(self, dice: random.Random) -> None:
        """Kill all processes and start them again, or one of several workers, which the supervisor starts again."""
        if self.workers > 1 and dice.random() < 0.6 and (workers := self._worker_processes()):
            os.kill(dice.choice(workers), signal.SIGKILL)
            return
        os.killpg(self.engine.process.pid, signal.SIGKILL)
        await asyncio.to_thread(self.engine.stop)
        self.engine.start()
        await asyncio.to_thread(self.engine.wait)

    def _worker_processes(self) -> list[int]:
        found = subprocess.run(
            ["pgrep", "-P", str(self.engine.process.pid), "-f", "spawn_main"], capture_output=True, check=False
        )
        return [*map(int, found.stdout.split())]

    async def changes(self) -> dict[str, list[ChangeItem]]:
        """Return all changes in the table by product."""
        found: dict[str, list[ChangeItem]] = defaultdict(list)
        position = None
        while True:
            scan = Scan(filter=Item.type.is_in(ChangeItem), consistent=True)
            items, position = await self.services.table.scan(scan, limit=1_000, start=position)
            for item in items:
                assert isinstance(item, ChangeItem)
                found[item.product_id].append(item)
            if position is None:
                return found

    async def views(self) -> Counter[str]:
        """Return how many views of each product are in the table."""
        counts: Counter[str] = Counter()
        for day in {self.began.date(), datetime.now(UTC).date()}:
            for shard in range(keys.VIEW_SHARDS):
                counts.update([each.view.product_id async for each in read(self.services.view_store, day, shard)])
        return counts


@asynccontextmanager
async def serving(endpoint: str, workers: int, folder: Path) -> AsyncIterator[Api]:
    """Run the API in `workers` processes, whose responses wait for their views however long that takes."""
    settings = settings_for(endpoint, view_commit_timeout=25, log_level="warning")
    await make_table(settings)
    variables = environment(settings)
    engine = Engine(
        "api",
        lambda port: [sys.executable, "-m", "vitrina", "api", "--port", str(port), "--workers", str(workers)],
        environment=lambda _: variables,
        probe="/healthz",
        log=folder / "api.log",
    )
    async with Services(settings, patient=15) as services, aiohttp.ClientSession() as http, engine as url:
        http._retry_connection = False  # It would send reads twice, whose views are counted here.
        await services.accounts.create_super_admin(email="sol@example.com", password=PASSWORD, name="Sol")
        anonymous = Client(http, url)
        admin = await sign_in(anonymous, {"email": "sol@example.com"})
        shared = [ok(await admin.post("/v1/products", product_body()), 201) for _ in range(3)]
        yield Api(engine, workers, ApiLoad(anonymous, admin, shared), services)
    await drop_table(settings)


@pytest.mark.parametrize("workers", [1, 2])
async def test_killed_processes_lose_and_repeat_nothing(dynamodb_local: str, workers: int, tmp_path: Path) -> None:
    """Under writes, batches with keys, registrations and anonymous views; at the end SIGTERM ends all cleanly."""
    print(f"CHAOS_SEED={SEED}")  # noqa: T201 - shown when a test fails
    dice = random.Random(SEED)
    async with serving(dynamodb_local, workers, tmp_path) as api:
        load = api.load
        async with asyncio.TaskGroup() as group:
            for number in range(2):
                group.create_task(load.write(number))
                group.create_task(load.write_batches(number))
                group.create_task(load.view())
                group.create_task(load.view())
            group.create_task(load.register())
            for _ in range(KILLS):
                await asyncio.sleep(dice.uniform(0.2, 2 * SECONDS / KILLS))
                await api.kill(dice)
            await asyncio.sleep(0.5)
            load.stopped = True
        api.engine.terminate()
        assert await asyncio.to_thread(api.engine.process.wait, 30) == 0
        await check_all_is_stored(api)


async def check_all_is_stored(api: Api) -> None:
    """Check the table for what responses have promised, and for what no response could have meant."""
    load, changes, views = api.load, await api.changes(), await api.views()
    for product_id, items in changes.items():
        assert sorted(item.version for item in items) == [*range(1, len(items) + 1)], product_id
    priced = Counter((item.product_id, item.price) for items in changes.values() for item in items if item.old_price)
    assert [(priced[change], change) for change in load.prices if priced[change] != 1] == []
    assert len(load.prices) > KILLS
    products = await api.services.product_store.get_many([*load.live], consistent=True)
    assert {each: products[each].deleted_at is None for each in load.live} == load.live
    assert {each for each in load.accounts if await api.services.user_store.get(each) is None} == set()
    assert {each: (load.viewed[each], views[each], load.tried[each]) for each in load.tried
            if not load.viewed[each] <= views[each] <= load.tried[each]} == {}  # fmt: skip
    assert [finding async for finding in consistency.check(api.services.table, repair=False)] == []
