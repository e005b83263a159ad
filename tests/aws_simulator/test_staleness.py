"""Eventually consistent reads and the stream lag behind the writes."""

import random
from collections.abc import Callable

import pytest

from tests.aws_simulator.conftest import Call, item
from tests.aws_simulator.proxy import ManualClock
from tests.aws_simulator.staleness import Staleness
from vitrina.store.keys import LISTING_BY_TIME
from vitrina.store.table import Table


@pytest.fixture
def call(through: Callable[..., Call], clock: ManualClock) -> Call:
    """Calls whose reads all reach lagging replicas."""
    return through(Staleness(clock, random.Random(1), lagging=1))


async def test_an_eventually_consistent_read_may_miss_the_last_write(
    call: Call, table: Table, clock: ManualClock
) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.ReadConsistency.html."""
    read = {"TableName": table.name, "Key": item("a")}
    await call("PutItem", TableName=table.name, Item=item("a", text="old"))
    assert "Item" not in (await call("GetItem", **read)).body
    clock.advance(0.3)
    await call("PutItem", TableName=table.name, Item=item("a", text="new"))
    assert (await call("GetItem", **read)).body["Item"]["text"]["S"] == "old"
    assert (await call("GetItem", **read, ConsistentRead=True)).body["Item"]["text"]["S"] == "new"
    batch = await call("BatchGetItem", RequestItems={table.name: {"Keys": [item("a")]}})
    assert batch.body["Responses"][table.name] == [item("a", text="old")]
    clock.advance(0.3)
    assert (await call("GetItem", **read)).body["Item"]["text"]["S"] == "new"


async def test_an_index_shows_the_items_as_they_were(call: Call, table: Table, clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html (data synchronization)."""

    async def listed(condition: str = "#1 >= :1", **options: object) -> str:
        page = await call(
            "Query",
            TableName=table.name,
            IndexName=LISTING_BY_TIME.name,
            KeyConditionExpression=f"(listing = :0 AND {condition})",
            ExpressionAttributeNames={"#1": "by_time"},
            ExpressionAttributeValues={":0": {"S": "L"}, ":1": {"S": "2"}},
            **options,
        )
        return " ".join(f"{found['pk']['S']}{found['by_time']['S']}" for found in page.body["Items"])

    for pk, by_time in (("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")):
        await call("PutItem", TableName=table.name, Item=item(pk, listing="L", by_time=by_time))
    assert await listed() == ""
    clock.advance(0.3)
    assert await listed() == "b2 c3 d4"
    await call("DeleteItem", TableName=table.name, Key=item("b"))
    await call("PutItem", TableName=table.name, Item=item("c", listing="L", by_time="9"))
    await call("PutItem", TableName=table.name, Item=item("e", listing="L", by_time="5"))
    assert await listed() == "b2 c3 d4"
    assert await listed("#1 BETWEEN :1 AND :1") == await listed("begins_with (#1, :1)") == "b2"
    assert await listed(Limit=1) == "b2"
    assert await listed(ScanIndexForward=False) == "d4 c3 b2"
    clock.advance(0.3)
    assert await listed() == "d4 e5 c9"


async def test_a_stream_record_comes_late(call: Call, table_with_stream: Table, clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html (near real time)."""
    table = table_with_stream
    await call("PutItem", TableName=table.name, Item=item("a"))
    await call("PutItem", TableName=table.name, Item=item("b"))
    arn = (await call("ListStreams", TableName=table.name)).body["Streams"][0]["StreamArn"]
    (shard,) = (await call("DescribeStream", StreamArn=arn)).body["StreamDescription"]["Shards"]
    place = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    iterator = (await call("GetShardIterator", **place)).body["ShardIterator"]

    async def arrived() -> str:
        nonlocal iterator
        page = (await call("GetRecords", ShardIterator=iterator)).body
        iterator = page["NextShardIterator"]
        return "".join(record["dynamodb"]["Keys"]["pk"]["S"] for record in page["Records"])

    assert await arrived() == ""
    clock.advance(1)
    await call("PutItem", TableName=table.name, Item=item("c"))
    assert await arrived() == "ab"
    clock.advance(1)
    assert await arrived() == "c"
