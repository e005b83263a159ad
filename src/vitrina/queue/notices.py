"""The queue of notices (R9): events in, events out, and the dead letters beside it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vitrina.domain.notices import PriceChanged
from vitrina.queue.channel import MOST_MESSAGES, Channel, Message, Received, no_check
from vitrina.queue.messages import ChangeUnread, Event, encode

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient


def queue_name(name: str) -> str:
    """Return the whole name of the queue that `queue_name` names."""
    return f"{name}.fifo"


def dead_letters_name(name: str) -> str:
    """Return the whole name of its queue of dead letters."""
    return f"{name}-dead.fifo"


class NoticeQueue:
    """Changed prices on their way from the stream to the inboxes: at least once, in order for each product.

    Every method raises QueueUnavailable when SQS does not do it in time. `channel` and `dead` are the queue and its
    dead letters as they are.
    """

    def __init__(self, client: "SQSClient", *, name: str) -> None:
        """Take the client and the setting `queue_name`; the queues need not be there yet."""
        self.channel = Channel(client, queue_name(name))
        self.dead = Channel(client, dead_letters_name(name))

    async def send(self, events: Sequence[PriceChanged], *, check: Callable[[], None] = no_check) -> list[PriceChanged]:
        """Send events in their order; returns those that SQS will never take.

        `check` is called before each call to SQS; what it raises ends the sending.
        """
        messages = {_message(event): event for event in events}
        return [messages[refused] for refused in await self.channel.send(list(messages), check=check)]

    async def dead_letter(self, unread: ChangeUnread) -> None:
        """Put a change that could not be read among the dead letters, where an operator finds it."""
        await self.dead.send([_message(unread)])

    async def receive(self, *, wait: float, limit: int = MOST_MESSAGES) -> list[Received]:
        """Receive messages, as `Channel.receive`."""
        return await self.channel.receive(wait=wait, limit=limit)

    async def delete(self, received: Sequence[Received]) -> list[Received]:
        """Delete messages, as `Channel.delete`."""
        return await self.channel.delete(received)

    async def extend(self, received: Sequence[Received], seconds: int) -> list[Received]:
        """Hide messages for longer, as `Channel.extend`."""
        return await self.channel.extend(received, seconds)


def _message(event: Event) -> Message:
    """Return the message of an event: by its product in order, by its change once (R9)."""
    return Message(body=encode(event), group=event.product_id, deduplication_id=event.id)
