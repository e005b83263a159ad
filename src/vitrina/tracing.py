"""Traces by OpenTelemetry, off by default. Outside of `running` nothing of it is imported, and functions do nothing.

A change travels from the request that makes it to the mail about it, through the table, the queue and other processes.
Its `traceparent` (W3C Trace Context) goes along unchanged: in the terms of OpenTelemetry's conventions for messaging it
is the creation context of the message.

Attributes are names of operations, numbers and Vitrina's own ids, never a path, a query, an address or a text that a
client wrote; of an exception they have the class alone, since its text may quote.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from vitrina.spans import Spans

Attributes = Mapping[str, str | int | Sequence[str]]
Kind = Literal["SERVER", "CLIENT", "CONSUMER"]

_NO_SPAN: Final = nullcontext()
_spans: "Spans | None" = None


@contextmanager
def running(service: str, *, on: bool) -> Iterator[None]:
    """Trace this process if `on`, as `service` unless OTEL_SERVICE_NAME has another name.

    The end waits for the last spans to be sent, 2 s at most.
    """
    global _spans  # noqa: PLW0603 - tracing is global to the process, as logging is
    if not on:
        yield
        return
    from vitrina.spans import Spans  # noqa: PLC0415 - needs an extra

    spans = _spans = Spans(service)
    try:
        yield
    finally:
        _spans = None
        spans.stop()


def flush() -> None:
    """Send the spans that have ended: 0.5 s at most, and not at all for a minute after a receiver took longer."""
    if _spans is not None:
        _spans.flush()


def is_on() -> bool:
    """Return whether spans are made in this process."""
    return _spans is not None


def trace_id() -> str | None:
    """Return the id of the current trace, 32 hexadecimal digits, if a span of it is recorded here."""
    return None if _spans is None else _spans.trace_id()


def traceparent() -> str | None:
    """Return the current span, recorded or not, as a `traceparent`."""
    return None if _spans is None else _spans.traceparent()


def fail(error: str) -> None:
    """Mark the current span as failed, with a kind of errors."""
    if _spans is not None:
        _spans.fail(error)


def span(
    name: str,
    kind: Kind,
    attributes: Attributes,
    *,
    parent: str | None = None,
    causes: Sequence[str | None] = (),
    began: int | None = None,
) -> "AbstractContextManager[Span | None]":
    """Return a context in which a span is current; it begins now, or at `began`, in nanoseconds since 1970.

    Its parent is `parent`, a `traceparent`, or else its cause, if it has only one, or else the current span. It is
    linked to each of its causes.
    """
    if _spans is None:
        return _NO_SPAN
    given = [cause for cause in causes if cause]
    return _spans.span(name, kind, attributes, parent=parent, causes=given, began=began)
