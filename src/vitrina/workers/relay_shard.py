"""One relay's reading of one shard, from its checkpoint to its end, for as long as it holds the lease."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from vitrina import clock, metrics
from vitrina.domain.notices import PriceChanged
from vitrina.errors import Conflict, QueueUnavailable, TableUnavailable
from vitrina.queue.messages import ChangeUnread
from vitrina.store.changes import ChangeUnreadable
from vitrina.store.leases import SHARD_END, TRIM_HORIZON, Lease, LeaseLost, LeaseStore
from vitrina.store.stream import (
    IteratorExpired,
    Record,
    RecordPage,
    Trimmed,
    passes,
    price_changed,
    sequence_number,
)
from vitrina.workers.running import pause

log = structlog.get_logger(__name__)

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_MANY: Final = 10
"""Records of a page after which the next one is read at once: more than the relays' own leases write."""
RENEWALS: Final = 3
"""Renewals in a lease's time, so that one that fails or is late does no harm."""

Monotonic = Callable[[], float]


class Records(Protocol):
    """What a shard is read from: `vitrina.store.stream.Stream`."""

    async def iterator(self, shard_id: str, *, after: str | None) -> str: ...  # noqa: D102
    async def page(self, iterator: str) -> RecordPage: ...  # noqa: D102


class Outlet(Protocol):
    """Where changes go: `vitrina.queue.notices.NoticeQueue`."""

    async def send(self, events: Sequence[PriceChanged], *, check: Callable[[], None]) -> list[PriceChanged]: ...  # noqa: D102
    async def park(self, unread: ChangeUnread) -> None: ...  # noqa: D102


class HeldLease:
    """A lease that is ours until its time is over by the monotonic clock, which no other relay need agree with.

    Others wait for as long after they saw it move, which was later; so a process that was frozen past it and wakes up
    knows that by itself, before it has asked anybody.
    """

    def __init__(
        self, leases: LeaseStore, lease: Lease, *, seconds: float, since: float, monotonic: Monotonic = time.monotonic
    ) -> None:
        """Take a lease that was asked for at `since` and is good for `seconds`."""
        self.shard_id = lease.shard_id
        self.position = lease.checkpoint
        self._leases = leases
        self._lease = lease
        self._seconds = seconds
        self._good_until = since + seconds
        self._monotonic = monotonic

    def check(self) -> None:
        """Raise LeaseLost when the lease's time is over."""
        if self._monotonic() >= self._good_until:
            raise LeaseLost

    async def keep(self) -> None:
        """Renew it, with the position reached as checkpoint, until it is lost. Raises LeaseLost."""
        while True:
            await asyncio.sleep(self._seconds / RENEWALS)
            began = self._monotonic()
            try:
                await self._leases.renew(self._lease, checkpoint=self.position)
            except (TableUnavailable, Conflict):
                log.warning("lease_not_renewed", shard_id=self.shard_id)
                self.check()
            else:
                self._good_until = began + self._seconds

    async def let_go(self) -> None:
        """Give it back at the position reached, for another relay to go on at once. Raises LeaseLost."""
        await self._leases.give_back(self._lease, checkpoint=self.position)


