"""The stream: which records pass its filter, and how a record or a stored change becomes an event."""

from decimal import Decimal
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from tests.store.samples import create, delete, edit, restore
from vitrina.aws import Clients, connect_streams
from vitrina.config import Settings
from vitrina.errors import TableUnavailable
from vitrina.store.definition import create_table_arguments
from vitrina.store.items import ChangeItem
from vitrina.store.keys import Key, change, named_change
from vitrina.store.listings import ProductListings
from vitrina.store.operations import Update
from vitrina.store.products import ProductStore
from vitrina.store.stream import (
    FILTER,
    ChangeUnreadable,
    IteratorExpired,
    Record,
    ShardGone,
    Stream,
    Trimmed,
    find_stream,
    passes,
    price_changed,
    sequence_number,
)
from vitrina.store.table import Table

RECORD: dict[str, Any] = {
    "eventName": "INSERT",
    "dynamodb": {
        "Keys": {"pk": {"S": "PRODUCT#p"}, "sk": {"S": "CHANGE#0000000002"}},
        "NewImage": {
            "pk": {"S": "PRODUCT#p"},
            "sk": {"S": "CHANGE#0000000002"},
            "type": {"S": "change"},
            "v": {"N": "1"},
            "product_id": {"S": "p"},
            "version": {"N": "2"},
            "action": {"S": "updated"},
            "at": {"S": "2026-11-24T07:00:00.120Z"},
            "by": {"S": "luis"},
            "request_id": {"S": "r"},
            "sku": {"S": "LAMP"},
            "name": {"S": "Lamp"},
            "price": {"S": "24.50"},
            "currency": {"S": "USD"},
            "changes": {"S": '{"price": {"from": "19.99", "to": "24.50"}}'},
            "old_price": {"S": "19.99"},
            "old_currency": {"S": "USD"},
        },
        "SequenceNumber": "100000000000000000001",
    },
}


def record(*, event: str = "INSERT", keys: dict[str, Any] | None = None, **image: Any) -> Record:  # noqa: ANN401
    """Return a record whose image has these differences; None removes an attribute."""
    whole = {key: value for key, value in (RECORD["dynamodb"]["NewImage"] | image).items() if value is not None}
    return {
        "eventName": event,
        "dynamodb": RECORD["dynamodb"] | {"NewImage": whole, "Keys": keys or RECORD["dynamodb"]["Keys"]},
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (record(), True),
        (record(event="MODIFY"), False),
        (record(type={"S": "views"}), False),
        (record(type=None), False),
        (record(old_price=None), False),
        (record(old_price={"N": "1"}), False),
        ({"eventName": "REMOVE", "dynamodb": {"Keys": {}}}, False),
        ({"eventName": "INSERT", "dynamodb": {"NewImage": {"type": {"S": "change"}}}}, False),
    ],
)
def test_the_filter_passes_only_new_price_changes(given: Record, expected: bool) -> None:  # noqa: FBT001
    assert passes(given) is expected


def test_a_filter_can_require_a_missing_attribute() -> None:
    """As in Lambda's event filters, where each list holds alternatives."""
    assert passes({"a": {"S": "x"}}, {"a": {"S": ["y", "x"]}, "b": [{"exists": False}]})
    assert not passes({"a": {"S": "x"}, "b": 1}, {"b": [{"exists": False}]})


def test_a_record_is_decoded_to_an_event() -> None:
    """From its image alone, without reading the table."""
    assert price_changed(record()).id == "p-2"
    assert sequence_number(record()) == "100000000000000000001"
    assert price_changed(record()).old_price == "19.99"
    assert price_changed(record()).changed_at.isoformat() == "2026-11-24T07:00:00.120000+00:00"


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({"name": None}, "without name"),
        ({"old_currency": None, "by": None}, "without old_currency, changed_by"),
        ({"at": {"S": "yesterday"}}, "ValueError"),
        ({"at": {"N": "1"}}, "AttributeDeserializationError"),
        ({"type": {"S": "strange"}}, "ValueError"),
        ({"type": {"S": "price"}, "price": {"N": "1"}}, "not a change item"),
    ],
)
def test_an_undecodable_change_is_identified(image: dict[str, Any], reason: str) -> None:
    """By product and version, so that it can be read from the table."""
    with pytest.raises(ChangeUnreadable) as raised:
        price_changed(record(**image))
    assert (raised.value.product_id, raised.value.version, raised.value.reason) == ("p", 2, reason)


@pytest.mark.parametrize("sk", ["CHANGE#2", "CHANGE#x", "PRICE#0000000002"])
def test_a_record_with_another_key_is_not_identified(sk: str) -> None:
    """Its product and version are unknown."""
    with pytest.raises(ValueError, match=r"."):
        price_changed(record(keys={"pk": {"S": "PRODUCT#p"}, "sk": {"S": sk}}))
    with pytest.raises(ValueError, match=r"."):
        named_change(Key("SKU#p", "CHANGE#0000000002"))


