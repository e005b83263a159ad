"""The table's stream: its shards, their records, and which of them tell of prices (table_design.md, section 8).

A record stays as DynamoDB gives it until it has passed the filter: of most, nothing is decoded at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from vitrina.aws import Clients
from vitrina.domain.notices import PriceChanged
from vitrina.errors import TableUnavailable
from vitrina.store.calls import make
from vitrina.store.changes import price_changed_from

if TYPE_CHECKING:
    from types_aiobotocore_dynamodbstreams import DynamoDBStreamsClient

Record = Mapping[str, Any]
"""A record as DynamoDB's API and Lambda's events have it."""

FILTER: Final[Mapping[str, Any]] = {
    "eventName": ["INSERT"],
    "dynamodb": {"NewImage": {"type": {"S": ["change"]}, "old_price": {"S": [{"exists": True}]}}},
}
"""What the relay wants, as a Lambda event filter says it; the worker evaluates the same."""

_DEADLINE: Final = 12.0
"""Seconds for a call: a page may be 1 MB."""


class IteratorExpired(Exception):
    """An iterator was not used for a quarter of an hour: get a new one."""


class Trimmed(Exception):
    """The record after which reading was to go on is older than the 24 hours that a stream keeps."""


class ShardGone(Exception):
    """The stream knows no such shard (any more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A part of the stream, which begins where its parent ends."""

    id: str
    parent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPage:
    """Records in their order, and the iterator of what follows; None at the shard's end."""

    records: Sequence[Record]
    next: str | None


class Stream:
    """A stream of a table. Methods raise TableUnavailable when it does not answer."""

    def __init__(self, client: "DynamoDBStreamsClient", arn: str) -> None:
        """Take the client and the stream's ARN."""
        self.arn = arn
        self._client = client

    @property
    def label(self) -> str:
        """What tells this stream of the table from an earlier or a later one."""
        return self.arn.rpartition("/stream/")[2]

    async def shards(self) -> dict[str, Shard]:
        """List the shards, open ones and those that closed within 24 hours: 1 call a hundred."""
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
        """Return an iterator of a shard, after a sequence number or from the oldest record that is left.

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
        """Read what follows: up to 1,000 records or 1 MB. Raises IteratorExpired and Trimmed."""
        response = await self._call("GetRecords", self._client.get_records, ShardIterator=iterator)
        return RecordPage(records=response["Records"], next=response.get("NextShardIterator"))

    async def _call(self, operation: str, method: Any, **arguments: str) -> Any:  # noqa: ANN401 - DynamoDB's own
        try:
            return await make(operation, method, arguments, deadline=_DEADLINE, has_units=False)
        except ClientError as error:
            match error.response["Error"]["Code"]:
                case "ExpiredIteratorException":
                    raise IteratorExpired from error
                case "TrimmedDataAccessException":
                    raise Trimmed from error
            raise


async def find_stream(clients: Clients, streams: "DynamoDBStreamsClient", table_name: str) -> Stream | None:
    """Find the table's stream, None if it has none: 1 call. Raises TableUnavailable, also when there is no table."""
    describe = clients.writer.describe_table
    described = await make("DescribeTable", describe, {"TableName": table_name}, deadline=_DEADLINE, has_units=False)
    arn = described["Table"].get("LatestStreamArn")
    return Stream(streams, arn) if arn else None


def passes(value: object, pattern: Mapping[str, Any] | Sequence[Any] = FILTER) -> bool:
    """Say whether a record passes a filter, by the part of Lambda's rules that `FILTER` uses.

    A mapping asks for all of its keys, a list for one of its values; `{"exists": true}` takes any value.
    """
    if isinstance(pattern, Mapping):
        return isinstance(value, Mapping) and all(passes(value.get(key), part) for key, part in pattern.items())
    return any(
        (value is not None) == wanted["exists"] if isinstance(wanted, dict) else value == wanted for wanted in pattern
    )


def price_changed(record: Record) -> PriceChanged:
    """Decode a record that passed. Raises as `price_changed_from` does."""
    return price_changed_from(record["dynamodb"]["Keys"], record["dynamodb"]["NewImage"])


def sequence_number(record: Record) -> str:
    """Return the place of a record in its shard."""
    number: str = record["dynamodb"]["SequenceNumber"]
    return number
