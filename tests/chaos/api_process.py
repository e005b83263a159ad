"""`vitrina api` in processes that a test can kill, and its table as the test reads it."""

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

from scripts.devstack.engines import Engine
from tests.api.client import PASSWORD, Client, ok, product_body, sign_in
from tests.chaos.api_load import ApiLoad
from tests.chaos.stack import environment
from tests.service import drop_table, make_table, settings_for
from tests.stored_views import read
from vitrina.bootstrap import Services
from vitrina.store import keys
from vitrina.store.items import ChangeItem, Item
from vitrina.store.operations import Scan


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
async def serving(
    endpoint: str, folder: Path, *, workers: int = 1, through: str = "", **options: float
) -> AsyncIterator[Api]:
    """Run the API in `workers` processes, on a new table that it reaches `through` another URL if one is given.

    `options` are settings of these processes alone.
    """
    settings = settings_for(endpoint, log_level="warning")
    await make_table(settings)
    variables = environment(settings.model_copy(update={"writer_endpoint": through or endpoint, **options}))
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
