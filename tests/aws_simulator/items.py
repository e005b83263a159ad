"""The items that a request reads or writes, by Vitrina's key (`pk`, `sk`)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tests.aws_simulator.proxy import Forward, Json, Request
from vitrina.store.items import RawItem

_PLAIN_SET = re.compile(r"(#\w+) = (:\w+)(?=\s*(?:,|$|REMOVE|ADD|DELETE))")


class ItemKey(NamedTuple):
    """A table's item."""

    table: str
    pk: str
    sk: str

    @property
    def raw(self) -> RawItem:
        """The key in the form of DynamoDB's API."""
        return {"pk": {"S": self.pk}, "sk": {"S": self.sk}}


@dataclass(frozen=True, slots=True)
class Write:
    """An item's write: `action` is that of a transaction, such as `Put`, and `body` its parameters."""

    key: ItemKey
    action: str
    body: Json

    def after(self, before: RawItem | None) -> RawItem | None:
        """Return the item after the write.

        Of an update's expression it applies `REMOVE #name` and `SET #name = :value`; other attributes stay as they are.
        """
        match self.action:
            case "Put":
                item: RawItem = self.body["Item"]
                return item
            case "Delete":
                return None
            case "ConditionCheck":
                return before
        names, values = self.body.get("ExpressionAttributeNames", {}), self.body.get("ExpressionAttributeValues", {})
        changed = {**self.key.raw, **(before or {})}
        expression = self.body.get("UpdateExpression", "")
        changed |= {names[name]: values[value] for name, value in _PLAIN_SET.findall(expression)}
        for name in re.findall(r"#\w+", expression.partition("REMOVE")[2]):
            changed.pop(names[name], None)
        return changed


def key_of(table: str, item: RawItem) -> ItemKey:
    """Return the key of an item."""
    return ItemKey(table, item["pk"]["S"], item["sk"]["S"])


def writes(request: Request) -> list[Write]:
    """Return the writes of a request, in order."""
    body = request.body
    match request.operation:
        case "PutItem" | "UpdateItem" | "DeleteItem":
            return [_write(request.operation.removesuffix("Item"), body)]
        case "TransactWriteItems":
            return [_write(action, part) for each in body["TransactItems"] for action, part in each.items()]
        case "BatchWriteItem":
            return [
                _write(name.removesuffix("Request"), part | {"TableName": table})
                for table, requests in body["RequestItems"].items()
                for each in requests
                for name, part in each.items()
            ]
    return []


def reads(request: Request) -> list[ItemKey]:
    """Return the items that a request reads by their keys."""
    body = request.body
    match request.operation:
        case "GetItem":
            return [key_of(body["TableName"], body["Key"])]
        case "BatchGetItem":
            return [key_of(table, key) for table, part in body["RequestItems"].items() for key in part["Keys"]]
        case "TransactGetItems":
            return [key_of(each["Get"]["TableName"], each["Get"]["Key"]) for each in body["TransactItems"]]
    return []


def queried_partition(body: Json) -> str | None:
    """Return the partition of a query, whose condition begins with the partition key; None for a scan."""
    _, equals, rest = body.get("KeyConditionExpression", "").partition("=")
    return body["ExpressionAttributeValues"][rest.split()[0].rstrip(")")]["S"] if equals else None


async def stored(keys: Iterable[ItemKey], request: Request, forward: Forward) -> dict[ItemKey, RawItem | None]:
    """Return the items under the keys, None where there is none: at this moment, or as they were read for this call."""
    wanted: dict[str, list[RawItem]] = {}
    for key in keys:
        if key not in request.known:
            request.known[key] = None
            wanted.setdefault(key.table, []).append(key.raw)
    if wanted:
        items = {table: {"Keys": raw, "ConsistentRead": True} for table, raw in wanted.items()}
        response = await forward(request.other("BatchGetItem", {"RequestItems": items}))
        found = response.body.get("Responses", {}) if response.ok else {}
        request.known.update({key_of(table, item): item for table, items in found.items() for item in items})
    return request.known


def _write(action: str, body: Json) -> Write:
    return Write(key_of(body["TableName"], body.get("Item") or body["Key"]), action, body)
