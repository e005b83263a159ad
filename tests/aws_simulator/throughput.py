"""The throughput of partitions, indexes and tables, and how DynamoDB refuses what exceeds it."""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from tests.aws_simulator.items import Write, queried_partition, reads, stored, writes
from tests.aws_simulator.proxy import Clock, Forward, Json, Request, Response, cancelled, refusal
from tests.store.design.capacity import copy_units, item_size, write_units
from vitrina.store.items import RawItem
from vitrina.store.keys import INDEXES

_PARTITION: Final = {"Read": 3_000.0, "Write": 1_000.0}
_TABLE: Final = {"Read": 12_000.0, "Write": 4_000.0}
"""Units a second of a new on-demand table or index, which has four partitions."""
_READ_UNIT: Final = 4096
_TRANSACTIONS: Final = frozenset({"TransactGetItems", "TransactWriteItems"})
_EXHAUSTED: Final = (
    "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or "
    "index so please try again shortly. If exceptions persist, check if you have a hot key: "
    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html"
)


class Bucket(NamedTuple):
    """What a limit holds for: a partition of a table, or of its index `copies`; without `partition` all of it."""

    table: str
    copies: str | None
    kind: str
    partition: str | None

    @property
    def reason(self) -> Json:
        """The limit as a ThrottlingReason."""
        arn = f"arn:aws:dynamodb:us-east-1:000000000000:table/{self.table}"
        name = f"{'Index' if self.copies else 'Table'}{self.kind}KeyRangeThroughputExceeded"
        return {"reason": name, "resource": f"{arn}/index/{self.copies}" if self.copies else arn}


Charges = dict[Bucket, float]


class Throughput:
    """A token bucket for each limit. A call is admitted while none of its buckets is empty, and then charged in full.

    So a bucket can go into debt by one call: the units of a query are known only afterwards.
    """

    def __init__(self, clock: Clock, *, provisioned: bool = False, share: float = 1.0) -> None:
        """`provisioned` selects the words of a provisioned table; the limits of a partition are the same.

        `share` scales all limits, for engines that are slower than a partition.
        """
        self._clock = clock
        self._share = share
        self._provisioned = provisioned
        self._levels: dict[Bucket, tuple[float, float]] = {}
        """Each bucket's level, and the time at which it had that."""

    def exhaust(self, bucket: Bucket, *, seconds: float = 1.0) -> None:
        """Use up a limit for so many seconds, as other clients would."""
        self._levels[bucket] = (-self._rate(bucket) * seconds, self._clock.now())

    async def __call__(self, request: Request, forward: Forward) -> Response:
        """Charge a request's units, or refuse it or a part of it."""
        if request.operation in {"Query", "Scan"}:
            return await self._query(request, forward)
        charges = await _charges(request, forward)
        empty = []
        for each in charges:
            empty.append(self._empty(each))
            if not empty[-1]:
                self._charge(each)
        if not any(empty):
            return _reported(await forward(request), request, charges)
        if request.operation in _TRANSACTIONS:
            code = "ProvisionedThroughputExceeded" if self._provisioned else "ThrottlingError"
            return cancelled([code if each else "None" for each in empty], {code: _EXHAUSTED})
        if all(empty):
            return self._refused(empty)
        admitted, rest = _split(request.body["RequestItems"], map(bool, empty))
        response = await forward(request.changed(RequestItems=admitted))
        response = _reported(response, request, [each for each, why in zip(charges, empty, strict=True) if not why])
        member = "UnprocessedKeys" if request.operation == "BatchGetItem" else "UnprocessedItems"
        return Response(response.status, response.body | {member: rest}) if response.ok else response

    async def _query(self, request: Request, forward: Forward) -> Response:
        body = request.body
        limits = _limits(body["TableName"], body.get("IndexName"), "Read", queried_partition(body), 0.0)
        if empty := self._empty(limits):
            return self._refused([empty])
        response = await forward(request.changed(ReturnConsumedCapacity="TOTAL"))
        self._charge(dict.fromkeys(limits, response.body.get("ConsumedCapacity", {}).get("CapacityUnits", 0.0)))
        return response

    def _refused(self, empty: Iterable[list[Bucket]]) -> Response:
        reasons = list({bucket: bucket.reason for buckets in empty for bucket in buckets}.values())
        if self._provisioned:
            return refusal("ProvisionedThroughputExceededException", _EXHAUSTED, ThrottlingReasons=reasons)
        return refusal("ThrottlingException", _EXHAUSTED, throttlingReasons=reasons)

    def _empty(self, buckets: Iterable[Bucket]) -> list[Bucket]:
        return [bucket for bucket in buckets if self._level(bucket) <= 0]

    def _charge(self, charges: Charges) -> None:
        for bucket, units in charges.items():
            self._levels[bucket] = (self._level(bucket) - units, self._clock.now())

    def _rate(self, bucket: Bucket) -> float:
        """Return the units a second of a bucket, which also holds so many."""
        return (_TABLE if bucket.partition is None else _PARTITION)[bucket.kind] * self._share

    def _level(self, bucket: Bucket) -> float:
        rate = self._rate(bucket)
        level, at = self._levels.get(bucket, (rate, 0.0))
        return min(level + (self._clock.now() - at) * rate, rate)


