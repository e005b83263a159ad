"""Fakes of the stream and of the queue."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from vitrina.domain.notices import PriceChanged
from vitrina.errors import QueueUnavailable
from vitrina.queue.messages import ChangeUnread
from vitrina.store import keys
from vitrina.store.stream import Record, RecordPage, Shard, ShardGone

PRODUCT = "01936000-0000-7000-8000-000000000000"


def change(version: int, *, product: str = PRODUCT, **image: Any) -> Record:  # noqa: ANN401
    """A stream record of a price change."""
    key = keys.change(product, version)
    raw_key = {"pk": {"S": key.pk}, "sk": {"S": key.sk}}
    fields = {"by": "ana", "request_id": "r", "sku": "S", "name": "Lamp", "price": "2.00", "currency": "USD"}
    fields |= {"old_price": "1.00", "old_currency": "USD", "at": "2026-11-24T07:00:00.000Z", "type": "change"}
    whole = raw_key | {name: {"S": text} for name, text in fields.items()} | image
    return {
        "eventName": "INSERT",
        "dynamodb": {"Keys": raw_key, "NewImage": whole, "SequenceNumber": f"{version:021d}"},
    }


def noise(number: int) -> Record:
    """A record that the relay must skip, such as a lease renewal."""
    return {"eventName": "MODIFY", "dynamodb": {"Keys": {}, "NewImage": {}, "SequenceNumber": f"{number:021d}"}}


@dataclass
class FakeShard:
    """The records of a shard; a page holds at most ten."""

    parent: str | None = None
    records: list[Record] = field(default_factory=list)
    closed: bool = False


class FakeStream:
    """Shards by name; each request raises the next of `troubles` first."""

    def __init__(self, **shards: FakeShard) -> None:
        self.content = shards
        self.troubles: list[Exception] = []
        self.started: list[tuple[str, str | None]] = []

    async def shards(self) -> dict[str, Shard]:
        return {name: Shard(id=name, parent=shard.parent) for name, shard in self.content.items()}

    async def iterator(self, shard_id: str, *, after: str | None) -> str:
        self._fail()
        self.started.append((shard_id, after))
        if shard_id not in self.content:
            raise ShardGone
        numbers = [record["dynamodb"]["SequenceNumber"] for record in self.content[shard_id].records]
        return f"{shard_id}/{0 if after is None else sum(number <= after for number in numbers)}"

    async def page(self, iterator: str) -> RecordPage:
        self._fail()
        await asyncio.sleep(0)
        shard_id, _, place = iterator.rpartition("/")
        shard = self.content[shard_id]
        records = shard.records[int(place) : int(place) + 10]
        end = int(place) + len(records)
        ended = shard.closed and end == len(shard.records)
        return RecordPage(records=records, next=None if ended else f"{shard_id}/{end}")

    def _fail(self) -> None:
        if self.troubles:
            raise self.troubles.pop(0)


class FakeQueue:
    """Records events and dead letters; raises `troubles` first, and rejects events whose ids are in `refuses`."""

    def __init__(self) -> None:
        self.events: list[PriceChanged] = []
        self.dead_lettered: list[ChangeUnread] = []
        self.troubles: list[Exception] = []
        self.refuses: set[str] = set()
        self.before_send: Callable[[], Awaitable[None]] | None = None

    @property
    def versions(self) -> list[int]:
        """The versions of the sent events, in order."""
        return [event.version for event in self.events]

    async def send(self, events: Sequence[PriceChanged], *, check: Callable[[], None]) -> list[PriceChanged]:
        if self.before_send is not None:
            await self.before_send()
        check()
        self._fail()
        refused = [event for event in events if event.id in self.refuses]
        self.events += [event for event in events if event not in refused]
        return refused

    async def dead_letter(self, unread: ChangeUnread) -> None:
        self._fail()
        self.dead_lettered.append(unread)

    def _fail(self) -> None:
        if self.troubles:
            raise self.troubles.pop(0)


def outages(number: int) -> list[Exception]:
    """Return this many outage errors of the queue."""
    return [QueueUnavailable() for _ in range(number)]


async def until(holds: Callable[[], object | Awaitable[object]]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(60):
        while True:
            found = holds()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(0.005)
