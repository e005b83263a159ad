"""The one table: every call to DynamoDB's data goes through here."""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import ClientError

from vitrina.aws import Clients
from vitrina.errors import Conflict, TableUnavailable
from vitrina.store.calls import make
from vitrina.store.items import Item, RawItem
from vitrina.store.keys import Key
from vitrina.store.reads import Query, Scan
from vitrina.store.writes import Arguments, Delete, Expressions, Put, Update, Write, raw_key

MOST_KEYS: Final = 100
"""Items that one BatchGetItem may ask for, and operations that one transaction may hold."""
MOST_PUTS: Final = 25
"""Items that one BatchWriteItem may write."""
_TRIES: Final = 5
_FIRST_PAUSE: Final = 0.01

_THROTTLED: Final = frozenset({"ThrottlingError", "ProvisionedThroughputExceeded"})


class ConditionFailed(Exception):
    """A condition did not hold; `item` is what was there, None if nothing was."""

    def __init__(self, item: Item | None) -> None:
        super().__init__("condition failed")
        self.item = item


class TransactionFailed(Exception):
    """Conditions of a transaction did not hold: `failed` has what was there, by the position of the operation."""

    def __init__(self, failed: dict[int, Item | None]) -> None:
        super().__init__(f"conditions failed: {sorted(failed)}")
        self.failed = failed


