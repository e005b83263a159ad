"""Creates the two queues, and updates the attributes of existing ones."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from vitrina.config import Settings
from vitrina.errors import QueueUnavailable
from vitrina.queue.calls import client_call, is_missing
from vitrina.queue.notices import dead_letters_name, queue_name

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

_TIMEOUT: Final = 10.0
_FIFO: Final = {
    "FifoQueue": "true",
    # High throughput for FIFO queues: the quota of 300 requests a second is for each group, not for the queue.
    "DeduplicationScope": "messageGroup",
    "FifoThroughputLimit": "perMessageGroupId",
    "SqsManagedSseEnabled": "true",
}
_FOURTEEN_DAYS: Final = 14 * 86_400


def dead_letters_attributes() -> dict[str, str]:
    """Return the attributes of the queue of dead letters: letters are kept for 14 days, the longest that SQS allows."""
    return {**_FIFO, "MessageRetentionPeriod": str(_FOURTEEN_DAYS)}


def queue_attributes(settings: Settings, *, dead_letters_arn: str) -> dict[str, str]:
    """Return the attributes of the queue."""
    redrive = {"deadLetterTargetArn": dead_letters_arn, "maxReceiveCount": settings.queue_max_receives}
    return {
        **_FIFO,
        "VisibilityTimeout": str(settings.queue_visibility_timeout),
        "ReceiveMessageWaitTimeSeconds": "20",
        "RedrivePolicy": json.dumps(redrive),
    }


async def ensure(client: "SQSClient", settings: Settings) -> list[str]:
    """Create the queues, or set the attributes that differ; returns a line for each change made.

    Raises QueueUnavailable.
    """
    dead = dead_letters_name(settings.queue_name)
    done = await _ensure(client, dead, dead_letters_attributes())
    found = await _attributes(client, dead)
    attributes = queue_attributes(settings, dead_letters_arn=found["QueueArn"])
    return done + await _ensure(client, queue_name(settings.queue_name), attributes)


async def _ensure(client: "SQSClient", name: str, wanted: dict[str, str]) -> list[str]:
    try:
        current = await _attributes(client, name)
    except QueueUnavailable as error:
        if not is_missing(error):
            raise
        await client_call(
            "CreateQueue", client.create_queue(QueueName=name, Attributes=_typed(wanted)), timeout=_TIMEOUT
        )
        return [f"made {name}"]
    differs = {key: value for key, value in wanted.items() if not _same(current.get(key), value)}
    if not differs:
        return []
    url = await _url(client, name)
    change = client.set_queue_attributes(QueueUrl=url, Attributes=_typed(differs))
    await client_call("SetQueueAttributes", change, timeout=_TIMEOUT)
    return [f"set {', '.join(sorted(differs))} of {name}"]


async def _attributes(client: "SQSClient", name: str) -> Mapping[str, str]:
    url = await _url(client, name)
    call = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    found: Any = await client_call("GetQueueAttributes", call, timeout=_TIMEOUT)
    attributes: Mapping[str, str] = found["Attributes"]
    return attributes


async def _url(client: "SQSClient", name: str) -> str:
    return (await client_call("GetQueueUrl", client.get_queue_url(QueueName=name), timeout=_TIMEOUT))["QueueUrl"]


def _same(current: str | None, wanted: str) -> bool:
    """Compare JSON by its values: SQS formats a policy in its own way."""
    if current is None or not wanted.startswith("{"):
        return current == wanted
    return {key: str(value) for key, value in json.loads(current).items()} == {
        key: str(value) for key, value in json.loads(wanted).items()
    }


def _typed(attributes: dict[str, str]) -> Any:  # noqa: ANN401 - the stubs want a mapping of literals
    return attributes
