"""The rollup of a large day on a table that takes 1,000 write units a second, in simulated time.

What writes is Vitrina's; only DynamoDB is simulated. The first run is stopped halfway, and the second one continues.
"""
# ruff: noqa: ANN401 - DynamoDB's API

import asyncio
import logging
import math
import uuid
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from botocore.exceptions import ClientError
from rich.progress import Progress

from scripts.benchmarks import virtual_time
from scripts.benchmarks.figures import Figure, Report
from vitrina.aws import Clients
from vitrina.clock import now
from vitrina.domain.reports import Counts
from vitrina.services.concurrency import gather
from vitrina.store import keys
from vitrina.store.rollups import RollupStore
from vitrina.store.table import Table

PRODUCTS: Final = 100_000
LIMIT: Final = 1_000.0
_CALL: Final = 0.006
_AT_ONCE: Final = 3
"""Shards that `vitrina views rollup` writes concurrently."""


class ThrottlingTable:
    """DynamoDB's client for writes, with a token bucket that holds the units of one second.

    `items` has all that was written, and what the table had before. After `stops_at` units the process is killed.
    """

    def __init__(self, *, items: Mapping[keys.Key, Any] | None = None, stops_at: float = math.inf) -> None:
        self.items: dict[keys.Key, Any] = dict(items or {})
        self.units = 0
        self._stops_at = stops_at
        self._level = LIMIT
        self._at = 0.0

    async def batch_write_item(self, **request: Any) -> dict[str, Any]:
        """Take what there are units for, and return the rest as unprocessed; refuse the call if there are none."""
        await asyncio.sleep(_CALL)
        ((table, puts),) = request["RequestItems"].items()
        taken = [self._take(put["PutRequest"]["Item"]) for put in puts]
        if not any(taken):
            raise _throttled("BatchWriteItem")
        left = [put for put, units in zip(puts, taken, strict=True) if not units]
        unprocessed = {table: left} if left else {}
        return {"UnprocessedItems": unprocessed, "ConsumedCapacity": [{"CapacityUnits": float(sum(taken))}]}

    async def put_item(self, **request: Any) -> dict[str, Any]:
        """Take an item, or refuse the call."""
        await asyncio.sleep(_CALL)
        units = self._take(request["Item"])
        if not units:
            raise _throttled("PutItem")
        return {"ConsumedCapacity": {"CapacityUnits": float(units)}}

    def _take(self, item: dict[str, Any]) -> int:
        """Store an item and return its units, 0 if it is refused."""
        if self.units >= self._stops_at:
            raise Killed
        at = asyncio.get_running_loop().time()
        self._level = min(LIMIT, self._level + LIMIT * (at - self._at))
        self._at = at
        if self._level <= 0:
            return 0
        units = math.ceil(
            sum(len(name) + len(value) for name, typed in item.items() for value in typed.values()) / 1024
        )
        self._level -= units
        self.units += units
        self.items[keys.Key(item["pk"]["S"], item["sk"]["S"])] = item
        return units


class Killed(Exception):
    """The process that wrote has been killed."""


def _throttled(operation: str) -> ClientError:
    error = {"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(error, operation)  # type: ignore[arg-type]


async def write(table: ThrottlingTable, products: int) -> float:
    """Write the rollup of a day of so many products, without what `table` has, and return the time at its end."""
    client: Any = table
    day = now().date()
    shards: list[dict[bytes, Counts]] = [{} for _ in range(keys.VIEW_SHARDS)]
    for number in range(products):
        shards[number % keys.VIEW_SHARDS][uuid.UUID(int=number).bytes] = Counts(1, 1, 0)
    stored = {key: item["rows"]["B"] for key, item in table.items.items() if "rows" in item}
    store = RollupStore(Table(Clients(reader=client, writer=client), name="rollup", deadline=20, patience=300))
    writing = (store.put_products(day, *shard, generation=None, stored=stored) for shard in enumerate(shards))
    await gather(writing, at_once=_AT_ONCE)
    return asyncio.get_running_loop().time()


async def measure(_: Path, progress: Progress, *, products: int = PRODUCTS) -> Report:
    """Write a rollup at once, and one that is killed halfway."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    report, task = Report("rollup"), progress.add_task("rollups", total=2)
    for trial in (_at_once, _killed):
        report.add(*await asyncio.to_thread(partial(trial, products)))
        progress.advance(task)
    return report


def _at_once(products: int) -> list[Figure]:
    table = ThrottlingTable()
    seconds = virtual_time.run(write(table, products))
    share = (table.units - LIMIT) / seconds / LIMIT  # The bucket was full.
    return [
        Figure(name=f"rollup of {products:,} products, {LIMIT:,.0f} WCU a second: minutes", value=seconds / 60),
        Figure(name="… share of the throughput", value=share, at_least=0.8),
    ]


def _killed(products: int) -> list[Figure]:
    whole, killed = ThrottlingTable(), ThrottlingTable(stops_at=products / 2)
    with suppress(Killed):
        virtual_time.run(write(killed, products))
    again = ThrottlingTable(items=killed.items)
    for table in (whole, again):
        virtual_time.run(write(table, products))
    twice = (killed.units + again.units - whole.units) / whole.units
    return [Figure(name="… killed halfway: share that is written twice", value=twice, at_most=0.2)]
