"""One relay's reading of one shard, from its checkpoint to its end, for as long as it holds the lease."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from vitrina import metrics
from vitrina.errors import Conflict, QueueUnavailable, TableUnavailable
from vitrina.store.leases import SHARD_END, TRIM_HORIZON, Lease, LeaseLost, LeaseStore
from vitrina.store.stream import IteratorExpired, RecordPage, Trimmed, sequence_number
from vitrina.workers.relay_records import Changes, EventSink, changes_in, deliver
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

    def __init__(self, records: Records, queue: EventSink, held: HeldLease, *, idle_interval: float) -> None:
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
            changes = changes_in(page.records)
            found = len(changes)
            if not await self._deliver(changes, stop):
                return
            self._move_past(page, found=found)
            iterator = page.next
            if iterator is None:
                return
            if found or len(page.records) >= _MANY:
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

    async def _deliver(self, changes: Changes, stop: asyncio.Event) -> bool:
        """Put it all into the queue, however long that takes: the lease is kept meanwhile, and the checkpoint waits.

        Returns False when a stop came first.
        """
        wait = _FIRST_PAUSE
        while changes:
            try:
                await deliver(changes, self._queue, check=self._held.check)
            except QueueUnavailable:
                log.warning("queue_not_reached", shard_id=self._held.shard_id, waiting=len(changes))
                await pause(stop, wait * random.uniform(0.5, 1))  # noqa: S311 - not a secret
                if stop.is_set():
                    return False
                wait = min(wait * 2, _LONGEST_PAUSE)
        return True
