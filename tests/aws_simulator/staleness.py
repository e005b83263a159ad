"""Reads that do not see the last writes yet: of a lagging replica, of an index, and of the stream."""

import operator
import random
import re
from collections.abc import Mapping
from typing import Final

from tests.aws_simulator.items import ItemKey, key_of, reads, stored, writes
from tests.aws_simulator.proxy import Clock, Forward, Json, Request, Response
from vitrina.store.items import RawItem
from vitrina.store.keys import INDEXES, Index

_LAGGING: Final = 1 / 3
"""Share of table reads that reach the one replica out of three whose acknowledgement a write does not wait for."""
_TERM: Final = re.compile(
    r"begins_with\s*\(\s*(?P<prefixed>#?\w+)\s*,\s*(?P<prefix>:\w+)\s*\)"
    r"|(?P<between>#?\w+)\s+BETWEEN\s+(?P<low>:\w+)\s+AND\s+(?P<high>:\w+)"
    r"|(?P<name>#?\w+)\s*(?P<operator><=|>=|=|<|>)\s*(?P<value>:\w+)"
)


class Staleness:
    """Keeps the item before each recent write, and lays it over the engine's responses until the write has arrived."""

    def __init__(
        self, clock: Clock, dice: random.Random, *, reads: float = 0.3, streams: float = 1.0, lagging: float = _LAGGING
    ) -> None:
        """`reads` and `streams` are the longest delays in seconds, `lagging` is the share of stale table reads."""
        self._clock = clock
        self._dice = dice
        self._reads = reads
        self._streams = streams
        self.lagging = lagging
        self._versions: dict[ItemKey, list[tuple[float, RawItem | None]]] = {}
        """For each recent write, oldest first: when it arrives, and the item before it."""
        self._records: dict[str, float] = {}
        """When each stream record seen so far arrives, by sequence number."""

    async def __call__(self, request: Request, forward: Forward) -> Response:
        """Remember what a write replaces, or overlay a response."""
        if changed := [write.key for write in writes(request) if write.action != "ConditionCheck"]:
            return await self._write(changed, request, forward)
        if request.operation == "GetRecords":
            return await self._stream(request, forward)
        response = await forward(request)
        overlay = {"GetItem": self._get, "BatchGetItem": self._batch, "Query": self._query}.get(request.operation)
        if overlay is None or not response.ok or not self._versions or request.body.get("ConsistentRead"):
            return response
        return Response(200, overlay(request, response.body))

    async def _write(self, keys: list[ItemKey], request: Request, forward: Forward) -> Response:
        before = await stored(keys, request, forward)
        response = await forward(request)
        now = self._clock.now()
        self._versions = {key: kept for key, old in self._versions.items() if (kept := [v for v in old if v[0] > now])}
        if response.ok:
            left = response.body.get("UnprocessedItems") or {}
            undone = {write.key for write in writes(request.other("BatchWriteItem", {"RequestItems": left}))}
            for key in keys:
                versions = self._versions.setdefault(key, [])
                # Writes of one item arrive in their order.
                arrives = max([now + self._dice.uniform(0, self._reads), *(at for at, _ in versions[-1:])])
                if key not in undone:
                    versions.append((arrives, before.get(key)))
        return response

    def _stale(self, key: ItemKey) -> tuple[RawItem | None] | None:
        """Return the item as the laggard still has it, in a tuple; None where it has all writes."""
        now = self._clock.now()
        return next(((item,) for arrives, item in self._versions.get(key, ()) if arrives > now), None)

    def _overlaid(self, fresh: dict[ItemKey, RawItem], keys: list[ItemKey], options: Json) -> list[RawItem]:
        """Return what a read of the keys finds, with `fresh` items where no write is on its way."""
        items: dict[ItemKey, RawItem | None] = dict(fresh)
        for key in keys:
            if (stale := self._stale(key)) and self._dice.random() < self.lagging:
                items[key] = stale[0] and _projected(stale[0], options)
        return [item for item in items.values() if item]

    def _get(self, request: Request, answer: Json) -> Json:
        (key,) = reads(request)
        found = self._overlaid({key: answer["Item"]} if "Item" in answer else {}, [key], request.body)
        rest = {name: part for name, part in answer.items() if name != "Item"}
        return rest | {"Item": found[0]} if found else rest

    def _batch(self, request: Request, answer: Json) -> Json:
        """Overlay the items of each table, but not those of a projection, which may lack their keys."""
        responses: dict[str, list[RawItem]] = dict(answer["Responses"])
        for table, items in answer["Responses"].items():
            options = request.body["RequestItems"][table]
            if not options.get("ConsistentRead") and "ProjectionExpression" not in options:
                keys = [key for key in reads(request) if key.table == table]
                responses[table] = self._overlaid({key_of(table, item): item for item in items}, keys, options)
        return answer | {"Responses": responses}

    def _query(self, request: Request, answer: Json) -> Json:
        """Overlay the page of a query without a projection or a filter; an index lags always, a table at times."""
        body, table = request.body, request.body["TableName"]
        if "ProjectionExpression" in body or "FilterExpression" in body or "Items" not in answer:
            return answer
        index = next((index for index in INDEXES if index.name == body.get("IndexName")), None)
        stale = {key: old[0] for key in self._versions if key.table == table and (old := self._stale(key))}
        if not stale or (index is None and self._dice.random() >= self.lagging):
            return answer
        page = [item for item in answer["Items"] if key_of(table, item) not in stale]
        page += [item for item in stale.values() if item and _on_page(item, body, answer, index)]
        page.sort(key=lambda item: _order(item, index), reverse=not body.get("ScanIndexForward", True))
        limit = body.get("Limit", len(page))
        if len(page) > limit:
            last = {name: page[limit - 1][name] for name in ("pk", "sk", *(index or ())[1:])}
            answer = answer | {"LastEvaluatedKey": last}
        return answer | {"Items": page[:limit], "Count": min(limit, len(page))}

    async def _stream(self, request: Request, forward: Forward) -> Response:
        """Leave out the records that have not arrived yet: the engine is asked for so many fewer."""
        response = await forward(request)
        records = response.body.get("Records", ()) if response.ok else ()
        now = self._clock.now()
        numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
        late = [
            self._records.setdefault(number, now + self._dice.uniform(0, self._streams)) > now for number in numbers
        ]
        if not any(late):
            return response
        if arrived := late.index(True):
            return await forward(request.changed(Limit=arrived))
        return Response(200, {"Records": [], "NextShardIterator": request.body["ShardIterator"]})


