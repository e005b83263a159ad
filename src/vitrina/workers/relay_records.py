"""What is done with records of the stream, in worker and Lambda: pick the changed prices, put them into the queue."""

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
    """Where changes go: `vitrina.queue.notices.NoticeQueue`."""

    async def send(self, events: Sequence[PriceChanged], *, check: Callable[[], None]) -> list[PriceChanged]: ...  # noqa: D102
    async def dead_letter(self, unread: ChangeUnread) -> None: ...  # noqa: D102


@dataclass(slots=True)
class Changes:
    """What still has to go into the queue: changed prices, and changes that could not be read."""

    events: list[PriceChanged] = field(default_factory=list)
    unread: list[ChangeUnread] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.events) + len(self.unread)


def changes_in(records: Iterable[Record]) -> Changes:
    """Return what passes the filter; only that is decoded."""
    changes = Changes()
    for record in filter(passes, records):
        try:
            changes.events.append(price_changed(record))
        except ChangeUnreadable as error:
            unread = ChangeUnread(product_id=error.product_id, version=error.version, reason=error.reason)
            changes.unread.append(unread)
        except ValueError:
            log.exception("change_without_key", sequence_number=sequence_number(record))
    return changes


async def deliver(changes: Changes, queue: EventSink, *, check: Callable[[], None] = no_check) -> None:
    """Put `changes` into the queue, and what cannot be read or is refused among the dead letters; they are used up.

    `check` is called before each call to the queue; what it raises ends the sending. Raises QueueUnavailable, after
    which `changes` are what is left, or may be: the same call again repeats some of it at most.
    """
    if changes.events:
        refused = await queue.send(changes.events, check=check)
        metrics.STREAM_RECORDS.labels("relayed").inc(len(changes.events) - len(refused))
        # The change's own time: DynamoDB Local cuts that of the record to the minute.
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
        log.error("change_parked", product_id=unread.product_id, version=unread.version, reason=unread.reason)
