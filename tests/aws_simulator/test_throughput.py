"""What exceeds the throughput of a partition or an index is refused, whole or in part (on-demand tables)."""

from collections.abc import Callable

import pytest

from tests.aws_simulator.conftest import Call, item
from tests.aws_simulator.proxy import ManualClock, Response
from tests.aws_simulator.throughput import Bucket, Throughput
from vitrina.store.keys import LISTING_BY_TIME
from vitrina.store.table import Table

INDEX = LISTING_BY_TIME.name


@pytest.fixture
def throughput(clock: ManualClock) -> Throughput:
    """The limits."""
    return Throughput(clock)


@pytest.fixture
def call(through: Callable[..., Call], throughput: Throughput) -> Call:
    """Calls under the limits."""
    return through(throughput)


def reasons(refused: Response) -> list[str]:
    """Return the reasons of a refusal."""
    assert refused.code == "ThrottlingException"
    return [reason["reason"] for reason in refused.body["throttlingReasons"]]


async def test_a_partition_key_has_1000_write_units_a_second(call: Call, table: Table, clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html."""
    large = {"TableName": table.name, "Item": item("hot", text="x" * 250 * 1024)}
    for _ in range(4):
        assert (await call("PutItem", **large)).ok
    assert reasons(await call("PutItem", **large)) == ["TableWriteKeyRangeThroughputExceeded"]
    assert (await call("PutItem", TableName=table.name, Item=item("cold"))).ok
    clock.advance(0.01)
    assert (await call("PutItem", **large)).ok


async def test_a_throttled_index_throttles_the_tables_writes(
    call: Call, table: Table, throughput: Throughput, clock: ManualClock
) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/gsi-throttling.html."""
    throughput.exhaust(Bucket(table.name, INDEX, "Write", "PRODUCTS"))
    refused = await call("PutItem", TableName=table.name, Item=item("a", listing="PRODUCTS", by_time="1"))
    assert reasons(refused) == ["IndexWriteKeyRangeThroughputExceeded"]
    assert refused.body["throttlingReasons"][0]["resource"].endswith(f"/index/{INDEX}")
    assert (await call("PutItem", TableName=table.name, Item=item("a"))).ok
    listing = {
        "TableName": table.name,
        "Key": item("a"),
        "UpdateExpression": "SET #0 = :0, #1 = :1",
        "ExpressionAttributeNames": {"#0": "listing", "#1": "by_time"},
        "ExpressionAttributeValues": {":0": {"S": "PRODUCTS"}, ":1": {"S": "1"}},
    }
    assert reasons(await call("UpdateItem", **listing)) == ["IndexWriteKeyRangeThroughputExceeded"]
    clock.advance(1.01)
    assert (await call("UpdateItem", **listing)).ok


async def test_a_batch_comes_back_in_part(call: Call, table: Table, throughput: Throughput) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html and API_BatchGetItem."""
    for kind in ("Write", "Read"):
        throughput.exhaust(Bucket(table.name, None, kind, "hot"))
    cold, hot = ({"PutRequest": {"Item": item(pk)}} for pk in ("cold", "hot"))
    written = await call("BatchWriteItem", RequestItems={table.name: [hot, cold]})
    assert written.body["UnprocessedItems"] == {table.name: [hot]}
    assert reasons(await call("BatchWriteItem", RequestItems={table.name: [hot]}))
    keys = {"Keys": [item("cold"), item("hot")], "ConsistentRead": True}
    read = await call("BatchGetItem", RequestItems={table.name: keys})
    assert read.body["Responses"] == {table.name: [item("cold")]}
    assert read.body["UnprocessedKeys"] == {table.name: keys | {"Keys": [item("hot")]}}


async def test_a_batch_reports_units_of_items_that_are_not_there(
    call: Call, table: Table, throughput: Throughput
) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html."""
    throughput.exhaust(Bucket(table.name, None, "Read", "hot"))
    keys = {"Keys": [item(pk) for pk in ("a", "b", "hot")], "ConsistentRead": True}
    read = await call("BatchGetItem", RequestItems={table.name: keys}, ReturnConsumedCapacity="TOTAL")
    assert [each["CapacityUnits"] for each in read.body["ConsumedCapacity"]] == [2]


async def test_a_transaction_names_the_throttled_item(call: Call, table: Table, throughput: Throughput) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html."""
    throughput.exhaust(Bucket(table.name, None, "Write", "hot"))
    parts = [{"Put": {"TableName": table.name, "Item": item(pk)}} for pk in ("cold", "hot")]
    refused = await call("TransactWriteItems", TransactItems=parts)
    assert [reason["Code"] for reason in refused.body["CancellationReasons"]] == ["None", "ThrottlingError"]
    assert "Item" not in (await call("GetItem", TableName=table.name, Key=item("cold"))).body


async def test_a_provisioned_table_has_other_words(
    through: Callable[..., Call], table: Table, clock: ManualClock
) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html."""
    throughput = Throughput(clock, provisioned=True)
    throughput.exhaust(Bucket(table.name, None, "Write", "hot"))
    call, put = through(throughput), {"TableName": table.name, "Item": item("hot")}
    refused = await call("PutItem", **put)
    assert refused.code == "ProvisionedThroughputExceededException"
    assert refused.body["ThrottlingReasons"][0]["reason"] == "TableWriteKeyRangeThroughputExceeded"
    cancelled = await call("TransactWriteItems", TransactItems=[{"Put": put}])
    assert cancelled.body["CancellationReasons"][0]["Code"] == "ProvisionedThroughputExceeded"


async def test_a_page_of_an_index_uses_read_units_of_its_partition(
    call: Call, table: Table, throughput: Throughput
) -> None:
    """A query for another partition, or of the table, is not affected."""
    throughput.exhaust(Bucket(table.name, INDEX, "Read", "PRODUCTS"))

    async def query(name: str, value: str, **options: str) -> Response:
        condition = {"KeyConditionExpression": f"{name} = :0", "ExpressionAttributeValues": {":0": {"S": value}}}
        return await call("Query", TableName=table.name, **condition, **options)

    assert reasons(await query("listing", "PRODUCTS", IndexName=INDEX)) == ["IndexReadKeyRangeThroughputExceeded"]
    assert (await query("listing", "USERS", IndexName=INDEX)).ok
    assert (await query("pk", "PRODUCTS")).ok
