"""The table. All requests for its data are sent by this class."""

import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Final

from botocore.exceptions import ClientError

from vitrina.aws import Clients
from vitrina.domain.pages import Position
from vitrina.errors import Conflict
from vitrina.store.calls import Method, client_call
from vitrina.store.items import Item, RawItem
from vitrina.store.keys import Key
from vitrina.store.operations import (
    ABSENT,
    Arguments,
    Delete,
    Expressions,
    Put,
    Query,
    Scan,
    Step,
    Update,
    raw_key,
)
from vitrina.store.retries import RetryPolicy, Tries
from vitrina.store.transaction_slots import TransactionSlots

MOST_KEYS: Final = 100
"""The most items of a BatchGetItem, and the most operations of a transaction."""
MOST_PUTS: Final = 25
"""The most items of a BatchWriteItem."""
_INVALID: Final = frozenset({"ItemCollectionSizeLimitExceeded", "ValidationError"})
"""Reasons of a cancelled transaction that no later try would change."""
_CONFLICT: Final = "TransactionConflict"

ItemPage = tuple[list[Item], Position | None]
"""Items, and the position of the next page, None at the end."""


class ConditionFailed(Exception):
    """A condition was false. `item` is the stored item, None if there is none."""

    def __init__(self, item: Item | None) -> None:
        super().__init__("condition failed")
        self.item = item


