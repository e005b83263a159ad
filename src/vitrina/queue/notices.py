"""The queue of price changes (R9) and its dead letters: changes that failed too often or could not be decoded.

SQS's own StartMessageMoveTask is not used for replays: no local engine has it, and it keeps the deduplication ids.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from vitrina.domain.notices import PriceChanged
from vitrina.queue import traces
from vitrina.queue.channel import Channel, Message, Received, no_check
from vitrina.queue.messages import ChangeUnread, Event, encode

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

_HIDDEN: Final = 30
"""Seconds for which letters are hidden from other consumers while they are held."""
_WAIT: Final = 1.0
"""Seconds until no more letters are expected: a receive that does not wait asks some of SQS's servers alone."""
_MOST: Final = 1000
"""Letters held at the same time; SQS allows more in flight."""


class NoticeQueue:
    """Carries price changes from the stream to the inboxes: at least once, in order for each product.

    `main` is the queue and `dead` its dead letters, by the setting `queue_name`; they need not exist yet. Every method
    raises QueueUnavailable if SQS does not respond in time.
    """

    def __init__(self, client: "SQSClient", *, name: str) -> None:
        self.main = Channel(client, f"{name}.fifo")
        self.dead = Channel(client, f"{name}-dead.fifo")

    async def send(self, events: Sequence[PriceChanged], *, check: Callable[[], None] = no_check) -> list[PriceChanged]:
        """Send events in their order; returns those that SQS rejects for good.

        `check` is called before each request; what it raises is propagated.
        """
        messages = {_message(event): event for event in events}
        with traces.span("send", [event.traceparent for event in events], queue=self.main.name):
            return [messages[refused] for refused in await self.main.send(list(messages), check=check)]

    async def dead_letter(self, unread: ChangeUnread) -> None:
        """Send a change that could not be decoded to the dead letters."""
        await self.dead.send([_message(unread)])

    async def dead_letters(self) -> list[Received]:
        """Return the dead letters, oldest first for each product.

        SQS delivers only about the first ten of a product: the others wait behind them in their group.
        """
        async with self._held() as held:
            return list(held)

    async def replay(self, *, letter_id: str | None = None) -> list[Received]:
        """Send all dead letters, or the one named, to the queue again; returns those sent.

        Each keeps its group, so the order within a product stays. It gets a deduplication id of its own, because the
        queue would drop the original id within five minutes of its first use. If the process dies between sending and
        deleting, the next replay repeats the new id, and the queue drops the copy.
        """
        sent: list[Received] = []
        while True:
            async with self._held() as held:
                wanted = [letter for letter in held if letter_id in (None, letter.id)]
                messages = [
                    Message(body=letter.body, group=letter.group, deduplication_id=f"replay-{letter.id}")
                    for letter in wanted
                ]
                refused = {message.deduplication_id for message in await self.main.send(messages)}
                done = [letter for letter in wanted if f"replay-{letter.id}" not in refused]
                await self.dead.delete(done)
                held[:] = [letter for letter in held if letter not in done]
            sent += done
            if letter_id is not None or not done:
                return sent

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[list[Received]]:
        """Receive dead letters; at the end, release those that are left in the list."""
        held: list[Received] = []
        try:
            while len(held) < _MOST and (more := await self.dead.receive(wait=_WAIT, hidden=_HIDDEN)):
                held += more
            yield held
        finally:
            await self.dead.extend(held, 0)


def _message(event: Event) -> Message:
    """Return an event's message: grouped by product for the order, deduplicated by change (R9)."""
    return Message(body=encode(event), group=event.product_id, deduplication_id=event.id)