async def _charges(request: Request, forward: Forward) -> list[Charges]:
    """Return the units of each item that a request reads or writes by its key, in order."""
    wanted, keys = writes(request), reads(request)
    items = await stored([write.key for write in wanted] + keys, request, forward)
    is_transaction = request.operation in _TRANSACTIONS
    charges = [_write_charges(write, items[write.key], transaction=is_transaction) for write in wanted]
    for key in keys:
        options = request.body.get("RequestItems", {}).get(key.table, request.body)
        factor = 2 if is_transaction else 1 if options.get("ConsistentRead") else 0.5
        units = max(1, math.ceil(item_size(items[key] or {}) / _READ_UNIT)) * factor
        charges.append(_limits(key.table, None, "Read", key.pk, units))
    return charges


def _write_charges(write: Write, before: RawItem | None, *, transaction: bool) -> Charges:
    """Return the units of a write in the table, and in each index whose copy it changes."""
    after, table = write.after(before), write.key.table
    units = write_units(before, after, transaction=transaction).table
    charges = _limits(table, None, "Write", write.key.pk, units)
    before, after = before or {}, after or {}
    for index in INDEXES:
        old, new = (item.get(index.partition, {}).get("S") for item in (before, after))
        # A copy that moves is deleted in one partition and put into another.
        parts: list[tuple[str | None, RawItem, RawItem]] = [(old, before, {}), (new, {}, after)]
        for partition, one, other in [(new, before, after)] if old == new else parts:
            if partition is not None and (copied := copy_units(index, one, other)):
                for bucket in _limits(table, index.name, "Write", partition, copied):
                    charges[bucket] = charges.get(bucket, 0) + copied
    return charges


def _limits(table: str, index: str | None, kind: str, partition: str | None, units: float) -> Charges:
    """Return units of a partition, which are the table's or index's as well; a scan has no partition."""
    return {Bucket(table, index, kind, each): units for each in (partition, None)}


def _reported(response: Response, request: Request, charges: Iterable[Charges]) -> Response:
    """Return the response of a batch of reads with its units: DynamoDB Local has none for items that do not exist."""
    if request.operation != "BatchGetItem" or not response.body.get("ConsumedCapacity"):
        return response
    units: defaultdict[str, float] = defaultdict(float)
    for bucket, charged in (pair for each in charges for pair in each.items()):
        if bucket.partition is None:
            units[bucket.table] += charged
    consumed = [each | {"CapacityUnits": units[each["TableName"]]} for each in response.body["ConsumedCapacity"]]
    return Response(response.status, response.body | {"ConsumedCapacity": consumed})


def _split(items: Json, refused: Iterable[bool]) -> tuple[Json, Json]:
    """Return the admitted and the refused part of a batch."""
    marks = iter(refused)
    admitted: Json = {}
    rest: Json = {}
    for table, part in items.items():
        keys = part["Keys"] if isinstance(part, dict) else part
        chosen: dict[bool, list[Json]] = {False: [], True: []}
        for key in keys:
            chosen[next(marks)].append(key)
        for group, kept in ((admitted, chosen[False]), (rest, chosen[True])):
            if kept:
                group[table] = part | {"Keys": kept} if isinstance(part, dict) else kept
    return admitted, rest
