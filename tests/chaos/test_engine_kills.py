"""While the engine is killed the service confirms nothing that the engine had not, and recovers without a restart.

On disk, DynamoDB Local loses some of what it has acknowledged when it is killed (section 12 of table_design.md), and no
transaction in part. So a proxy records what it acknowledges, and what a response has confirmed must be in the table or
be the engine's loss. `CHAOS_KILLS=20 scripts/test -s tests/chaos/test_engine_kills.py` is the long run, with figures.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from scripts.devstack.engines import Engine
from tests import engines
from tests.api.client import ok, product_body
from tests.aws_simulator.proxy import simulate
from tests.chaos.api_load import ApiLoad
from tests.chaos.api_process import serving
from tests.chaos.conftest import SEED
from tests.chaos.stack import until
from tests.chaos.write_record import WriteRecord
from tests.stored_views import unpack
from vitrina.config import Settings
from vitrina.domain.views import PackedViews
from vitrina.store import consistency, keys
from vitrina.store.items import ChangeItem, Item, ProductItem, UserItem, ViewSegmentItem
from vitrina.store.keys import Key
from vitrina.store.operations import Scan
from vitrina.store.table import Table

KILLS = int(os.environ.get("CHAOS_KILLS") or 1)
RECOVERY = 5.0
"""Seconds from the engine's return to a write and a read of it."""
IN_PRODUCTION = {name: Settings.model_fields[name].default for name in ("read_timeout", "request_timeout")}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.requires_dynamodb_local("what the service confirms while the engine is killed"),
]


async def test_a_killed_engine_makes_the_service_confirm_nothing_wrong(tmp_path: Path) -> None:
    """Nor do anything twice, under writes, batches with keys, registrations and anonymous views."""
    print(f"CHAOS_SEED={SEED}")  # noqa: T201 - shown when a test fails
    dice, record = random.Random(SEED), WriteRecord()
    recoveries: list[float] = []
    engine = engines.dynamodb_local(db_path=tmp_path / "db")
    async with (
        engine as url,
        simulate(url, [record]) as urls,
        serving(url, tmp_path, through=urls.dynamodb, **IN_PRODUCTION) as api,
    ):
        load = api.load
        load.engine_dies = True
        async with asyncio.TaskGroup() as group:
            load.start(group)
            for _ in range(KILLS):
                await asyncio.sleep(dice.uniform(0.6, 1.2))
                recoveries.append(await kill(engine, load))
            load.stopped = True
        api.engine.terminate()
        assert await asyncio.to_thread(api.engine.process.wait, 30) == 0
        assert '"level":"error"' not in (tmp_path / "api.log").read_text()
        assert record.unanswered > KILLS
        stored = await everything(api.services.table)
        assert record.torn(stored) == []
        check_changes(load, record, stored)
        check_views(load, record, stored)
        lost_accounts = {user.id for user in record.lost(UserItem, stored)}
        assert {each for each in load.accounts if keys.user(each) not in stored} <= lost_accounts
        assert [finding async for finding in consistency.check(api.services.table)] == []
        lost = len(record.lost(ChangeItem, stored)) + len(lost_accounts) + len(record.lost(ViewSegmentItem, stored))
        print(f"{len(record.acknowledged)} acknowledged writes, of which the engine lost {lost}; ", end="")  # noqa: T201
        print(f"{record.unanswered} calls unanswered; back after {max(recoveries):.1f} s at most")  # noqa: T201


async def kill(engine: Engine, load: ApiLoad) -> float:
    """Kill the engine and start it again; returns the seconds that the service needs to write and read after that."""
    engine.process.kill()
    await asyncio.to_thread(engine.stop)
    engine.start()
    await asyncio.to_thread(engine.wait)
    began = time.monotonic()

    async def is_back() -> bool:
        made = await load.admin.post("/v1/products", product_body())
        if made.status == 503:
            return False
        read = await load.anonymous.get(f"/v1/products/{ok(made, 201)['id']}")
        assert read.status in {200, 503}, read
        return read.status == 200 and (await load.anonymous.get("/readyz")).status == 200

    await until(is_back, seconds=RECOVERY)
    return time.monotonic() - began


async def everything(table: Table) -> dict[Key, Item]:
    """Return all items by key."""
    found: dict[Key, Item] = {}
    position = None
    while True:
        items, position = await table.scan(Scan(consistent=True), limit=1_000, start=position)
        found |= {item.key: item for item in items}
        if position is None:
            return found


def check_changes(load: ApiLoad, record: WriteRecord, stored: Mapping[Key, Item]) -> None:
    """Check that each product has its whole history, and each confirmed change once unless the engine has lost it."""
    changes = [item for item in stored.values() if isinstance(item, ChangeItem)]
    products = {item.id: item for item in stored.values() if isinstance(item, ProductItem)}
    assert {product.id: product.version for product in products.values()} == Counter(it.product_id for it in changes)
    assert all(change.version <= products[change.product_id].version for change in changes)
    lost = record.lost(ChangeItem, stored)
    priced = Counter((change.product_id, change.price) for change in changes if change.old_price)
    assert set(priced.values()) == {1}
    assert {change for change in load.prices if not priced[change]} <= {(it.product_id, it.price) for it in lost}
    without = {change.product_id for change in lost}
    assert load.missing <= without
    kept = {product_id: live for product_id, live in load.live.items() if product_id not in without}
    assert {product_id: products[product_id].deleted_at is None for product_id in kept} == kept


def check_views(load: ApiLoad, record: WriteRecord, stored: Mapping[Key, Item]) -> None:
    """Check that each view of a response is stored once, unless the engine has lost it."""
    views = _by_product(item for item in stored.values() if isinstance(item, ViewSegmentItem))
    lost = _by_product({item.key: item for item in record.lost(ViewSegmentItem, stored)}.values())
    for product_id, viewed in load.viewed.items():
        assert viewed - lost[product_id] <= views[product_id] <= load.tried[product_id], product_id


def _by_product(segments: Iterable[ViewSegmentItem]) -> Counter[str]:
    found: Counter[str] = Counter()
    for segment in segments:
        packed = PackedViews(events=segment.events, referrers=segment.referrers or [])
        found.update(view.product_id for view in unpack(packed, keys.day_and_shard(segment.pk)[0]))
    return found
