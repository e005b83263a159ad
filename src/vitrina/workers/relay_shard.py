"""Reads one shard from its checkpoint to its end, and sends its price changes to the queue.

`changes_in` and `deliver` serve the Lambda function too.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from vitrina import clock, metrics
from vitrina.backoff import Backoff
from vitrina.domain.notices import PriceChanged
from vitrina.errors import Conflict, QueueUnavailable, TableUnavailable
from vitrina.queue.channel import no_check
from vitrina.queue.messages import ChangeUnread
from vitrina.store.leases import SHARD_END, TRIM_HORIZON, Lease, LeaseLost, LeaseStore
from vitrina.store.stream import (
    ChangeUnreadable,
    IteratorExpired,
    Record,
    RecordPage,
    Shard,
    Trimmed,
    passes,
    price_changed,
    sequence_number,
)
from vitrina.workers.running import pause

log = structlog.get_logger(__name__)

_RETRY: Final = Backoff(first=0.1, longest=5, jitter=0.5)
_BUSY: Final = 10
"""Records of a page after which the next is read without a pause: more than the relays' own lease renewals write."""
RENEWALS: Final = 3
"""Renewals in a lease's time, so that a late or failed one does no harm."""

Monotonic = Callable[[], float]


class Records(Protocol):
    """A source of records: `vitrina.store.stream.Stream`."""

    async def shards(self) -> dict[str, Shard]: ...  # noqa: D102
    async def iterator(self, shard_id: str, *, after: str | None) -> str: ...  # noqa: D102
    async def page(self, iterator: str) -> RecordPage: ...  # noqa: D102


class EventSink(Protocol):
    """The destination of changes: `vitrina.queue.notices.NoticeQueue`."""

    async def send(self, events: Sequence[PriceChanged], *, check: Callable[[], None]) -> list[PriceChanged]: ...  # noqa: D102
    async def dead_letter(self, unread: ChangeUnread) -> None: ...  # noqa: D102


@dataclass(slots=True)
class Changes:
    """Changes that are still to be sent: price changes, and changes that could not be decoded."""

    events: list[PriceChanged] = field(default_factory=list)
    unread: list[ChangeUnread] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.events) + len(self.unread)


def changes_in(records: Iterable[Record]) -> Changes:
    """Return the changes among the records that pass the filter; only those are decoded."""
    changes = Changes()
    for record in filter(passes, records):
        try:
            changes.events.append(price_changed(record))
        except ChangeUnreadable as error:
            unread = ChangeUnread(product_id=error.product_id, version=error.version, reason=error.reason)
            changes.unread.append(unread)
        except ValueError:
            log.exception("change_key_invalid", sequence_number=sequence_number(record))
    return changes


async def deliver(changes: Changes, queue: EventSink, *, check: Callable[[], None] = no_check) -> list[ChangeUnread]:
    """Send `changes` to the queue, and to the dead letters what cannot be decoded or is rejected; empties `changes`.

    Returns the dead letters. `check` is called before each request to the queue; what it raises is propagated. Raises
    QueueUnavailable; `changes` then holds everything that was not sent, and possibly some that was, so that the same
    call can be repeated.
    """
    if changes.events:
        refused = await queue.send(changes.events, check=check)
        metrics.STREAM_RECORDS.labels("relayed").inc(len(changes.events) - len(refused))
        # The change's own time, because DynamoDB Local truncates the record's time to the minute.
        metrics.STREAM_LAG.set((clock.now() - changes.events[-1].changed_at).total_seconds())
        changes.unread += [
            ChangeUnread(product_id=event.product_id, version=event.version, reason="refused by the queue")
            for event in refused
        ]
        changes.events.clear()
    dead_letters: list[ChangeUnread] = []
    while changes.unread:
        check()
        unread = changes.unread[0]
        await queue.dead_letter(unread)
        dead_letters.append(changes.unread.pop(0))
        metrics.STREAM_RECORDS.labels("parked").inc()
        log.error("change_dead_lettered", product_id=unread.product_id, version=unread.version, reason=unread.reason)
    return dead_letters


