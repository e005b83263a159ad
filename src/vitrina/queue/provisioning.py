"""Creates the two queues, and updates the attributes of existing ones."""

import itertools
import json
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from vitrina.backoff import Backoff
from vitrina.config import Settings
from vitrina.errors import QueueUnavailable
from vitrina.queue.channel import MISSING, Channel, client_call
from vitrina.queue.notices import NoticeQueue

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

_FIFO: Final = {
    "FifoQueue": "true",
    # High throughput for FIFO queues: the quota of 300 requests a second is for each group, not for the queue.
    "DeduplicationScope": "messageGroup",
    "FifoThroughputLimit": "perMessageGroupId",
    "SqsManagedSseEnabled": "true",
    "MessageRetentionPeriod": str(14 * 86_400),  # The longest that SQS allows; then it drops a message without a word.
}
_CREATION: Final = Backoff(first=0.2, longest=1, jitter=0)
_TRIES: Final = 10
"""Tries at a new queue: SQS needs at least a second until it can be used ("CreateQueue")."""


async def ensure(client: "SQSClient", settings: Settings) -> list[str]:
    """Create the queues, or set the attributes that differ; returns a line for each change made.

    Raises QueueUnavailable.
    """
    queue = NoticeQueue(client, name=settings.queue_name)
    done = await _ensure(client, queue.dead, _FIFO)
    dead_letters_arn = (await queue.dead.attributes())["QueueArn"]
    redrive = {"deadLetterTargetArn": dead_letters_arn, "maxReceiveCount": settings.queue_max_receives}
    wanted = {
        **_FIFO,
        "VisibilityTimeout": str(settings.queue_visibility_timeout),
        "ReceiveMessageWaitTimeSeconds": "20",
        "RedrivePolicy": json.dumps(redrive),
    }
    return done + await _ensure(client, queue.main, wanted)


async def _ensure(client: "SQSClient", channel: Channel, wanted: dict[str, str]) -> list[str]:
    try:
        current = await channel.attributes()
    except QueueUnavailable as error:
        if not _is_missing(error):
            raise
        attributes: Any = wanted  # The stubs want a mapping of literals.
        await client_call("CreateQueue", client.create_queue(QueueName=channel.name, Attributes=attributes))
        await _wait_until_usable(channel)
        return [f"made {channel.name}"]
    differs = {key: value for key, value in wanted.items() if not _same(current.get(key), value)}
    if not differs:
        return []
    await channel.set_attributes(differs)
    return [f"set {', '.join(sorted(differs))} of {channel.name}"]


async def _wait_until_usable(channel: Channel) -> None:
    for tries in itertools.count(1):
        try:
            await channel.attributes()
        except QueueUnavailable as error:
            if not _is_missing(error) or tries == _TRIES:
                raise
            await _CREATION.sleep(tries)
        else:
            return


def _is_missing(error: QueueUnavailable) -> bool:
    """Return whether a call failed because the queue does not exist."""
    cause = error.__cause__
    return isinstance(cause, ClientError) and cause.response["Error"]["Code"] in MISSING


def _same(current: str | None, wanted: str) -> bool:
    """Compare JSON by its values: SQS formats a policy in its own way."""
    if current is None or not wanted.startswith("{"):
        return current == wanted
    return {key: str(value) for key, value in json.loads(current).items()} == {
        key: str(value) for key, value in json.loads(wanted).items()
    }
