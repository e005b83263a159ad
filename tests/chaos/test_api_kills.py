"""No acknowledged write or view is lost, and nothing is done twice, when processes of the API get SIGKILL.

`CHAOS_KILLS=20 CHAOS_SECONDS=60 scripts/test tests/chaos/test_api_kills.py` is the long run. The engine is killed by
`test_engine_kills.py`, since it loses acknowledged writes then.
"""

import asyncio
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.api_process import Api, serving
from tests.chaos.conftest import SEED
from vitrina.store import consistency

KILLS = int(os.environ.get("CHAOS_KILLS") or 2)
SECONDS = float(os.environ.get("CHAOS_SECONDS") or 1.5)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("workers", [1, 2])
async def test_killed_processes_lose_and_repeat_nothing(dynamodb_local: str, workers: int, tmp_path: Path) -> None:
    """Under writes, batches with keys, registrations and anonymous views; at the end SIGTERM ends all cleanly."""
    print(f"CHAOS_SEED={SEED}")  # noqa: T201 - shown when a test fails
    dice = random.Random(SEED)
    # Responses wait for their views however long that takes.
    async with serving(dynamodb_local, tmp_path, workers=workers, view_commit_timeout=25) as api:
        load = api.load
        async with asyncio.TaskGroup() as group:
            load.start(group)
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