class ShardReader:
    """Sends the changed prices of a shard to the queue, and only then moves on."""

    def __init__(self, records: Records, queue: Outlet, held: HeldLease, *, idle_interval: float) -> None:
        """Take the lease and what lies on both sides; `idle_interval` is the longest pause after an empty page."""
        self._records = records
        self._queue = queue
        self._held = held
        self._idle_interval = idle_interval

    async def run(self, stop: asyncio.Event) -> None:
        """Read until the shard ends or `stop` is set, then give the lease back.

        Raises LeaseLost, and ShardGone when the stream knows no such shard.
        """
        reading = asyncio.create_task(self._read(stop))
        keeping = asyncio.create_task(self._held.keep())
        try:
            await asyncio.wait((reading, keeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            keeping.cancel()
            outcomes = await asyncio.gather(reading, keeping, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        await self._held.let_go()

    async def _read(self, stop: asyncio.Event) -> None:
        iterator: str | None = None
        trouble = idle = _FIRST_PAUSE
        while not stop.is_set():
            try:
                iterator = iterator or await self._iterator()
                page = await self._records.page(iterator)
            except (IteratorExpired, Trimmed, TableUnavailable) as error:
                iterator = None
                self._note(error)
                await pause(stop, trouble * random.uniform(0.5, 1))  # noqa: S311 - not a secret
                trouble = min(trouble * 2, _LONGEST_PAUSE)
                continue
            trouble = _FIRST_PAUSE
            events, unread = _changes(page.records)
            if not await self._deliver(events, unread, stop):
                return
            self._move_past(page, found=len(events) + len(unread))
            iterator = page.next
            if iterator is None:
                return
            if events or unread or len(page.records) >= _MANY:
                idle = _FIRST_PAUSE
            else:
                await pause(stop, idle)
                idle = min(idle * 2, self._idle_interval)

    async def _iterator(self) -> str:
        position = self._held.position
        after = None if position == TRIM_HORIZON else position
        return await self._records.iterator(self._held.shard_id, after=after)

    def _note(self, error: Exception) -> None:
        match error:
            case Trimmed():
                metrics.STREAM_LOST.inc()
                log.error("stream_trimmed", shard_id=self._held.shard_id, after=self._held.position)
                self._held.position = TRIM_HORIZON
            case IteratorExpired():
                log.warning("iterator_expired", shard_id=self._held.shard_id)
            case _:
                log.warning("stream_not_read", shard_id=self._held.shard_id)

    def _move_past(self, page: RecordPage, *, found: int) -> None:
        metrics.STREAM_RECORDS.labels("skipped").inc(len(page.records) - found)
        if page.next is None:
            self._held.position = SHARD_END
        elif page.records:
            self._held.position = sequence_number(page.records[-1])

    async def _deliver(
        self, events: Sequence[PriceChanged], unread: Sequence[ChangeUnread], stop: asyncio.Event
    ) -> bool:
        """Put it all into the queue, however long that takes: the lease is kept meanwhile, and the checkpoint waits.

        Returns False when a stop came first.
        """
        wait = _FIRST_PAUSE
        while events or unread:
            try:
                refused = await self._queue.send(events, check=self._held.check)
                _count(events, len(events) - len(refused))
                unread, events = [*unread, *map(_refused, refused)], ()
                while unread:
                    self._held.check()
                    await self._park(unread[0])
                    unread = unread[1:]
            except QueueUnavailable:
                log.warning("queue_not_reached", shard_id=self._held.shard_id, waiting=len(events) + len(unread))
                await pause(stop, wait * random.uniform(0.5, 1))  # noqa: S311 - not a secret
                if stop.is_set():
                    return False
                wait = min(wait * 2, _LONGEST_PAUSE)
        return True

    async def _park(self, change: ChangeUnread) -> None:
        await self._queue.park(change)
        metrics.STREAM_RECORDS.labels("parked").inc()
        log.error("change_parked", product_id=change.product_id, version=change.version, reason=change.reason)


def _changes(records: Sequence[Record]) -> tuple[list[PriceChanged], list[ChangeUnread]]:
    """Return what passes the filter, and what passes but cannot be read."""
    events: list[PriceChanged] = []
    unread: list[ChangeUnread] = []
    for record in filter(passes, records):
        try:
            events.append(price_changed(record))
        except ChangeUnreadable as error:
            unread.append(ChangeUnread(product_id=error.product_id, version=error.version, reason=error.reason))
        except ValueError:
            log.exception("change_without_key", sequence_number=sequence_number(record))
    return events, unread


def _refused(event: PriceChanged) -> ChangeUnread:
    return ChangeUnread(product_id=event.product_id, version=event.version, reason="refused by the queue")


def _count(events: Sequence[PriceChanged], relayed: int) -> None:
    metrics.STREAM_RECORDS.labels("relayed").inc(relayed)
    if events:
        # The change's own time: DynamoDB Local cuts that of the record to the minute.
        metrics.STREAM_LAG.set((clock.now() - events[-1].changed_at).total_seconds())
