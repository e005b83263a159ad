"""Metrics for CloudWatch, as lines of the log in its embedded metric format (EMF), from which it makes them by itself.

Only those that the alarms and dashboards of `scripts/deploy/template.yaml` use, since each has its price; Prometheus
reads all others. They have no dimensions: CloudWatch adds the lines of all processes up.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson
from prometheus_client import Counter

from vitrina import metrics
from vitrina.logging.sink import Sink

_INTERVAL: Final = 60.0
"""Seconds between two lines of a process that runs on: CloudWatch keeps one value a minute."""


def _total(counter: Counter, *results: str) -> float:
    """Return what a counter has counted in this process, of these values of its label only if any are given."""
    return sum(
        sample.value
        for metric in counter.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and (not results or sample.labels["result"] in results)
    )


COUNTS: Final[Mapping[str, Callable[[], float]]] = {
    "Views": lambda: _total(metrics.VIEWS_STORED),
    "LateViews": lambda: _total(metrics.VIEWS_LATE),
    "LostViews": lambda: _total(metrics.VIEWS_LOST),
    "Mails": lambda: _total(metrics.MAILS, "sent"),
    "MailFailures": lambda: _total(metrics.MAILS, "failed", "given_up") + _total(metrics.MAILS_HELD_BACK),
}


class EmbeddedMetrics:
    """The counts of this process, in lines for standard output."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._reported = {name: count() for name, count in COUNTS.items()}

    def line(self) -> bytes:
        """Return a line of what was counted since the last one, empty if that is nothing."""
        counted = {name: count() for name, count in COUNTS.items()}
        values = {name: value - self._reported[name] for name, value in counted.items() if value > self._reported[name]}
        self._reported = counted
        return orjson.dumps(_document(self._namespace, values)) if values else b""


@asynccontextmanager
async def printed(namespace: str) -> AsyncIterator[None]:
    """Print lines each minute and at the end, if there is a namespace; neither waits for a reader that stalls."""
    if not namespace:
        yield
        return
    embedded, sink = EmbeddedMetrics(namespace), Sink(sys.stdout.fileno())

    def write() -> None:
        if line := embedded.line():
            sink.write(line, urgent=True)

    async def write_each_minute() -> None:
        while True:
            await asyncio.sleep(_INTERVAL)
            write()

    task = asyncio.create_task(write_each_minute())
    try:
        yield
    finally:
        task.cancel()
        write()
        sink.close()


def _document(namespace: str, values: Mapping[str, float]) -> dict[str, Any]:
    """Return values in AWS's format, "Specification: Embedded metric format"."""
    directive = {
        "Namespace": namespace,
        "Dimensions": [[]],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in values],
    }
    return {"_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}, **values}
