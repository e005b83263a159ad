"""Spans by OpenTelemetry's SDK, which `vitrina.tracing` loads when tracing is on.

The SDK reads its standard variables `OTEL_*`: where spans are sent, and how many are sampled. It sends them from a
thread of its own, and drops those that exceed its queue, so that no caller waits for the receiver.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from vitrina.tracing import Attributes, Kind

_STOP_TIMEOUT: Final = 2.0
"""Seconds for which the end of a process waits for its last spans to be sent."""
_FLUSH_TIMEOUT: Final = 0.5
"""Seconds for which the end of an invocation on Lambda waits for its spans to be sent."""
_PAUSE: Final = 60.0
"""Seconds in which no invocation waits, once one has waited in vain."""
_W3C: Final = TraceContextTextMapPropagator()


class Spans:
    """The spans of this process; the methods are those of `vitrina.tracing`."""

    def __init__(self, service: str) -> None:
        named = Resource.create().merge(Resource({SERVICE_NAME: service})).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=named, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("vitrina", version("vitrina"))
        self._not_before = 0.0

    def flush(self) -> None:
        """Send the spans that have ended, within 0.5 s. After a receiver took longer, do nothing for a minute."""
        if time.monotonic() >= self._not_before and not _done(self._provider.force_flush, within=_FLUSH_TIMEOUT):
            self._not_before = time.monotonic() + _PAUSE

    def stop(self) -> None:
        """Send the last spans, and drop all further ones."""
        _done(self._provider.shutdown, within=_STOP_TIMEOUT)

    def trace_id(self) -> str | None:
        """Return the id of the recorded trace."""
        current = get_current_span()
        return f"{current.get_span_context().trace_id:032x}" if current.is_recording() else None

    def traceparent(self) -> str | None:
        """Return the current span as a `traceparent`."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        return carrier.get("traceparent")

    def fail(self, error: str) -> None:
        """Mark the current span as failed."""
        current = get_current_span()
        current.set_attribute("error.type", error)
        current.set_status(Status(StatusCode.ERROR))

    @contextmanager
    def span(
        self,
        name: str,
        kind: Kind,
        attributes: Attributes,
        *,
        parent: str | None,
        causes: Sequence[str],
        began: int | None,
    ) -> Iterator[Span]:
        """Make a span current."""
        if parent is None and len(causes) == 1:
            parent = causes[0]
        with self._tracer.start_as_current_span(
            name,
            context=None if parent is None else _context(parent),
            kind=SpanKind[kind],
            attributes=attributes,
            links=[Link(get_current_span(_context(cause)).get_span_context()) for cause in causes],
            start_time=began,
            record_exception=False,
            set_status_on_exception=False,
        ) as current:
            try:
                yield current
            except BaseException as error:
                self.fail(type(error).__name__)
                raise


def _context(traceparent: str) -> Context:
    return _W3C.extract({"traceparent": traceparent})


def _done(work: Callable[[], object], *, within: float) -> bool:
    """Do work in a thread, and return whether it is done within these seconds; otherwise the thread goes on."""
    thread = threading.Thread(target=work, name="last-spans", daemon=True)
    thread.start()
    thread.join(within)
    return not thread.is_alive()