class Table:
    """Sends the requests of the stores.

    Consistent reads go to the writer's endpoint, since writes depend on them. All other reads may be stale and go to
    the reader's endpoint (R17). Methods raise TableUnavailable if DynamoDB times out, fails or throttles.
    """

    def __init__(self, clients: Clients, *, name: str, deadline: float = 2.5, patience: float | None = None) -> None:
        """`deadline` limits an operation with its retries, `patience` how long bulk work waits while it is throttled.

        Both are in seconds (`RetryPolicy`).
        """
        self.name = name
        self._reader = clients.reader
        self._writer = clients.writer
        self._retries = RetryPolicy(deadline=deadline, patience=patience)
        self._slots = None if patience is not None else TransactionSlots(deadline=deadline)

    async def get(self, key: Key, *, consistent: bool) -> Item | None:
        """Read one item: 0.5 units for each 4 KB, 1 if consistent."""
        found = await self.get_many_raw([key], consistent=consistent)
        return _decoded(found[0] if found else None)

    async def get_dated(self, key: Key) -> tuple[Item | None, datetime | None]:
        """Read one item consistently; also return the time by the table's clock, None without the header `Date`."""
        options: Arguments = {"Key": raw_key(key), "ConsistentRead": True}
        response = await self._call("GetItem", self._writer.get_item, TableName=self.name, **options)
        return _decoded(response.get("Item")), _date(response)

    async def get_many(self, keys: Sequence[Key], *, consistent: bool) -> dict[Key, Item]:
        """Return the items that exist, by key: 1 call for each `MOST_KEYS`."""
        wanted = list(dict.fromkeys(keys))
        found: dict[Key, Item] = {}
        for first in range(0, len(wanted), MOST_KEYS):
            raw = await self.get_many_raw(wanted[first : first + MOST_KEYS], consistent=consistent)
            found |= {item.key: item for item in map(Item.from_raw_data, raw)}
        return found

    async def get_many_raw(
        self, keys: Sequence[Key], *, consistent: bool, attributes: Sequence[str] = ()
    ) -> list[RawItem]:
        """Read up to `MOST_KEYS` items, without deserialising. `attributes` limits what is sent, not the units.

        One item is read by GetItem, which is faster than a batch of one.
        """
        client = self._writer if consistent else self._reader
        placeholders = {f"#{number}": name for number, name in enumerate(attributes)}
        projection: Arguments = (
            {"ProjectionExpression": ", ".join(placeholders), "ExpressionAttributeNames": placeholders}
            if placeholders
            else {}
        )
        found: list[RawItem] = []
        # DynamoDB rejects a request without keys or with duplicate keys.
        pending: list[Arguments] = [raw_key(key) for key in dict.fromkeys(keys)]
        if not pending:
            return found
        if len(pending) == 1:
            options: Arguments = {"Key": pending[0], "ConsistentRead": consistent} | projection
            response = await self._call("GetItem", client.get_item, TableName=self.name, **options)
            return [response["Item"]] if "Item" in response else []
        tries = self._retries.start()
        while True:
            batch = {self.name: {"Keys": pending, "ConsistentRead": consistent} | projection}
            response = await client_call("BatchGetItem", client.batch_get_item, {"RequestItems": batch}, tries)
            found += response["Responses"].get(self.name, ())
            pending = response.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
            if not pending:
                return found
            await tries.wait()

    async def query(self, query: Query, *, limit: int, start: Position | None = None) -> ItemPage:
        """Read one page of a query."""
        raw, position = await self.query_raw(query, limit=limit, start=start)
        return [Item.from_raw_data(item) for item in raw], position

    async def query_dated(
        self, query: Query, *, limit: int, start: Position | None = None
    ) -> tuple[list[Item], Position | None, datetime | None]:
        """Read as `query` does; also return the time by the table's clock, None without the header `Date`."""
        response, position = await self._query(query, _starting(start) | {"Limit": limit})
        return [Item.from_raw_data(item) for item in response["Items"]], position, _date(response)

    async def query_raw(
        self, query: Query, *, limit: int, start: Position | None = None
    ) -> tuple[list[RawItem], Position | None]:
        """Read as `query` does, without deserialising."""
        response, position = await self._query(query, _starting(start) | {"Limit": limit})
        return response["Items"], position

    async def count(self, query: Query) -> int:
        """Count the items of a query: the units of reading them, and 1 call for each MB."""
        count, position = 0, None
        while True:
            response, position = await self._query(query, {"Select": "COUNT"} | _starting(position))
            count += int(response["Count"])
            if position is None:
                return count

    async def scan(self, scan: Scan, *, limit: int, start: Position | None = None) -> ItemPage:
        """Read the next `limit` items of a scan, and return those that pass its filter."""
        arguments: Arguments = {"Segment": scan.segment, "TotalSegments": scan.segments, "Limit": limit}
        client = self._writer if scan.consistent else self._reader
        response, position = await self._page("Scan", client.scan, scan, arguments | _starting(start), Expressions())
        return [Item.from_raw_data(raw) for raw in response["Items"]], position

    async def _query(self, query: Query, arguments: Arguments) -> tuple[Any, Position | None]:
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
        self, operation: str, method: Method, query: Query | Scan, arguments: Arguments, expressions: Expressions
    ) -> tuple[Any, Position | None]:
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
        """Update an item and return its new state. Raises ConditionFailed."""
        response = await self._write("UpdateItem", self._writer.update_item, update, ReturnValues="ALL_NEW")
        return Item.from_raw_data(response["Attributes"])

    async def commit(self, steps: Sequence[Step], *, within: float = math.inf) -> None:
        """Write all steps or none. No try is sent later than in `within` seconds: then raises TimePassed.

        If conditions fail, raises the error of the first such step. All tries have one client request token, which
        makes them idempotent for ten minutes; botocore would generate a new one for each call. Throttled items, an
        earlier try that has not ended, and other transactions are waited for. If those never end, raises what the first
        step of a contended item has as `busy`. Raises Overloaded if too many transactions of this process wait.
        """
        writes = [step.write for step in steps]
        arguments: Arguments = {
            "TransactItems": [{write.kind: {"TableName": self.name} | write.arguments()} for write in writes],
            "ClientRequestToken": str(uuid.uuid4()),
        }
        tries, method = self._retries.start(within=within), self._writer.transact_write_items
        slot = nullcontext if self._slots is None else partial(self._slots.hold, tries)
        await self._transaction("TransactWriteItems", method, arguments, tries, steps, slot=slot)

    async def snapshot(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Return up to `MOST_KEYS` items at one moment, by key: 2 units for each 4 KB. Raises Conflict."""
        gets = [{"Get": {"TableName": self.name, "Key": raw_key(key)}} for key in keys]
        arguments: Arguments = {"TransactItems": gets}
        tries = self._retries.start()
        response = await self._transaction("TransactGetItems", self._writer.transact_get_items, arguments, tries)
        items = (_decoded(each.get("Item")) for each in response["Responses"])
        return {key: item for key, item in zip(keys, items, strict=True) if item is not None}

    async def _transaction(
        self,
        operation: str,
        method: Method,
        arguments: Arguments,
        tries: Tries,
        steps: Sequence[Step] = (),
        *,
        slot: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> Any:  # noqa: ANN401 - DynamoDB's own response
        while True:
            try:
                return await client_call(operation, method, arguments, tries, slot=slot)
            except ClientError as error:
                if error.response["Error"]["Code"] != "TransactionCanceledException":
                    raise
                reasons: Sequence[Mapping[str, Any]] = error.response.get("CancellationReasons", ())
                codes = [reason.get("Code", "None") for reason in reasons]
                if "ConditionalCheckFailed" in codes:
                    first = codes.index("ConditionalCheckFailed")
                    raise steps[first].otherwise(_decoded(reasons[first].get("Item"))) from error
                if not _INVALID.isdisjoint(codes):
                    raise
                failure = error
            if set(codes) - {"None"} != {_CONFLICT}:
                await tries.wait(failure)
                continue
            step = steps[codes.index(_CONFLICT)] if steps else None
            await tries.wait(failure, throttled=False, otherwise=step.busy if step else Conflict)
            if step and isinstance(step.write, Put) and step.write.condition is ABSENT:
                # Most rivals for a claim need no further try, with which they would meet each other again.
                holder = await self.get(step.write.item.key, consistent=True)
                if holder is not None and not step.write.is_done(holder):
                    raise step.otherwise(holder) from failure

    async def put_many(self, items: Iterable[Item]) -> None:
        """Write up to `MOST_PUTS` items by one call, without conditions. Unprocessed items are sent again."""
        await self._write_many([{"PutRequest": {"Item": item.serialize()}} for item in items])

    async def delete_many(self, keys: Iterable[Key]) -> None:
        """Delete items without conditions: 1 call for each `MOST_PUTS`."""
        requests = [{"DeleteRequest": {"Key": raw_key(key)}} for key in keys]
        for first in range(0, len(requests), MOST_PUTS):
            await self._write_many(requests[first : first + MOST_PUTS])

    async def _write_many(self, pending: list[Any]) -> None:
        tries, method = self._retries.start(), self._writer.batch_write_item
        while pending:
            response = await client_call("BatchWriteItem", method, {"RequestItems": {self.name: pending}}, tries)
            pending = response.get("UnprocessedItems", {}).get(self.name, [])
            if pending:
                await tries.wait()

    async def _write(self, operation: str, method: Method, write: Put | Delete | Update, **options: str) -> Any:  # noqa: ANN401 - DynamoDB's own response
        arguments = {"TableName": self.name} | write.arguments() | options
        tries = self._retries.start()
        while True:
            try:
                return await client_call(operation, method, arguments, tries)
            except ClientError as error:
                if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                    raw: Any = error.response.get("Item")
                    stored = _decoded(raw)
                    if tries.repeats and write.is_done(stored):  # by the call whose response was lost
                        return error.response | {"Attributes": raw}
                    raise ConditionFailed(stored) from error
                if error.response["Error"]["Code"] != "TransactionConflictException":
                    raise
                failure = error
            await tries.wait(failure, throttled=False, otherwise=Conflict)

    async def _call(self, operation: str, method: Method, **arguments: Any) -> Any:  # noqa: ANN401
        return await client_call(operation, method, arguments, self._retries.start())


def _starting(after: Position | None) -> Arguments:
    return {} if after is None else {"ExclusiveStartKey": {name: {"S": value} for name, value in after.items()}}


def _date(response: Any) -> datetime | None:  # noqa: ANN401 - DynamoDB's own response
    date = response["ResponseMetadata"]["HTTPHeaders"].get("date")
    return None if date is None else parsedate_to_datetime(date)


def _decoded(raw: Mapping[str, Any] | None) -> Item | None:
    return Item.from_raw_data(dict(raw)) if raw else None
