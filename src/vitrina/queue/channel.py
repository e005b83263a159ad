"""One SQS FIFO queue: sends, receives, deletes and hides messages, always in batches."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from vitrina.backoff import Backoff
from vitrina.errors import QueueUnavailable
from vitrina.queue.calls import client_call
from vitrina.queue.messages import Event, decode

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

log = structlog.get_logger(__name__)

MOST_MESSAGES: Final = 10
"""Messages of one request of any kind (SQS quota)."""
MOST_BYTES: Final = 256 * 1024
"""Bytes of bodies that one request may send (SQS quota)."""
_CALL_TIMEOUT: Final = 5.0
_ATTEMPTS: Final = 5
RETRY: Final = Backoff(first=0.1, longest=0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message to send. A `group` arrives in order; SQS drops a `deduplication_id` repeated within five minutes."""

    body: str
    group: str
    deduplication_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A received message, hidden from other consumers for a while; `receives` counts this receive too."""

    id: str
    receipt: str = field(repr=False)
    group: str
    body: str = field(repr=False)
    receives: int
    sent_at: datetime

    @property
    def event(self) -> Event:
        """The decoded body. Raises MessageUnreadable."""
        return decode(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """Numbers of messages: waiting, received and not deleted yet, and delayed. SQS counts approximately."""

    visible: int
    in_flight: int
    delayed: int


def no_check() -> None:
    """Do nothing: the default `check`."""


class Channel:
    """A FIFO queue, by its full name. Every method raises QueueUnavailable if SQS does not respond in time."""

    def __init__(self, client: "SQSClient", name: str, *, backoff: Backoff = RETRY) -> None:
        self.name = name
        self._backoff = backoff
        self._client = client
        self._known_url: str | None = None

    async def send(self, messages: Sequence[Message], *, check: Callable[[], None] = no_check) -> list[Message]:
        """Send messages in their order; returns those that SQS rejects for good (`SenderFault`).

        Only the entries in `Failed` are sent again, after growing pauses. A request holds one message of each group, so
        that no message overtakes a failed one. `check` is called before each request; what it raises is propagated.
        """
        refused: list[Message] = []
        pending = list(messages)
        failures = 0
        while pending:
            batch = _next_batch(pending)
            check()
            failed = await self._send_batch(batch)
            refused += [message for message, rejected in failed if rejected]
            retried = {message for message, rejected in failed if not rejected}
            pending = [message for message in pending if message in retried or message not in batch]
            failures = failures + 1 if retried else 0
            await self._back_off("SendMessageBatch", failures)
        return refused

    async def receive(self, *, wait: float, limit: int = MOST_MESSAGES, hidden: int | None = None) -> list[Received]:
        """Receive up to `limit` (at most 10) messages; waits up to `wait` whole seconds (at most 20) for the first.

        They are hidden for `hidden` seconds, or for the queue's visibility timeout if None.
        """
        options: Any = {} if hidden is None else {"VisibilityTimeout": hidden}
        response = await client_call(
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
        """Delete messages; returns those whose receipt is no longer valid, which will be delivered again."""
        return await self._settle("DeleteMessageBatch", self._client.delete_message_batch, received)

    async def extend(self, received: Sequence[Received], seconds: int) -> list[Received]:
        """Hide messages for `seconds` from now, 0 to release them; returns those whose receipt is no longer valid."""
        call = self._client.change_message_visibility_batch
        return await self._settle("ChangeMessageVisibilityBatch", call, received, VisibilityTimeout=seconds)

    async def depth(self) -> Depth:
        """Count the messages."""
        response = await client_call(
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
        """Delete all messages; SQS takes up to a minute and allows it once a minute."""
        await client_call("PurgeQueue", self._client.purge_queue(QueueUrl=await self._url()), timeout=_CALL_TIMEOUT)

    async def _url(self) -> str:
        if self._known_url is None:
            found = await client_call(
                "GetQueueUrl", self._client.get_queue_url(QueueName=self.name), timeout=_CALL_TIMEOUT
            )
            self._known_url = found["QueueUrl"]
        return self._known_url

    async def _send_batch(self, batch: Sequence[Message]) -> list[tuple[Message, bool]]:
        """Send messages in one request; returns those that failed, each with its `SenderFault`."""
        response = await client_call(
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
        self, operation: str, call: Callable[..., Awaitable[Any]], received: Sequence[Received], **fields: int
    ) -> list[Received]:
        """Apply `call` in batches; retries entries that failed without `SenderFault`, returns those with it."""
        lost: list[Received] = []
        pending = list(received)
        failures = 0
        while pending:
            batch, pending = pending[:MOST_MESSAGES], pending[MOST_MESSAGES:]
            entries = [
                {"Id": str(number), "ReceiptHandle": each.receipt, **fields} for number, each in enumerate(batch)
            ]
            request = call(QueueUrl=await self._url(), Entries=entries)
            failed = (await client_call(operation, request, timeout=_CALL_TIMEOUT)).get("Failed", ())
            lost += [batch[int(failure["Id"])] for failure in failed if failure["SenderFault"]]
            retried = [batch[int(failure["Id"])] for failure in failed if not failure["SenderFault"]]
            pending = retried + pending
            failures = failures + 1 if retried else 0
            await self._back_off(operation, failures)
        return lost

    async def _back_off(self, operation: str, failures: int) -> None:
        """Wait after `failures` failures in a row; raises QueueUnavailable when there were too many."""
        if failures == _ATTEMPTS:
            log.warning("queue_retries_exhausted", operation=operation, queue=self.name)
            raise QueueUnavailable
        if failures:
            await self._backoff.sleep(failures)


def _next_batch(pending: Sequence[Message]) -> list[Message]:
    """Return the messages of the next request: the first of each group, within the quotas."""
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


def _received(message: Any) -> Received:  # noqa: ANN401 - SQS's own response
    attributes = message["Attributes"]
    return Received(
        id=message["MessageId"],
        receipt=message["ReceiptHandle"],
        group=attributes["MessageGroupId"],
        body=message["Body"],
        receives=int(attributes["ApproximateReceiveCount"]),
        sent_at=datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC),
    )
