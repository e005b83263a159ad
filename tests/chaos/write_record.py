"""A record of what an engine has acknowledged, which tells what it lost when it was killed from a fault of Vitrina."""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.aws_simulator.proxy import Forward, LostAnswer, Request, Response
from vitrina.store.items import ChangeItem, IdempotencyItem, Item, ItemT, PriceItem, UserItem, ViewSegmentItem
from vitrina.store.keys import Key

_LASTING = (ChangeItem, PriceItem, UserItem, ViewSegmentItem)
"""Items that the load never changes once they are written, and that each attempt of a request writes anew."""


@dataclass
class SentWrite:
    """The lasting items of a call, and whether the engine has acknowledged it."""

    items: list[Item]
    is_transaction: bool
    acknowledged: bool = False


@dataclass
class WriteRecord:
    """A behaviour of the simulator that records writes. If the engine does not answer, the connection breaks."""

    writes: list[SentWrite] = field(default_factory=list)
    unanswered: int = 0

    async def __call__(self, request: Request, forward: Forward) -> Response:
        """Pass a request on."""
        write = SentWrite([*filter(_is_lasting, _puts(request))], request.operation == "TransactWriteItems")
        if write.items:
            self.writes.append(write)
        try:
            response = await forward(request)
        except aiohttp.ClientError as error:
            self.unanswered += 1
            raise LostAnswer from error
        write.acknowledged = response.ok
        return response

    @property
    def acknowledged(self) -> list[SentWrite]:
        """The acknowledged writes."""
        return [write for write in self.writes if write.acknowledged]

    def lost(self, kind: type[ItemT], stored: Mapping[Key, Item]) -> list[ItemT]:
        """Return the acknowledged items of a kind that the engine does not have."""
        items = (item for write in self.acknowledged for item in write.items if isinstance(item, kind))
        return [item for item in items if not _is_in(stored, item)]

    def torn(self, stored: Mapping[Key, Item]) -> list[SentWrite]:
        """Return the transactions of which the engine has some items and not all."""
        transactions = (write for write in self.writes if write.is_transaction)
        return [write for write in transactions if len({_is_in(stored, item) for item in write.items}) > 1]


def _puts(request: Request) -> Iterator[Item]:
    """Yield the items that a call puts."""
    steps: list[dict[str, Any]] = request.body.get("TransactItems", [])
    if request.operation == "BatchWriteItem":
        steps = [step for steps in request.body["RequestItems"].values() for step in steps]
    for step in steps:
        if put := step.get("Put", step.get("PutRequest")):
            item = {name: {"B": b64decode(of["B"])} if "B" in of else of for name, of in put["Item"].items()}
            yield Item.from_raw_data(item)


def _is_lasting(item: Item) -> bool:
    # Only with a product in it does a stored response differ from that of the next attempt.
    return isinstance(item, _LASTING) or (isinstance(item, IdempotencyItem) and item.status in {200, 201})


def _is_in(stored: Mapping[Key, Item], item: Item) -> bool:
    found = stored.get(item.key)
    return found is not None and found.attribute_values == item.attribute_values
