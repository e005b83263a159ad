"""Records the requests of a client: arguments, units, and the order in which they began and ended."""

import itertools
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from botocore.exceptions import ClientError

from tests.store.design.capacity import WriteUnits, write_units
from vitrina.store.items import RawItem

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

ROOT = Path(__file__).parents[3]
Place = Literal["writer", "reader"]
GENERAL = frozenset({"calls.py", "table.py", "paging.py"})
"""Modules that every pattern uses; the calling function is outside them."""
NOTHING = WriteUnits(0, 0)
_READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})


class Code(NamedTuple):
    """A function or a class: its name within its file, and the file."""

    name: str
    file: str


@dataclass(frozen=True, slots=True)
class Written:
    """One write of a transaction as it was sent, and its cost."""

    kind: str
    key: str
    condition: str | None
    units: WriteUnits


@dataclass(slots=True, kw_only=True)
class Call:
    """A request. `began` and `ended` are positions in the order of all beginnings and ends.

    `code` is the function of ours that made it, None if a separate task made it. `count` is the number of items that a
    batch found or wrote. A request is cancelled if a condition failed.
    """

    operation: str
    place: Place
    arguments: dict[str, Any]
    code: Code | None
    began: int = -1
    ended: int = -1
    count: int = 0
    units: float = 0.0
    cancelled: bool = False
    writes: list[Written] = field(default_factory=list)

    @property
    def is_read(self) -> bool:
        """Whether it is charged in read units."""
        return self.operation in _READS

    @property
    def consistent(self) -> bool:
        """Whether it is a consistent read."""
        arguments = self.arguments
        if self.operation == "BatchGetItem":
            (arguments,) = arguments["RequestItems"].values()
        return self.operation == "TransactGetItems" or bool(arguments["ConsistentRead"])

    @property
    def keys(self) -> list[str]:
        """The primary keys in the request."""
        match self.operation:
            case "GetItem" | "UpdateItem" | "DeleteItem":
                return [_key(self.arguments["Key"])]
            case "PutItem":
                return [_key(self.arguments["Item"])]
            case "BatchGetItem":
                (request,) = self.arguments["RequestItems"].values()
                return [_key(key) for key in request["Keys"]]
            case "TransactGetItems":
                return [_key(one["Get"]["Key"]) for one in self.arguments["TransactItems"]]
            case "BatchWriteItem":
                (requests,) = self.arguments["RequestItems"].values()
                return [_key(one["PutRequest"]["Item"] if "PutRequest" in one else one["DeleteRequest"]["Key"])
                        for one in requests]  # fmt: skip
            case _:
                return []

    def expression(self, name: str) -> str | None:
        """Return one of its expressions with names and values substituted; None if it has none."""
        return _written_out(self.arguments, name)


class Recorder:
    """Records the requests of clients; `looker` is another client, which reads transaction items before and after."""

    def __init__(self, looker: "DynamoDBClient", table_name: str) -> None:
        self.calls: list[Call] = []
        self._looker = looker
        self._table_name = table_name
        self._clock = itertools.count()
        self._before: dict[int, list[RawItem | None]] = {}

    def attach(self, client: "DynamoDBClient", place: Place) -> None:
        """Record a client's requests."""
        make: Any = client._make_api_call  # type: ignore[attr-defined]

        async def heard(operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
            call = Call(operation=operation, place=place, arguments=dict(arguments), code=_code())
            call.began = next(
                self._clock
            )  # Before the look, which takes as long as a call and so would hide parallel ones.
            self.calls.append(call)
            if operation == "TransactWriteItems":
                self._before[id(call)] = await self._look(call)
            answer: dict[str, Any] = {}
            try:
                answer = await make(operation, arguments)
            except ClientError:
                call.cancelled = True
                raise
            finally:
                call.ended = next(self._clock)
                await self._weigh(call, answer)
            return answer

        client._make_api_call = heard  # type: ignore[attr-defined]

    async def _weigh(self, call: Call, answer: dict[str, Any]) -> None:
        if call.operation == "TransactWriteItems":
            await self._settle(call)
            return
        consumed = answer.get("ConsumedCapacity", ())
        tables = consumed if isinstance(consumed, list) else [consumed] if consumed else ()
        call.units = sum(table["CapacityUnits"] for table in tables)
        found = answer.get("Responses") if call.operation == "BatchGetItem" else None
        call.count = len(call.keys) if found is None else sum(map(len, found.values()))

    @contextmanager
    def during(self) -> Iterator[list[Call]]:
        """Yield a list that is filled at the end with the requests begun meanwhile."""
        seen: list[Call] = []
        before = len(self.calls)
        yield seen
        seen += self.calls[before:]

    async def _look(self, call: Call) -> list[RawItem | None]:
        keys = [_raw_key(one) for one in _writes(call)]
        answer = await self._looker.batch_get_item(
            RequestItems={self._table_name: {"Keys": keys, "ConsistentRead": True}}
        )
        found = {_key(item): item for item in answer["Responses"][self._table_name]}
        return [found.get(_key(key)) for key in keys]

    async def _settle(self, call: Call) -> None:
        """Compute the cost of a transaction; a cancelled one has no figure, neither here nor on AWS."""
        before = self._before.pop(id(call))
        after = await self._look(call)
        for one, old, new in zip(call.arguments["TransactItems"], before, after, strict=True):
            ((kind, arguments),) = one.items()
            units = write_units(old, new, transaction=True) if not call.cancelled else NOTHING
            call.writes.append(written(kind, arguments, units))
        call.units = sum(sum(one.units) for one in call.writes)


def written(kind: str, arguments: dict[str, Any], units: WriteUnits = NOTHING) -> Written:
    """Return a write of a transaction in the page's notation."""
    return Written(kind, _key(_raw_key(arguments)), _written_out(arguments, "ConditionExpression"), units)


def depth(calls: list[Call]) -> int:
    """Return the length of the longest chain of requests of which each begins after the previous one has ended."""
    longest: dict[int, int] = {}
    for call in sorted(calls, key=lambda one: one.began):
        earlier = [longest[other.began] for other in calls if other.ended < call.began and other.began in longest]
        longest[call.began] = 1 + max(earlier, default=0)
    return max(longest.values(), default=0)


def _code() -> Code | None:
    """Return the function of ours that made the request: the innermost one that is not a general helper."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(ROOT / "src") and file.name not in GENERAL:
            return Code(frame.f_code.co_qualname.partition(".<locals>")[0], str(file.relative_to(ROOT)))
        frame = frame.f_back
    return None


def _writes(call: Call) -> list[dict[str, Any]]:
    return [arguments for one in call.arguments["TransactItems"] for arguments in one.values()]


def _raw_key(arguments: dict[str, Any]) -> RawItem:
    there = arguments["Item"] if "Item" in arguments else arguments["Key"]
    return {"pk": there["pk"], "sk": there["sk"]}


def _key(raw: RawItem) -> str:
    return f"{raw['pk']['S']} / {raw['sk']['S']}"


def _written_out(arguments: dict[str, Any], name: str) -> str | None:
    if name not in arguments:
        return None
    names = arguments.get("ExpressionAttributeNames", {})
    values = arguments.get("ExpressionAttributeValues", {})

    def meaning(placeholder: re.Match[str]) -> str:
        text = placeholder[0]
        return str(names[text] if text[0] == "#" else next(iter(values[text].values())))

    expression = re.sub(r"[#:]\d+", meaning, arguments[name])
    return expression[1:-1] if expression[0] == "(" and expression[-1] == ")" else expression
