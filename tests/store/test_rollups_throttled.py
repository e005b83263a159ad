"""The rollup of a large day on a table that takes 1,000 units a second, in simulated time."""

import asyncio
import math
import uuid
from typing import Any

from botocore.exceptions import ClientError

from scripts.benchmarks import virtual_time
from tests.store.design.capacity import item_size
from tests.store.test_rollups import DAY
from vitrina.aws import Clients
from vitrina.domain.reports import Counts
from vitrina.services.concurrency import gather
from vitrina.store import keys
from vitrina.store.rollups import RollupStore
from vitrina.store.table import Table

LIMIT = 1_000.0
PRODUCTS = 12_000


class ThrottlingTable:
    """DynamoDB's client with a token bucket that holds the units of one second; a call takes 6 ms."""

    def __init__(self) -> None:
        self.keys: set[tuple[str, str]] = set()
        self.units = 0
        self._level = LIMIT
        self._at = 0.0

    async def batch_write_item(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401 - of DynamoDB's API
        """Take what there are units for, and return the rest as unprocessed; refuse the call if there are none."""
        await asyncio.sleep(0.006)
        ((table, puts),) = request["RequestItems"].items()
        taken = [put for put in puts if self._take(put["PutRequest"]["Item"])]
        if not taken:
            raise _throttled("BatchWriteItem")
        left = [put for put in puts if put not in taken]
        return {
            "UnprocessedItems": {table: left} if left else {},
            "ConsumedCapacity": [{"CapacityUnits": float(len(taken))}],
        }

    async def put_item(self, **request: Any) -> dict[str, Any]:  # noqa: ANN401
        """Take an item."""
        await asyncio.sleep(0.006)
        if not self._take(request["Item"]):
            raise _throttled("PutItem")
        return {"ConsumedCapacity": {"CapacityUnits": float(math.ceil(item_size(request["Item"]) / 1024))}}

    def _take(self, item: dict[str, Any]) -> bool:
        now = asyncio.get_running_loop().time()
        self._level = min(LIMIT, self._level + LIMIT * (now - self._at))
        self._at = now
        if self._level <= 0:
            return False
        units = math.ceil(item_size(item) / 1024)
        self._level -= units
        self.units += units
        self.keys.add((item["pk"]["S"], item["sk"]["S"]))
        return True


def _throttled(operation: str) -> ClientError:
    error = {"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(error, operation)  # type: ignore[arg-type]


def test_a_rollup_uses_most_of_a_tables_throughput_and_loses_no_product() -> None:
    """Of what comes after the first second, which the unused bucket of the table serves."""
    client: Any = ThrottlingTable()
    shards: list[dict[bytes, Counts]] = [{} for _ in range(keys.VIEW_SHARDS)]
    for number in range(PRODUCTS):
        shards[number % keys.VIEW_SHARDS][uuid.UUID(int=number).bytes] = Counts(1, 1, 0)

    async def run() -> float:
        store = RollupStore(Table(Clients(reader=client, writer=client), name="table", deadline=5, patience=300))
        await gather((store.put_products(DAY, *shard, stored={}) for shard in enumerate(shards)), at_once=3)
        return asyncio.get_running_loop().time()

    seconds = virtual_time.run(run())
    assert len(client.keys) == PRODUCTS + keys.VIEW_SHARDS
    assert client.units - LIMIT > 0.8 * LIMIT * seconds
