"""One SQS FIFO queue: sends, receives and what is done with what was received, always by batches."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from vitrina.errors import QueueUnavailable
from vitrina.queue.calls import make
from vitrina.queue.messages import Event, decode

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

log = structlog.get_logger(__name__)

MOST_MESSAGES: Final = 10
"""Messages that one call may send, receive, delete or extend."""
MOST_BYTES: Final = 256 * 1024
"""Bytes of bodies that one call may send."""
_CALL_TIMEOUT: Final = 5.0
_TRIES: Final = 5
_FIRST_PAUSE: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is sent: messages of one `group` arrive in order, a `deduplication_id` once within five minutes."""

    body: str
    group: str
    deduplication_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What was received and is hidden from others for a while; `receives` counts this time too."""

    id: str
    receipt: str = field(repr=False)
    group: str
    body: str = field(repr=False)
    receives: int
    sent_at: datetime

    @property
    def event(self) -> Event:
        """What it says, read anew at each call. Raises MessageUnreadable."""
        return decode(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How many messages wait, were taken and not deleted yet, or are delayed; SQS counts approximately."""

    visible: int
    in_flight: int
    delayed: int


def no_check() -> None:
    """Forbid nothing."""


class Channel:
    """A FIFO queue by its name. Every method raises QueueUnavailable when SQS does not do it in time."""

    def __init__(self, client: "SQSClient", name: str) -> None:
        """Take the client and the queue's whole name."""
        self.name = name
        self._client = client
        self._known_url: str | None = None

    async def send(self, messages: Sequence[Message], *, check: Callable[[], None] = no_check) -> list[Message]:
        """Send messages in their order; returns those that SQS will never take (it finds the message at fault).

        Only what `Failed` is sent again, after growing pauses. A call holds one message a group, so that one that
        failed is not overtaken. `check` is called before each call; what it raises ends the sending.
        """
        refused: list[Message] = []
        pending = list(messages)
        failures = 0
        while pending:
            batch = _next_batch(pending)
            check()
            failed = await self._send_batch(batch)
            refused += [message for message, for_good in failed if for_good]
            again = {message for message, for_good in failed if not for_good}
            pending = [message for message in pending if message in again or message not in batch]
            failures = failures + 1 if again else 0
            await self._pause("SendMessageBatch", failures)
        return refused

    async def receive(self, *, wait: float, limit: int = MOST_MESSAGES, hidden: int | None = None) -> list[Received]:
        """Receive up to `limit` messages, 10 at most, waiting up to `wait` whole seconds (20 at most) for the first.

        They are hidden for `hidden` seconds, the queue's own time if None.
        """
        options: Any = {} if hidden is None else {"VisibilityTimeout": hidden}
        response = await make(
            "ReceiveMessage",
            self._client.receive_message(
                QueueUrl=await self._url(),
                MaxNumberOfMessages=limit,
                WaitTimeSeconds=int(wait),
                MessageSystemAttributeNames=["ApproximateReceiveCount", "MessageGroupId", "SentTimestamp"],
                **options,
            ),
            timeout=wait + _CALL_TIMEOUT,
        )
        return [_received(message) for message in response.get("Messages", ())]

    async def delete(self, received: Sequence[Received]) -> list[Received]:
        """Delete messages; returns those that are not this receiver's any more, which will come again."""

        async def delete(batch: list[dict[str, str]]) -> Any:  # noqa: ANN401 - SQS's own answer
            url: Any = await self._url()
            return await self._client.delete_message_batch(QueueUrl=url, Entries=batch)  # type: ignore[arg-type]

        return await self._settle("DeleteMessageBatch", received, delete)

    async def extend(self, received: Sequence[Received], seconds: int) -> list[Received]:
        """Hide messages for `seconds` from now, 0 to give them back; returns those that are not this receiver's."""

        async def extend(batch: list[dict[str, str]]) -> Any:  # noqa: ANN401 - SQS's own answer
            entries: Any = [entry | {"VisibilityTimeout": seconds} for entry in batch]
            return await self._client.change_message_visibility_batch(QueueUrl=await self._url(), Entries=entries)

        return await self._settle("ChangeMessageVisibilityBatch", received, extend)

    async def depth(self) -> Depth:
        """Count the messages."""
        response = await make(
            "GetQueueAttributes",
            self._client.get_queue_attributes(
                QueueUrl=await self._url(),
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                    "ApproximateNumberOfMessagesDelayed",
                ],
            ),
            timeout=_CALL_TIMEOUT,
        )
        counts: Any = response["Attributes"]
        return Depth(
            visible=int(counts["ApproximateNumberOfMessages"]),
            in_flight=int(counts["ApproximateNumberOfMessagesNotVisible"]),
            delayed=int(counts["ApproximateNumberOfMessagesDelayed"]),
        )

    async def purge(self) -> None:
        """Delete all messages; SQS takes up to a minute for it and allows it once a minute."""
        await make("PurgeQueue", self._client.purge_queue(QueueUrl=await self._url()), timeout=_CALL_TIMEOUT)

    async def _url(self) -> str:
        if self._known_url is None:
            found = await make("GetQueueUrl", self._client.get_queue_url(QueueName=self.name), timeout=_CALL_TIMEOUT)
            self._known_url = found["QueueUrl"]
        return self._known_url

    async def _send_batch(self, batch: Sequence[Message]) -> list[tuple[Message, bool]]:
        """Send messages by one call; returns those that failed, each with whether it is at fault itself."""
        response = await make(
            "SendMessageBatch",
            self._client.send_message_batch(
                QueueUrl=await self._url(),
                Entries=[
                    {
                        "Id": str(number),
                        "MessageBody": message.body,
                        "MessageGroupId": message.group,
                        "MessageDeduplicationId": message.deduplication_id,
                    }
                    for number, message in enumerate(batch)
                ],
            ),
            timeout=_CALL_TIMEOUT,
        )
        return [(batch[int(failure["Id"])], failure["SenderFault"]) for failure in response.get("Failed", ())]

    async def _settle(
        self, operation: str, received: Sequence[Received], call: Callable[[list[dict[str, str]]], Any]
    ) -> list[Received]:
        """Do something with all of `received`, `MOST_MESSAGES` a call, again with what failed for SQS's own reasons."""
        lost: list[Received] = []
        pending = list(received)
        failures = 0
        while pending:
            batch, pending = pending[:MOST_MESSAGES], pending[MOST_MESSAGES:]
            entries = [{"Id": str(number), "ReceiptHandle": message.receipt} for number, message in enumerate(batch)]
            response = await make(operation, call(entries), timeout=_CALL_TIMEOUT)
            failed = response.get("Failed", ())
            lost += [batch[int(failure["Id"])] for failure in failed if failure["SenderFault"]]
            again = [batch[int(failure["Id"])] for failure in failed if not failure["SenderFault"]]
            pending = again + pending
            failures = failures + 1 if again else 0
            await self._pause(operation, failures)
        return lost

    async def _pause(self, operation: str, failures: int) -> None:
        """Wait before what failed is tried again, for a random part of a growing time. Raises QueueUnavailable."""
        if failures == _TRIES:
            log.warning("queue_keeps_failing", operation=operation, queue=self.name)
            raise QueueUnavailable
        if failures:
            await asyncio.sleep(random.uniform(0, _FIRST_PAUSE * 2**failures))  # noqa: S311 - not a secret


def _next_batch(pending: Sequence[Message]) -> list[Message]:
    """Return what goes with the next call: the first message of each group, as many as it may hold."""
    first: dict[str, Message] = {}
    size = 0
    for message in pending:
        if message.group in first:
            continue
        size += len(message.body.encode())
        if first and (len(first) == MOST_MESSAGES or size > MOST_BYTES):
            break
        first[message.group] = message
    return list(first.values())


def _received(message: Any) -> Received:  # noqa: ANN401 - SQS's own answer
    attributes = message["Attributes"]
    return Received(
        id=message["MessageId"],
        receipt=message["ReceiptHandle"],
        group=attributes["MessageGroupId"],
        body=message["Body"],
        receives=int(attributes["ApproximateReceiveCount"]),
        sent_at=datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC),
    )
