"""A table, its backups and its indexes become ready after a while."""

import asyncio
from collections.abc import Callable

import pytest

from tests.aws_simulator.conftest import Call, item
from tests.aws_simulator.control_plane import ControlPlane
from tests.aws_simulator.proxy import Json, ManualClock

INDEX = {
    "IndexName": "first",
    "KeySchema": [{"AttributeName": "sk", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}
ATTRIBUTES = {"AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")]}
DEFINITION = {
    **ATTRIBUTES,
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "BillingMode": "PAY_PER_REQUEST",
    "GlobalSecondaryIndexes": [INDEX],
}


@pytest.fixture
def call(through: Callable[..., Call], clock: ManualClock) -> Call:
    """Calls of the control plane, with AWS's minutes."""
    return through(ControlPlane(clock, creating=20, backups=120, updating=5, filling=300))


def adding(index: str) -> Json:
    """Return the part of an UpdateTable that adds an index."""
    return {**ATTRIBUTES, "GlobalSecondaryIndexUpdates": [{"Create": INDEX | {"IndexName": index}}]}


async def test_a_new_table_is_usable_once_it_is_active(call: Call, table_name: str, clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html."""
    named = {"TableName": table_name}
    created = await call("CreateTable", **named, **DEFINITION)
    assert created.body["TableDescription"]["TableStatus"] == "CREATING"
    assert (await call("PutItem", **named, Item=item("a"))).code == "ResourceNotFoundException"
    assert (await call("UpdateTable", **named, **adding("second"))).code == "ResourceInUseException"
    clock.advance(20)
    described = (await call("DescribeTable", **named)).body["Table"]
    assert (described["TableStatus"], described["GlobalSecondaryIndexes"][0]["IndexStatus"]) == ("ACTIVE", "ACTIVE")
    assert (await call("PutItem", **named, Item=item("a"))).ok
    assert (await call("DeleteTable", **named)).ok


async def test_backups_of_a_new_table_are_unavailable_for_minutes(
    call: Call, table_name: str, clock: ManualClock
) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateContinuousBackups.html."""
    named = {"TableName": table_name}
    enabling = {**named, "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}
    assert (await call("DescribeContinuousBackups", **named)).code == "TableNotFoundException"
    await call("CreateTable", **named, **DEFINITION)
    clock.advance(139)
    assert (await call("UpdateContinuousBackups", **enabling)).code == "ContinuousBackupsUnavailableException"
    clock.advance(1)
    assert (await call("UpdateContinuousBackups", **enabling)).ok
    backups = (await call("DescribeContinuousBackups", **named)).body["ContinuousBackupsDescription"]
    assert backups["PointInTimeRecoveryDescription"] == {"PointInTimeRecoveryStatus": "ENABLED"}
    await call("DeleteTable", **named)


async def test_indexes_are_filled_one_after_the_other(call: Call, table_name: str, clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.OnlineOps.html."""
    named = {"TableName": table_name}
    await call("CreateTable", **named, **DEFINITION)
    clock.advance(20)
    assert (await call("UpdateTable", **named, **adding("second"))).ok
    assert (await call("UpdateTable", **named, **adding("third"))).code == "LimitExceededException"
    clock.advance(5)
    indexes = (await call("DescribeTable", **named)).body["Table"]["GlobalSecondaryIndexes"]
    states = {index["IndexName"]: (index["IndexStatus"], index.get("Backfilling")) for index in indexes}
    assert states == {"first": ("ACTIVE", None), "second": ("CREATING", True)}
    assert (await call("Query", **named, IndexName="second")).code == "ValidationException"
    assert (await call("UpdateTable", **named, **adding("third"))).code == "LimitExceededException"
    clock.advance(295)
    while (await call("UpdateTable", **named, **adding("third"))).code == "LimitExceededException":  # noqa: ASYNC110 - DynamoDB Local's own time
        await asyncio.sleep(0.05)
    await call("DeleteTable", **named)


async def test_a_protected_table_cannot_be_deleted(call: Call, table_name: str, clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithTables.Basics.html."""
    named = {"TableName": table_name}
    await call("CreateTable", **named, **DEFINITION, DeletionProtectionEnabled=True)
    clock.advance(20)
    assert (await call("DescribeTable", **named)).body["Table"]["DeletionProtectionEnabled"]
    assert (await call("DeleteTable", **named)).code == "ValidationException"
    updated = await call("UpdateTable", **named, DeletionProtectionEnabled=False)
    assert updated.body["TableDescription"]["TableStatus"] == "UPDATING"
    assert (await call("DeleteTable", **named)).ok
