"""The table's stream (table_design.md, section 8): its shards, their records, and the price changes in them (R9).

Records are decoded only after they have passed the filter, so most are never decoded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from vitrina.aws import Clients
from vitrina.domain.notices import PriceChanged
from vitrina.errors import TableUnavailable
from vitrina.store import keys
from vitrina.store.calls import client_call
from vitrina.store.items import ChangeItem, Item, RawItem
from vitrina.store.retries import RetryPolicy

if TYPE_CHECKING:
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient

Record = Mapping[str, Any]
"""A record in the form of DynamoDB's API and of Lambda's events."""

FILTER: Final[Mapping[str, Any]] = {
    "eventName": ["INSERT"],
    "dynamodb": {"NewImage": {"type": {"S": ["change"]}, "old_price": {"S": [{"exists": True}]}}},
}
"""The relay's filter in the syntax of Lambda event filters; the worker evaluates it too (`passes`)."""

_DEADLINE: Final = 12.0
"""Seconds for a call with its retries, whose response may be 1 MB."""


class IteratorExpired(Exception):
    """An iterator expired after 15 minutes without use: the caller has to get a new one."""


class Trimmed(Exception):
    """The record to continue after is older than the stream's retention of 24 hours."""


class ShardGone(Exception):
    """The stream has no such shard, or no longer."""


class ChangeUnreadable(Exception):
    """A change item is malformed. `reason` quotes none of its contents."""

    def __init__(self, product_id: str, version: int, reason: str) -> None:
        super().__init__(f"change {product_id}-{version}: {reason}")
        self.product_id = product_id
        self.version = version
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A part of the stream; it continues its parent."""

    id: str
    parent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPage:
    """Records in order, and the iterator of the next page, None at the end of the shard."""

    records: Sequence[Record]
    next: str | None


class Stream:
    """A stream of a table. Methods raise TableUnavailable if DynamoDB times out, fails or throttles."""

    def __init__(self, client: "DynamoDBStreamsClient", arn: str) -> None:
        self.arn = arn
        self._client = client
        self._retries = RetryPolicy(deadline=_DEADLINE)

    @property
    def label(self) -> str:
        """The label that distinguishes this stream from earlier and later ones of the table."""
        return self.arn.rpartition("/stream/")[2]

    async def shards(self) -> dict[str, Shard]:
        """Return open shards and those closed within 24 hours, by id: 1 call for each 100 shards."""
        found: dict[str, Shard] = {}
        start: dict[str, str] = {}
        while True:
            response = await self._call("DescribeStream", self._client.describe_stream, StreamArn=self.arn, **start)
            description = response["StreamDescription"]
            for shard in description.get("Shards", ()):
                found[shard["ShardId"]] = Shard(id=shard["ShardId"], parent=shard.get("ParentShardId"))
            last = description.get("LastEvaluatedShardId")
            if last is None:
                return found
            start = {"ExclusiveStartShardId": last}

    async def iterator(self, shard_id: str, *, after: str | None) -> str:
        """Return an iterator of a shard, after a sequence number or from the oldest retained record.

        Raises Trimmed and ShardGone.
        """
        place = (
            {"ShardIteratorType": "TRIM_HORIZON"}
            if after is None
            else {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": after}
        )
        try:
            response = await self._call(
                "GetShardIterator",
                self._client.get_shard_iterator,
                StreamArn=self.arn,
                ShardId=shard_id,
                **place,
            )
        except TableUnavailable as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "ResourceNotFoundException":
                raise ShardGone from error
            raise
        iterator: str = response["ShardIterator"]
        return iterator

    async def page(self, iterator: str) -> RecordPage:
        """Read the next page of up to 1,000 records or 1 MB. Raises IteratorExpired and Trimmed."""
        response = await self._call("GetRecords", self._client.get_records, ShardIterator=iterator)
        return RecordPage(records=response["Records"], next=response.get("NextShardIterator"))

    async def _call(self, operation: str, method: Any, **arguments: str) -> Any:  # noqa: ANN401 - DynamoDB's own response
        try:
            return await client_call(operation, method, arguments, self._retries.start(), has_units=False)
        except ClientError as error:
            match error.response["Error"]["Code"]:
                case "ExpiredIteratorException":
                    raise IteratorExpired from error
                case "TrimmedDataAccessException":
                    raise Trimmed from error
            raise


async def find_stream(clients: Clients, streams: "DynamoDBStreamsClient", table_name: str) -> Stream | None:
    """Return the table's stream, None without one: 1 call. Raises TableUnavailable, also without a table."""
    describe, tries = clients.writer.describe_table, RetryPolicy(deadline=_DEADLINE).start()
    described = await client_call("DescribeTable", describe, {"TableName": table_name}, tries, has_units=False)
    arn = described["Table"].get("LatestStreamArn")
    return Stream(streams, arn) if arn else None


def passes(value: object, pattern: Mapping[str, Any] | Sequence[Any] = FILTER) -> bool:
    """Return whether a record passes a filter, by the subset of Lambda's rules that `FILTER` uses.

    A mapping requires all of its keys, a list one of its values; `{"exists": true}` matches any value.
    """
    if isinstance(pattern, Mapping):
        return isinstance(value, Mapping) and all(passes(value.get(key), part) for key, part in pattern.items())
    return any(
        (value is not None) == wanted["exists"] if isinstance(wanted, dict) else value == wanted for wanted in pattern
    )


def sequence_number(record: Record) -> str:
    """Return the sequence number of a record, its position in the shard."""
    number: str = record["dynamodb"]["SequenceNumber"]
    return number


def price_changed(record: Record) -> PriceChanged:
    """Return the event of a record that passed the filter.

    Raises ChangeUnreadable, and ValueError if the record's key is not the key of a change.
    """
    key: RawItem = record["dynamodb"]["Keys"]
    product_id, version = keys.named_change(keys.Key(key["pk"]["S"], key["sk"]["S"]))
    return price_changed_from(product_id, version, record["dynamodb"]["NewImage"])


def price_changed_from(product_id: str, version: int, image: RawItem) -> PriceChanged:
    """Return the event of a price change from the change item. Raises ChangeUnreadable."""
    try:
        item = Item.from_raw_data(image)
    except Exception as error:
        # PynamoDB passes on any exception of an attribute's class or of the standard library.
        raise ChangeUnreadable(product_id, version, type(error).__name__) from error
    if not isinstance(item, ChangeItem):
        raise ChangeUnreadable(product_id, version, "not a change item")
    fields: dict[str, Any] = {
        "sku": item.sku,
        "name": item.name,
        "old_price": item.old_price,
        "old_currency": item.old_currency,
        "price": item.price,
        "currency": item.currency,
        "changed_at": item.at,
        "changed_by": item.by,
        "request_id": item.request_id,
    }
    # PynamoDB does not report missing attributes.
    if missing := [name for name, value in fields.items() if value is None]:
        raise ChangeUnreadable(product_id, version, f"without {', '.join(missing)}")
    fields["changed_at"] = fields["changed_at"].astimezone(UTC)
    return PriceChanged(product_id=product_id, version=version, traceparent=item.traceparent, **fields)