def _projected(item: RawItem, options: Json) -> RawItem:
    names = [name.strip() for name in options.get("ProjectionExpression", "").split(",") if name.strip()]
    wanted = {options.get("ExpressionAttributeNames", {}).get(name, name) for name in names}
    return {name: value for name, value in item.items() if name in wanted} if wanted else item


def _order(item: RawItem, index: Index | None) -> tuple[str, ...]:
    names = (index.sort, "pk", "sk") if index else ("sk",)
    return tuple(item[name]["S"] for name in names)


def _on_page(item: RawItem, body: Json, answer: Json, index: Index | None) -> bool:
    """Return whether an item meets the condition of a query and lies between the beginning and end of a page."""
    names: Mapping[str, str] = body.get("ExpressionAttributeNames", {})
    values = {name: value["S"] for name, value in body["ExpressionAttributeValues"].items()}
    for term in _TERM.finditer(body["KeyConditionExpression"]):
        part = term.groupdict()
        name = part["prefixed"] or part["between"] or part["name"]
        actual = item.get(names.get(name, name), {}).get("S")
        if actual is None or not _meets(actual, part, values):
            return False
    if index is not None and index.sort not in item:
        return False
    start, end = body.get("ExclusiveStartKey"), answer.get("LastEvaluatedKey")
    if not body.get("ScanIndexForward", True):
        start, end = end, start
    at = _order(item, index)
    return (start is None or _order(start, index) < at) and (end is None or at < _order(end, index))


def _meets(actual: str, part: Mapping[str, str | None], values: Mapping[str, str]) -> bool:
    if part["prefix"]:
        return actual.startswith(values[part["prefix"]])
    if part["low"] and part["high"]:
        return values[part["low"]] <= actual <= values[part["high"]]
    compare = {"=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
    return bool(compare[str(part["operator"])](actual, values[str(part["value"])]))
