"""Picks the price changes out of stream records and sends them to the queue, for the worker and for Lambda."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from vitrina import clock, metrics
from vitrina.domain.notices import PriceChanged
from vitrina.queue.channel import no_check
from vitrina.queue.messages import ChangeUnread
from vitrina.store.changes import ChangeUnreadable
from vitrina.store.stream import Record, passes, price_changed, sequence_number

log = structlog.get_logger(__name__)


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


async def deliver(changes: Changes, queue: EventSink, *, check: Callable[[], None] = no_check) -> None:
    """Send `changes` to the queue, and to the dead letters what cannot be decoded or is rejected; empties `changes`.

    `check` is called before each request to the queue; what it raises is propagated. Raises QueueUnavailable; `changes`
    then holds everything that was not sent, and possibly some that was, so that the same call can be repeated.
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
    while changes.unread:
        check()
        unread = changes.unread[0]
        await queue.dead_letter(unread)
        del changes.unread[0]
        metrics.STREAM_RECORDS.labels("parked").inc()
        log.error("change_dead_lettered", product_id=unread.product_id, version=unread.version, reason=unread.reason)
