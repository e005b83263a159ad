"""The queue of price changes (R9) and its queue of dead letters."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vitrina.domain.notices import PriceChanged
from vitrina.queue.channel import Channel, Message, no_check
from vitrina.queue.messages import ChangeUnread, Event, encode

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient


def queue_name(name: str) -> str:
    """Return the full name of the queue, by the setting `queue_name`."""
    return f"{name}.fifo"


def dead_letters_name(name: str) -> str:
    """Return the full name of its queue of dead letters."""
    return f"{name}-dead.fifo"


class NoticeQueue:
    """Carries price changes from the stream to the inboxes: at least once, in order for each product.

    `main` is the queue and `dead` its dead letters, by the setting `queue_name`; they need not exist yet. Every method
    raises QueueUnavailable if SQS does not respond in time.
    """

    def __init__(self, client: "SQSClient", *, name: str) -> None:
        self.main = Channel(client, queue_name(name))
        self.dead = Channel(client, dead_letters_name(name))

    async def send(self, events: Sequence[PriceChanged], *, check: Callable[[], None] = no_check) -> list[PriceChanged]:
        """Send events in their order; returns those that SQS rejects for good.

        `check` is called before each request; what it raises is propagated.
        """
        messages = {_message(event): event for event in events}
        return [messages[refused] for refused in await self.main.send(list(messages), check=check)]

    async def dead_letter(self, unread: ChangeUnread) -> None:
        """Send a change that could not be decoded to the dead letters."""
        await self.dead.send([_message(unread)])


def _message(event: Event) -> Message:
    """Return an event's message: grouped by product for the order, deduplicated by change (R9)."""
    return Message(body=encode(event), group=event.product_id, deduplication_id=event.id)
