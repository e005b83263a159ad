# ruff: noqa: ANN401 - a fake client has the types of a real one
"""Creating the table and updating an existing one are idempotent, whatever the initial state (R16)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.store.samples import create
from vitrina.aws import Clients, connect_streams
from vitrina.backoff import Backoff
from vitrina.config import Settings
from vitrina.domain.products import Listing, Sort
from vitrina.errors import TableUnavailable
from vitrina.store import keys, schema
from vitrina.store.definition import UNSUPPORTED, TableDescription, create_table_arguments, differences
from vitrina.store.listings import ProductListings
from vitrina.store.products import ProductStore
from vitrina.store.schema import SchemaError, end_stream, ensure, status
from vitrina.store.stream import find_stream
from vitrina.store.table import Table

Ensure = Callable[[], Awaitable[bool]]


@pytest.fixture
def said() -> list[str]:
    """The messages that were reported."""
    return []


def production(settings: Settings) -> Settings:
    """Return the same settings for production."""
    return settings.model_copy(update={"environment": "production"})


def older(settings: Settings, **changes: Any) -> dict[str, Any]:
    """Create the table as an older release did: two indexes, no stream."""
    made = create_table_arguments(settings)
    del made["StreamSpecification"]
    made["GlobalSecondaryIndexes"] = [
        index for index in made["GlobalSecondaryIndexes"] if index["IndexName"] in {"listing-by-time", "group-by-time"}
    ]
    made["AttributeDefinitions"] = [
        {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "listing", "listing_group", "by_time")
    ]
    return made | changes


@pytest.mark.engine("dynamodb_local", "ministack")
async def test_a_new_table_is_complete(clients: Clients, settings: Settings, said: list[str]) -> None:
    """It has all indexes, the stream, TTL and on-demand billing; a second run does and reports nothing."""
    assert await ensure(clients.writer, settings, said.append)
    assert said[0] == f"table {settings.table_name} is missing: putting that right"
    said.clear()
    assert not await ensure(clients.writer, settings, said.append)
    assert said == []
    found = await status(clients.writer, settings)
    assert found.indexes == {index.name: "ACTIVE" for index in keys.INDEXES}
    assert (found.state, found.billing, found.stream) == ("ACTIVE", "PAY_PER_REQUEST", "NEW_AND_OLD_IMAGES")
    assert found.ttl == "ENABLED on expires_at"
    assert found.differences == ()
    assert found.deletion_protection == "DISABLED"


async def test_a_missing_table_is_described_as_missing(clients: Clients, settings: Settings) -> None:
    """The description does not create it."""
    found = await status(clients.writer, settings)
    assert (found.state, found.items, found.indexes, found.stream, found.ttl) == ("MISSING", 0, {}, "off", "DISABLED")
    assert found.differences == (f"table {settings.table_name} is missing",)


async def test_an_older_table_is_completed_and_keeps_its_items(
    clients: Clients, settings: Settings, said: list[str]
) -> None:
    """Billing, six indexes one after the other, stream and TTL; existing products appear in the new indexes."""
    throughput = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    provisioned = older(settings, BillingMode="PROVISIONED", ProvisionedThroughput=throughput)
    for index in provisioned["GlobalSecondaryIndexes"]:
        index["ProvisionedThroughput"] = throughput
    await clients.writer.create_table(**provisioned)
    table = Table(clients, name=settings.table_name, deadline=30)
    made = [await create(ProductStore(table), name=name) for name in "BCA"]
    before = await status(clients.writer, settings)
    assert before.differences == (
        "billing is not on demand",
        "index listing-by-name is missing",
        "index listing-by-price is missing",
        "index group-by-name is missing",
        "index group-by-price is missing",
        "index due-by-time is missing",
        "index changes-by-time is missing",
        "the stream is off",
        "TTL is off",
    )
    assert not await ensure(clients.writer, settings, said.append)
    assert [line.removesuffix(": putting that right") for line in said if "putting" in line] == list(before.differences)
    assert (await status(clients.writer, settings)).differences == ()
    page = await ProductListings(table).live(Listing(sort=Sort.NAME), limit=9, start=None)
    assert page.items == [made[2], made[0], made[1]]


async def test_a_stream_with_other_images_is_replaced(clients: Clients, settings: Settings, said: list[str]) -> None:
    """DynamoDB cannot change the view type of a stream."""
    keys_only = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    await clients.writer.create_table(**create_table_arguments(settings) | {"StreamSpecification": keys_only})
    await ensure(clients.writer, settings, said.append)
    assert "the stream has KEYS_ONLY alone: putting that right" in said
    assert (await status(clients.writer, settings)).stream == "NEW_AND_OLD_IMAGES"


@pytest.mark.engine("dynamodb_local", "ministack")
async def test_writes_without_a_stream_are_not_in_the_next_one(
    clients: Clients, settings: Settings, said: list[str]
) -> None:
    """The new stream has another ARN and starts empty."""
    await ensure(clients.writer, settings, said.append)
    store = ProductStore(Table(clients, name=settings.table_name, deadline=30))
    async with connect_streams(settings) as streams:
        before = await find_stream(clients, streams, settings.table_name)
        await end_stream(clients.writer, settings, said.append)
        assert (await status(clients.writer, settings)).differences == ("the stream is off",)
        await create(store)
        await ensure(clients.writer, settings, said.append)
        stream = await find_stream(clients, streams, settings.table_name)
        assert before is not None
        assert stream is not None
        assert stream.arn != before.arn
        [shard] = (await stream.shards()).values()
        assert (await stream.page(await stream.iterator(shard.id, after=None))).records in ([], ())
        await create(store)
        assert (await stream.page(await stream.iterator(shard.id, after=None))).records
    assert (await status(clients.writer, settings)).differences == ()


@pytest.mark.engine("ministack")  # DynamoDB Local knows no point-in-time recovery
async def test_production_is_protected(clients: Clients, settings: Settings, said: list[str]) -> None:
    """By point-in-time recovery and deletion protection, which development has only on request."""
    await ensure(clients.writer, settings, said.append)
    assert (await status(clients.writer, production(settings))).differences == (
        "deletion protection is off",
        "point-in-time recovery is off",
    )
    assert not await ensure(clients.writer, production(settings), said.append)
    found = await status(clients.writer, production(settings))
    assert (found.point_in_time_recovery, found.deletion_protection) == ("ENABLED", "ENABLED")
    assert found.differences == ()
    with pytest.raises(ClientError):
        await clients.writer.delete_table(TableName=settings.table_name)


@pytest.mark.requires_dynamodb_local("it has no point-in-time recovery")
async def test_an_engine_without_recovery_is_accepted_only_in_development(
    clients: Clients, settings: Settings, said: list[str]
) -> None:
    """Development reports it; production refuses the engine."""
    await ensure(clients.writer, settings, said.append)
    assert (await status(clients.writer, settings)).point_in_time_recovery == UNSUPPORTED
    with pytest.raises(SchemaError, match=r"recovery is not supported by this engine, and production requires it"):
        await ensure(clients.writer, production(settings), said.append)


async def test_a_table_with_other_keys_is_refused(clients: Clients, settings: Settings, said: list[str]) -> None:
    """It belongs to another application, and nothing in it is changed."""
    await clients.writer.create_table(
        TableName=settings.table_name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for settings_ in (settings, production(settings)):
        with pytest.raises(
            SchemaError, match=r"is not Vitrina's, its key is \(id\): set VITRINA_TABLE_NAME to another"
        ):
            await ensure(clients.writer, settings_, said.append)
    assert said == []
    assert (await status(clients.writer, settings)).indexes == {}


async def test_an_index_of_another_definition_is_refused(clients: Clients, settings: Settings, said: list[str]) -> None:
    """Its listing would be empty while the index is rebuilt, so a person has to decide when."""
    made = create_table_arguments(settings)
    made["GlobalSecondaryIndexes"][2]["Projection"] = {"ProjectionType": "KEYS_ONLY"}
    await clients.writer.create_table(**made)
    with pytest.raises(SchemaError, match="index listing-by-price has another key or projection: delete it"):
        await ensure(clients.writer, settings, said.append)


async def test_ttl_on_another_attribute_is_refused(clients: Clients, settings: Settings, said: list[str]) -> None:
    """Changing the attribute takes up to an hour."""
    await clients.writer.create_table(**create_table_arguments(settings))
    await clients.writer.update_time_to_live(
        TableName=settings.table_name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "other"}
    )
    with pytest.raises(SchemaError, match="TTL is ENABLED on other"):
        await ensure(clients.writer, settings, said.append)


async def test_two_parallel_runs_create_one_table(clients: Clients, settings: Settings, said: list[str]) -> None:
    """The second one reports that it waits for the first."""
    made = await asyncio.gather(*(ensure(clients.writer, settings, said.append) for _ in range(4)))
    assert made.count(True) == 1
    assert (await status(clients.writer, settings)).differences == ()


def refusal(code: str, *, status_code: int = 400) -> ClientError:
    """Return the error that botocore raises for an error response."""
    answer = {"Error": {"Code": code, "Message": f"{code}!"}, "ResponseMetadata": {"HTTPStatusCode": status_code}}
    return ClientError(cast("Any", answer), "Operation")


class SlowTable:
    """A fake of AWS, where each operation takes a while and becomes visible later."""

    def __init__(self, settings: Settings, *, lag: int = 2) -> None:
        self.made = create_table_arguments(settings)
        self.lag = lag
        self.looks = 0
        self.calls: list[str] = []
        self.table: dict[str, Any] | None = None
        self.states: list[dict[str, Any]] = []

    async def describe_table(self, **_: Any) -> dict[str, Any]:
        """Describe the table some requests after its creation; it stays busy for a few more."""
        if self.table is None:
            raise refusal("ResourceNotFoundException")
        self.looks += 1
        if self.looks <= self.lag:
            raise refusal("ResourceNotFoundException")
        busy = self.looks <= 2 * self.lag
        indexes = [index | {"IndexStatus": "ACTIVE"} for index in self.table["GlobalSecondaryIndexes"]]
        if busy:
            indexes[0] |= {"IndexStatus": "CREATING", "Backfilling": True}
        return {"Table": self.table | {"TableStatus": "ACTIVE", "GlobalSecondaryIndexes": indexes}}

    async def describe_time_to_live(self, **_: Any) -> dict[str, Any]:
        """Report that TTL is being enabled."""
        return {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLING", "AttributeName": "expires_at"}}

    async def describe_continuous_backups(self, **_: Any) -> dict[str, Any]:
        """Report that the new table is unknown."""
        raise refusal("TableNotFoundException")

    async def create_table(self, **arguments: Any) -> dict[str, Any]:
        """Accept the table at the second attempt."""
        self.calls.append("create_table")
        if len(self.calls) == 1:
            raise refusal("LimitExceededException")
        self.table = arguments
        return {}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll without pauses."""
    monkeypatch.setattr(schema, "_POLLING", Backoff(first=0.0001, longest=0.0001))


