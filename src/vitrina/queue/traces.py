"""The spans of messages, by OpenTelemetry's conventions for messaging: each is linked to the changes it is about.

The context that a message carries is that of the request which made the change. No later span replaces it, and it is
the parent of a span about that message alone.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Literal

from vitrina import tracing
from vitrina.domain.notices import PriceChanged
from vitrina.queue.messages import MessageUnreadable, decode


def span(
    operation: Literal["send", "receive", "process"],
    traceparents: Sequence[str | None],
    *,
    queue: str | None = None,
    began: int | None = None,
) -> AbstractContextManager[object]:
    """Return the span of an operation on messages with these `traceparents`."""
    attributes: dict[str, str | int] = {
        "messaging.system": "aws_sqs",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.batch.message_count": len(traceparents),
    }
    if queue is not None:
        attributes["messaging.destination.name"] = queue
    name = f"{operation} {queue}" if queue else operation
    kind: tracing.Kind = "CONSUMER" if operation == "process" else "CLIENT"
    return tracing.span(name, kind, attributes, causes=traceparents, began=began)


def record_receive(bodies: Sequence[str], *, queue: str, began: int) -> None:
    """Record that messages were received, by a request that was sent at `began`."""
    if bodies and tracing.is_on():  # Most requests receive nothing, and each of those would be a trace.
        with span("receive", [_traceparent(body) for body in bodies], queue=queue, began=began):
            pass


def _traceparent(body: str) -> str | None:
    try:
        event = decode(body)
    except MessageUnreadable:
        return None
    return event.traceparent if isinstance(event, PriceChanged) else None