class Table:
    """The calls that the store makes.

    Consistent reads go to the writer's endpoint, since a write rests on them; all others may be stale and go to the
    reader's (R17). Raises TableUnavailable when DynamoDB does not answer in time, fails or throttles.
    """

    def __init__(self, clients: Clients, *, name: str, deadline: float = 2.5) -> None:
        """Take the clients, the table's name and the most seconds that a call may take with its retries."""
        self.name = name
        self._reader = clients.reader
        self._writer = clients.writer
        self._deadline = deadline

    async def get(self, key: Key, *, consistent: bool) -> Item | None:
        """Read one item: 0.5 units for each 4 KB, 1 if consistent."""
        client = self._writer if consistent else self._reader
        response = await self._call(
            "GetItem", client.get_item, TableName=self.name, Key=raw_key(key), ConsistentRead=consistent
        )
        return _decoded(response.get("Item"))

    async def get_many(self, keys: Sequence[Key], *, consistent: bool) -> dict[Key, Item]:
        """Read up to `MOST_KEYS` items by one call, none for no keys; what does not exist is left out."""
        items = [Item.from_raw_data(raw) for raw in await self.get_many_raw(keys, consistent=consistent)]
        return {Key(item.pk, item.sk): item for item in items}

    async def get_many_raw(
        self, keys: Sequence[Key], *, consistent: bool, attributes: Sequence[str] = ()
    ) -> list[RawItem]:
        """Read as `get_many` does, items as they come: only the `attributes` named, if any, for the same units.

        One item is read by GetItem, which DynamoDB answers sooner than a batch of one.
        """
        client = self._writer if consistent else self._reader
        placeholders = {f"#{number}": name for number, name in enumerate(attributes)}
        projection: Arguments = (
            {"ProjectionExpression": ", ".join(placeholders), "ExpressionAttributeNames": placeholders}
            if placeholders
            else {}
        )
        found: list[RawItem] = []
        # DynamoDB refuses to be asked for nothing, or for one item twice.
        pending: list[Arguments] = [raw_key(key) for key in dict.fromkeys(keys)]
        if not pending:
            return found
        if len(pending) == 1:
            options: Arguments = {"Key": pending[0], "ConsistentRead": consistent} | projection
            response = await self._call("GetItem", client.get_item, TableName=self.name, **options)
            return [response["Item"]] if "Item" in response else []
        for attempt in range(_TRIES):
            if attempt:
                await _pause(attempt)
            response = await self._call(
                "BatchGetItem",
                client.batch_get_item,
                RequestItems={self.name: {"Keys": pending, "ConsistentRead": consistent} | projection},
            )
            found += response["Responses"].get(self.name, ())
            pending = response.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
            if not pending:
                return found
        raise TableUnavailable

    async def query(
        self, query: Query, *, limit: int, start: dict[str, str] | None = None
    ) -> tuple[list[Item], dict[str, str] | None]:
        """Read one page of a query; returns it with the position where more may follow, None at the end."""
        raw, position = await self.query_raw(query, limit=limit, start=start)
        return [Item.from_raw_data(item) for item in raw], position

    async def query_raw(
        self, query: Query, *, limit: int, start: dict[str, str] | None = None
    ) -> tuple[list[RawItem], dict[str, str] | None]:
        """Read as `query` does, items as they come."""
        answer, position = await self._query(query, _starting(start) | {"Limit": limit})
        return answer["Items"], position

    async def count(self, query: Query) -> int:
        """Count what a query finds, for the units of reading it: a call for each MB."""
        arguments: Arguments = {"Select": "COUNT"}
        answer, position = await self._query(query, arguments)
        count = int(answer["Count"])
        while position is not None:
            answer, position = await self._query(query, arguments | _starting(position))
            count += answer["Count"]
        return count

    async def scan(
        self, scan: Scan, *, limit: int, start: dict[str, str] | None = None
    ) -> tuple[list[Item], dict[str, str] | None]:
        """Look at the next `limit` items of a scan; returns those that pass its filter, and the position as `query`."""
        arguments: Arguments = {"Segment": scan.segment, "TotalSegments": scan.segments, "Limit": limit}
        client = self._writer if scan.consistent else self._reader
        answer, position = await self._page("Scan", client.scan, scan, arguments | _starting(start), Expressions())
        return [Item.from_raw_data(raw) for raw in answer["Items"]], position

    async def _query(self, query: Query, arguments: Arguments) -> tuple[Any, dict[str, str] | None]:
        expressions = Expressions()
        arguments = arguments | {
            "KeyConditionExpression": expressions.write(query.condition),
            "ScanIndexForward": not query.descending,
        }
        if query.index is not None:
            arguments["IndexName"] = query.index.name
        client = self._writer if query.consistent or query.fresh else self._reader
        return await self._page("Query", client.query, query, arguments, expressions)

    async def _page(
        self,
        operation: str,
        method: Callable[..., Awaitable[Any]],
        query: Query | Scan,
        arguments: Arguments,
        expressions: Expressions,
    ) -> tuple[Any, dict[str, str] | None]:
        arguments |= {"TableName": self.name, "ConsistentRead": query.consistent}
        if query.filter is not None:
            arguments["FilterExpression"] = expressions.write(query.filter)
        response = await self._call(operation, method, **arguments, **expressions.arguments())
        last = response.get("LastEvaluatedKey")
        position = {name: value["S"] for name, value in last.items()} if last else None
        return response, position

    async def put(self, put: Put) -> None:
        """Write an item. Raises ConditionFailed."""
        await self._write("PutItem", self._writer.put_item, put)

    async def delete(self, delete: Delete) -> None:
        """Delete an item. Raises ConditionFailed."""
        await self._write("DeleteItem", self._writer.delete_item, delete)

    async def update(self, update: Update) -> Item:
        """Change an item and return it as it is now. Raises ConditionFailed."""
        response = await self._write("UpdateItem", self._writer.update_item, update, ReturnValues="ALL_NEW")
        return Item.from_raw_data(response["Attributes"])

    async def transact(self, writes: Sequence[Write]) -> None:
        """Do all of `writes` or none. Raises TransactionFailed, and Conflict when others keep touching the same items.

        The token makes a repetition after a lost answer harmless for ten minutes; botocore would make a new one for
        each call of ours.
        """
        arguments: Arguments = {
            "TransactItems": [{write.kind: {"TableName": self.name} | write.arguments()} for write in writes],
            "ClientRequestToken": str(uuid.uuid4()),
        }
        await self._transaction("TransactWriteItems", self._writer.transact_write_items, arguments)

    async def snapshot(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Read up to `MOST_KEYS` items as they are at one moment: 2 units for each 4 KB. Raises Conflict."""
        gets = [{"Get": {"TableName": self.name, "Key": raw_key(key)}} for key in keys]
        arguments: Arguments = {"TransactItems": gets}
        response = await self._transaction("TransactGetItems", self._writer.transact_get_items, arguments)
        items = (_decoded(answer.get("Item")) for answer in response["Responses"])
        return {key: item for key, item in zip(keys, items, strict=True) if item is not None}

    async def _transaction(self, operation: str, method: Callable[..., Awaitable[Any]], arguments: Arguments) -> Any:  # noqa: ANN401
        for attempt in range(_TRIES):
            if attempt:
                await _pause(attempt)
            try:
                return await self._call(operation, method, **arguments)
            except ClientError as error:
                reasons: Sequence[Mapping[str, Any]] = error.response.get("CancellationReasons", ())
                codes = [reason.get("Code", "None") for reason in reasons]
                failed = {
                    position: _decoded(reason.get("Item"))
                    for position, reason in enumerate(reasons)
                    if reason.get("Code") == "ConditionalCheckFailed"
                }
                if failed:
                    raise TransactionFailed(failed) from error
                if _THROTTLED & set(codes):
                    raise TableUnavailable from error
                if "TransactionConflict" not in codes:
                    raise
        raise Conflict

    async def put_many(self, items: Iterable[Item]) -> None:
        """Write up to `MOST_PUTS` items by one call, without conditions; what was not taken is sent again."""
        pending: list[Any] = [{"PutRequest": {"Item": item.serialize()}} for item in items]
        await self._write_many(pending)

    async def delete_many(self, keys: Iterable[Key]) -> None:
        """Delete any number of items, `MOST_PUTS` a call, without conditions."""
        requests = [{"DeleteRequest": {"Key": raw_key(key)}} for key in keys]
        for first in range(0, len(requests), MOST_PUTS):
            await self._write_many(requests[first : first + MOST_PUTS])

    async def _write_many(self, pending: list[Any]) -> None:
        if not pending:
            return
        for attempt in range(_TRIES):
            if attempt:
                await _pause(attempt)
            response = await self._call(
                "BatchWriteItem", self._writer.batch_write_item, RequestItems={self.name: pending}
            )
            pending = response.get("UnprocessedItems", {}).get(self.name, [])
            if not pending:
                return
        raise TableUnavailable

    async def _write(
        self, operation: str, method: Callable[..., Awaitable[Any]], write: Put | Delete | Update, **options: str
    ) -> Any:  # noqa: ANN401 - DynamoDB's own answer
        try:
            return await self._call(operation, method, TableName=self.name, **write.arguments(), **options)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                old: Any = error.response.get("Item")
                raise ConditionFailed(_decoded(old)) from error
            if error.response["Error"]["Code"] == "TransactionConflictException":
                raise Conflict from error
            raise

    async def _call(self, operation: str, method: Callable[..., Awaitable[Any]], **arguments: Any) -> Any:  # noqa: ANN401
        return await make(operation, method, arguments, deadline=self._deadline)


def _starting(after: dict[str, str] | None) -> Arguments:
    return {} if after is None else {"ExclusiveStartKey": {name: {"S": value} for name, value in after.items()}}


def _decoded(raw: Mapping[str, Any] | None) -> Item | None:
    return Item.from_raw_data(dict(raw)) if raw else None


async def _pause(attempt: int) -> None:
    """Wait for a random part of a time that doubles with each attempt ("full jitter", AWS Builders' Library)."""
    await asyncio.sleep(random.uniform(0, _FIRST_PAUSE * 2**attempt))  # noqa: S311 - not a secret