@pytest.mark.usefixtures("quick")
async def test_each_operation_is_requested_once_and_awaited(settings: Settings, said: list[str]) -> None:
    """DescribeTable lags behind, a new index is filled first, and a busy account is retried."""
    slow = SlowTable(settings)
    assert await ensure(cast("Any", slow), settings, said.append)
    assert slow.calls == ["create_table", "create_table"]
    assert said == [
        f"table {settings.table_name} is missing: putting that right",
        "not yet: LimitExceededException!",
        "index listing-by-time: filling",
    ]


@pytest.mark.usefixtures("quick")
async def test_waiting_times_out(settings: Settings, said: list[str]) -> None:
    """The error names what was awaited and what to do."""
    slow = SlowTable(settings, lag=10**9)
    with pytest.raises(SchemaError, match=r"not ready within 0.1 s \(table .* is missing.*\): run this again to go on"):
        await ensure(cast("Any", slow), settings, said.append, seconds=0.1)


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (refusal("ThrottlingException"), TableUnavailable, None),
        (refusal("UnrecognizedClientException"), TableUnavailable, None),
        (refusal("InternalServerError", status_code=500), TableUnavailable, None),
        (EndpointConnectionError(endpoint_url="http://nowhere"), TableUnavailable, None),
        (ConnectionResetError(), TableUnavailable, None),
        (refusal("AccessDeniedException"), SchemaError, "AccessDeniedException!"),
    ],
    ids=str,
)
async def test_errors_of_any_request_are_reported(
    settings: Settings, said: list[str], error: Exception, raised: type[Exception], message: str | None
) -> None:
    """An outage is named as one; a missing permission is reported in DynamoDB's words."""

    class Failing(SlowTable):
        """A client that fails at one of its operations."""

        async def fail(self, **_: Any) -> dict[str, Any]:
            raise error

    for name in ("describe_table", "describe_time_to_live", "describe_continuous_backups", "create_table"):
        failing = Failing(settings, lag=0)
        failing.table = None if name == "create_table" else create_table_arguments(settings)
        setattr(failing, name, failing.fail)
        with pytest.raises(raised, match=message):
            await ensure(cast("Any", failing), settings, said.append)


