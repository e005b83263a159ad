"""One SQS FIFO queue: sends, receives, deletes and hides messages, always in batches."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from vitrina.backoff import Backoff
from vitrina.errors import QueueUnavailable
from vitrina.queue.messages import Event, decode
from vitrina.queue.traces import record_receive

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

log = structlog.get_logger(__name__)

T = TypeVar("T")

MOST_MESSAGES: Final = 10
"""Messages of one request of any kind (SQS quota)."""
MOST_BYTES: Final = 256 * 1024
"""Bytes of bodies that one request may send (SQS quota)."""
_CALL_TIMEOUT: Final = 5.0
_ATTEMPTS: Final = 5
RETRY: Final = Backoff(first=0.1, longest=0.8)
MISSING: Final = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})  # the latter is JSON's
_FAULTS: Final = frozenset({
    "BatchEntryIdsNotDistinct", "BatchRequestTooLong", "EmptyBatchRequest", "InvalidAddress", "InvalidAttributeName",
    "InvalidAttributeValue", "InvalidBatchEntryId", "InvalidIdFormat", "InvalidMessageContents",
    "InvalidParameterValue", "MissingParameter", "QueueAlreadyExists", "QueueNameExists", "ReceiptHandleIsInvalid",
    "SerializationException", "TooManyEntriesInBatchRequest", "UnsupportedOperation", "ValidationException",
})  # fmt: skip
"""Codes of requests that can never succeed. Any other, known or not, is an outage that time or an operator ends."""


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
        self._unanswered: list[str] = []
        """The attempt ids of receives without a response."""

    async def send(self, messages: Sequence[Message], *, check: Callable[[], None] = no_check) -> list[Message]:
        """Send messages in their order; returns those that SQS rejects for good (`SenderFault`).

        Only the entries in `Failed` are sent again, after growing pauses. A request holds one message of each group, so
        that no message overtakes a failed one. `check` is called before each request; what it raises is propagated.
        """
        method = self._client.send_message_batch
        return await self._in_batches("SendMessageBatch", method, messages, _entry, _next_batch, check=check)

    async def receive(self, *, wait: float, limit: int = MOST_MESSAGES, hidden: int | None = None) -> list[Received]:
        """Receive up to `limit` (at most 10) messages; waits up to `wait` whole seconds (at most 20) for the first.

        They are hidden for `hidden` seconds, or for the queue's visibility timeout if None. A receive without a
        response may have hidden messages, and so their groups: the next one repeats its id, for which SQS returns the
        same messages ("Using the receive request attempt ID").
        """
        attempt = self._unanswered.pop() if self._unanswered else uuid.uuid4().hex
        began = time.time_ns()
        try:
            response = await self._call(
                "ReceiveMessage",
                self._client.receive_message,
                timeout=wait + _CALL_TIMEOUT,
                MaxNumberOfMessages=limit,
                WaitTimeSeconds=int(wait),
                ReceiveRequestAttemptId=attempt,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "MessageGroupId", "SentTimestamp"],
                **({} if hidden is None else {"VisibilityTimeout": hidden}),
            )
        except BaseException:
            self._unanswered.append(attempt)
            raise
        received = [_received(message) for message in response.get("Messages", ())]
        record_receive([message.body for message in received], queue=self.name, began=began)
        return received

    async def delete(self, received: Sequence[Received]) -> list[Received]:
        """Delete messages; returns those whose receipt is no longer valid, which will be delivered again."""
        return await self._settle("DeleteMessageBatch", self._client.delete_message_batch, received)

    async def extend(self, received: Sequence[Received], seconds: int) -> list[Received]:
        """Hide messages for `seconds` from now, 0 to release them; returns those whose receipt is no longer valid."""
        method = self._client.change_message_visibility_batch
        return await self._settle("ChangeMessageVisibilityBatch", method, received, VisibilityTimeout=seconds)

    async def depth(self) -> Depth:
        """Count the messages."""
        found = await self.attributes()
        return Depth(
            visible=int(found["ApproximateNumberOfMessages"]),
            in_flight=int(found["ApproximateNumberOfMessagesNotVisible"]),
            delayed=int(found["ApproximateNumberOfMessagesDelayed"]),
        )

    async def purge(self) -> None:
        """Delete all messages; SQS takes up to a minute and allows it once a minute."""
        await self._call("PurgeQueue", self._client.purge_queue)

    async def attributes(self) -> dict[str, str]:
        """Return all attributes, by SQS's names."""
        found = await self._call("GetQueueAttributes", self._client.get_queue_attributes, AttributeNames=["All"])
        return dict(found["Attributes"])

    async def set_attributes(self, changed: dict[str, str]) -> None:
        """Set attributes; the others stay as they are."""
        await self._call("SetQueueAttributes", self._client.set_queue_attributes, Attributes=changed)

    async def _settle(
        self, operation: str, method: Callable[..., Awaitable[Any]], received: Sequence[Received], **fields: int
    ) -> list[Received]:
        def entry(each: Received) -> dict[str, Any]:
            return {"ReceiptHandle": each.receipt, **fields}

        return await self._in_batches(operation, method, received, entry, lambda left: list(left[:MOST_MESSAGES]))

    async def _in_batches(
        self,
        operation: str,
        method: Callable[..., Awaitable[Any]],
        elements: Sequence[T],
        entry: Callable[[T], dict[str, Any]],
        next_batch: Callable[[Sequence[T]], list[T]],
        *,
        check: Callable[[], None] = no_check,
    ) -> list[T]:
        """Make requests of an entry for each element; returns the elements that failed with `SenderFault`.

        Those that failed without it are retried. Raises QueueUnavailable after five failures in a row.
        """
        rejected: list[T] = []
        pending = list(elements)
        failures = 0
        while pending:
            batch = next_batch(pending)
            check()
            entries = [{"Id": str(number), **entry(each)} for number, each in enumerate(batch)]
            failed = (await self._call(operation, method, Entries=entries)).get("Failed", ())
            rejected += [batch[int(failure["Id"])] for failure in failed if failure["SenderFault"]]
            retried = [batch[int(failure["Id"])] for failure in failed if not failure["SenderFault"]]
            pending = [each for each in pending if each in retried or each not in batch]
            failures = failures + 1 if retried else 0
            if failures == _ATTEMPTS:
                log.warning("queue_retries_exhausted", operation=operation, queue=self.name)
                raise QueueUnavailable
            if failures:
                await self._backoff.sleep(failures)
        return rejected

    async def _call(
        self,
        operation: str,
        method: Callable[..., Awaitable[Any]],
        *,
        timeout: float = _CALL_TIMEOUT,  # noqa: ASYNC109 - passed on
        **arguments: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401 - SQS's own response
        if self._known_url is None:
            found = await client_call("GetQueueUrl", self._client.get_queue_url(QueueName=self.name))
            self._known_url = found["QueueUrl"]
        return await client_call(operation, method(QueueUrl=self._known_url, **arguments), timeout=timeout)


async def client_call(operation: str, call: Awaitable[T], *, timeout: float = _CALL_TIMEOUT) -> T:  # noqa: ASYNC109 - own
    """Return the response within `timeout` seconds, retries included.

    Raises QueueUnavailable, or ClientError if the request itself is at fault.
    """
    try:
        async with asyncio.timeout(timeout):
            return await call
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code.removeprefix("AWS.SimpleQueueService.") in _FAULTS:
            raise
        log.warning("queue_call_failed", operation=operation, code=code)
        raise QueueUnavailable from error
    except (BotoCoreError, TimeoutError, OSError) as error:
        log.warning("queue_unreachable", operation=operation, error=type(error).__name__)
        raise QueueUnavailable from error


def _entry(message: Message) -> dict[str, str]:
    return {
        "MessageBody": message.body,
        "MessageGroupId": message.group,
        "MessageDeduplicationId": message.deduplication_id,
    }


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