class HeldLease:
    """A lease that was requested at `since` and is valid for `seconds`, both by this process's monotonic clock.

    Other relays wait for the same time after they see a renewal, which is later: a process that was suspended past its
    lease detects that by itself.
    """

    def __init__(
        self, leases: LeaseStore, lease: Lease, *, seconds: float, since: float, monotonic: Monotonic = time.monotonic
    ) -> None:
        self.shard_id = lease.shard_id
        self.position = lease.checkpoint
        self._leases = leases
        self._lease = lease
        self._seconds = seconds
        self._valid_until = since + seconds
        self._monotonic = monotonic

    def check(self) -> None:
        """Raise LeaseLost if the lease has expired."""
        if self._monotonic() >= self._valid_until:
            raise LeaseLost

    async def keep(self) -> None:
        """Renew the lease for ever, with the current position as its checkpoint. Raises LeaseLost."""
        while True:
            await asyncio.sleep(self._seconds / RENEWALS)
            began = self._monotonic()
            try:
                await self._leases.renew(self._lease, checkpoint=self.position)
            except (TableUnavailable, Conflict):
                log.warning("shard_lease_renewal_failed", shard_id=self.shard_id)
                self.check()
            else:
                self._valid_until = began + self._seconds

    async def release(self) -> None:
        """Release the lease at the current position, where another relay can go on at once. Raises LeaseLost."""
        await self._leases.renew(self._lease, checkpoint=self.position, release=True)


class ShardReader:
    """Sends the price changes of a shard to the queue, and advances the checkpoint only after that.

    `idle_interval` is the longest pause after an empty page, in seconds.
    """

    def __init__(
        self, records: Records, queue: EventSink, held: HeldLease, *, idle_interval: float, backoff: Backoff = _RETRY
    ) -> None:
        self._records = records
        self._queue = queue
        self._held = held
        self._idle = Backoff(first=0.1, longest=idle_interval, jitter=0)
        self._backoff = backoff

    async def run(self, stop: asyncio.Event) -> None:
        """Read until the shard ends or `stop` is set, then release the lease.

        Raises LeaseLost, and ShardGone if the stream does not know the shard.
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
        await self._held.release()

    async def _read(self, stop: asyncio.Event) -> None:
        iterator: str | None = None
        failures = idle_pages = 0
        while not stop.is_set():
            try:
                iterator = iterator or await self._iterator()
                page = await self._records.page(iterator)
            except (IteratorExpired, Trimmed, TableUnavailable) as error:
                iterator = None
                self._note(error)
                failures += 1
                await pause(stop, self._backoff.pause(failures))
                continue
            failures = 0
            changes = changes_in(page.records)
            found = len(changes)
            if not await self._deliver(changes, stop):
                return
            self._advance(page, found=found)
            iterator = page.next
            if iterator is None:
                return
            if found or len(page.records) >= _BUSY:
                idle_pages = 0
            else:
                idle_pages += 1
                await pause(stop, self._idle.pause(idle_pages))

    async def _iterator(self) -> str:
        position = self._held.position
        after = None if position == TRIM_HORIZON else position
        return await self._records.iterator(self._held.shard_id, after=after)

    def _note(self, error: Exception) -> None:
        match error:
            case Trimmed():
                metrics.STREAM_LOST.inc()
                log.error("stream_records_expired", shard_id=self._held.shard_id, after=self._held.position)
                self._held.position = TRIM_HORIZON
            case IteratorExpired():
                log.warning("shard_iterator_expired", shard_id=self._held.shard_id)
            case _:
                metrics.WORKER_FAILURES.labels("read the stream").inc()
                log.warning("stream_read_failed", shard_id=self._held.shard_id)

    def _advance(self, page: RecordPage, *, found: int) -> None:
        metrics.STREAM_RECORDS.labels("skipped").inc(len(page.records) - found)
        if page.next is None:
            self._held.position = SHARD_END
        elif page.records:
            self._held.position = sequence_number(page.records[-1])

    async def _deliver(self, changes: Changes, stop: asyncio.Event) -> bool:
        """Send all changes to the queue, however long an outage lasts; the lease is renewed meanwhile.

        Returns False if `stop` was set before all were sent: then the checkpoint must not advance.
        """
        failures = 0
        while True:
            try:
                await deliver(changes, self._queue, check=self._held.check)
            except QueueUnavailable:
                failures += 1
                metrics.WORKER_FAILURES.labels("send changes").inc()
                log.warning("changes_not_sent", shard_id=self._held.shard_id, waiting=len(changes))
                await pause(stop, self._backoff.pause(failures))
                if stop.is_set():
                    return False
            else:
                return True