def seen(settings: Settings, **changes: Any) -> TableDescription:
    """Return DynamoDB's description of a correct table, with these changes."""
    table = create_table_arguments(settings) | {"TableStatus": "ACTIVE", "DeletionProtectionEnabled": True}
    ttl = {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
    return replace(TableDescription(table | changes, ttl, "ENABLED"))


def test_a_correct_table_has_no_differences(settings: Settings) -> None:
    """In development and in production."""
    for settings_ in (settings, production(settings)):
        assert differences(seen(settings), settings_) == []
    assert seen(settings).activity == ""


def test_work_in_progress_is_named(settings: Settings) -> None:
    """Of the table, or of an index."""
    assert seen(settings, TableStatus="UPDATING").activity == "table: updating"
    index = create_table_arguments(settings)["GlobalSecondaryIndexes"][0] | {"IndexStatus": "DELETING"}
    assert seen(settings, GlobalSecondaryIndexes=[index]).activity == "index listing-by-time: deleting"


def test_a_ttl_being_disabled_must_be_awaited(settings: Settings) -> None:
    """DynamoDB takes up to an hour."""
    off = replace(seen(settings), ttl={"TimeToLiveStatus": "DISABLING", "AttributeName": "expires_at"})
    (difference,) = differences(off, settings)
    assert difference.operation is None
    assert "wait for an hour" in difference.what