@pytest.mark.engine("dynamodb_local", "ministack")
async def test_the_stream_contains_each_price_change(
    clients: Clients, settings: Settings, table_with_stream: Table
) -> None:
    """In order, with old and new price, and equal to the event read from the table; no other change passes."""
    table = table_with_stream
    store = ProductStore(table)
    made = await create(store, price=Decimal("19.99"))
    dearer = await edit(store, made, price=made.price + 5)
    renamed = await edit(store, dearer, name="Floor lamp")
    gone = await delete(store, renamed)
    back = await restore(store, gone)
    await edit(store, back, currency="EUR")
    async with connect_streams(settings) as client:
        stream = await find_stream(clients, client, table.name)
        assert stream is not None
        [shard] = (await stream.shards()).values()
        page = await stream.page(await stream.iterator(shard.id, after=None))
        found = [price_changed(each) for each in page.records if passes(each)]
        assert [(each.old_price, each.old_currency, each.price, each.currency) for each in found] == [
            ("19.99", "USD", "24.99", "USD"),
            ("24.99", "USD", "24.99", "EUR"),
        ]
        half = sequence_number(page.records[3])
        rest = await stream.page(await stream.iterator(shard.id, after=half))
        assert list(rest.records) == list(page.records[4:])
        with pytest.raises((ShardGone, TableUnavailable, ClientError)):
            await stream.iterator("shardId-00000000000000000000-99999999", after=None)
    listings = ProductListings(table)
    assert [await listings.price_change(each.product_id, each.version) for each in found] == found
    assert await listings.price_change(made.id, 3) is None
    assert await listings.price_change(made.id, 99) is None
    await table.update(Update(change(made.id, 2), [ChangeItem.sku.remove()]))
    with pytest.raises(ChangeUnreadable, match="without sku"):
        await listings.price_change(made.id, 2)


async def test_without_a_table_there_is_no_stream(clients: Clients, settings: Settings) -> None:
    """The table may be created later."""
    async with connect_streams(settings) as client:
        with pytest.raises(TableUnavailable):
            await find_stream(clients, client, "not-there")


async def test_a_table_may_have_no_stream(settings: Settings, clients: Clients) -> None:
    """Ours always has one; another application's table is not read."""
    async with connect_streams(settings) as client:
        plain = create_table_arguments(settings) | {"StreamSpecification": {"StreamEnabled": False}}
        await clients.writer.create_table(**plain)
        assert await find_stream(clients, client, settings.table_name) is None


class Streams:
    """A fake client of DynamoDB Streams."""

    def __init__(self, *answers: Any) -> None:  # noqa: ANN401 - a response or an error
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def answer(self, **asked: Any) -> Any:  # noqa: ANN401 - a response of DynamoDB
        """Return the next response, the last one for ever."""
        self.asked.append(asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, str):
            raise ClientError(
                {"Error": {"Code": answer}, "ResponseMetadata": cast("Any", {"HTTPStatusCode": 400})}, "x"
            )
        return answer

    describe_stream = get_shard_iterator = get_records = answer


async def test_shards_are_listed_to_the_last_page() -> None:
    """A page of DescribeStream has at most a hundred shards."""
    first = {"StreamDescription": {"Shards": [{"ShardId": "a"}], "LastEvaluatedShardId": "a"}}
    last = {"StreamDescription": {"Shards": [{"ShardId": "b", "ParentShardId": "a"}]}}
    streams = Streams(first, last)
    found = await Stream(cast("Any", streams), "arn/stream/label").shards()
    assert [(shard.id, shard.parent) for shard in found.values()] == [("a", None), ("b", "a")]
    assert streams.asked[1]["ExclusiveStartShardId"] == "a"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ExpiredIteratorException", IteratorExpired),
        ("TrimmedDataAccessException", Trimmed),
        ("LimitExceededException", TableUnavailable),
        ("ResourceNotFoundException", TableUnavailable),
        ("ValidationException", ClientError),
    ],
)
async def test_stream_errors_have_named_exceptions(code: str, error: type[Exception]) -> None:
    """One for each reaction of the reader."""
    with pytest.raises(error):
        await Stream(cast("Any", Streams(code)), "arn/stream/label").page("iterator")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ResourceNotFoundException", ShardGone),
        ("TrimmedDataAccessException", Trimmed),
        ("InternalServerError", TableUnavailable),
    ],
)
async def test_errors_of_an_iterator_have_named_exceptions(code: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await Stream(cast("Any", Streams(code)), "arn/stream/label").iterator("a", after="1")


def test_the_filter_equals_the_documented_one() -> None:
    """table_design.md documents it for an event source mapping."""
    assert FILTER["dynamodb"]["NewImage"].keys() == {"type", "old_price"}
