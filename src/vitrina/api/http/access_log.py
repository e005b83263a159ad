"""The access log and the request metrics, written in batches.

Writing a line and updating two metrics takes 2 µs in a loop over many entries, and ten times that between two requests,
because the requests' own code has evicted it from the processor's caches.
"""

import asyncio
from typing import Any, Final, NamedTuple

from prometheus_client import Counter, Histogram

from vitrina.logging import log_requests
from vitrina.metrics import HTTP_REQUESTS, HTTP_SECONDS
from vitrina.usage import Usage

_MOST: Final = 64
_LONGEST: Final = 0.05
"""Seconds for which an entry may stay in the buffer."""


class Entry(NamedTuple):
    """One response. It holds the route's template and never a path, address, query or body. `at` is a Unix time."""

    route: str
    method: str
    status: int
    at: float
    seconds: float
    request_id: str
    user_id: str | None
    key_id: str | None
    used: Usage
    trace_id: str | None


class AccessLog:
    """Buffers entries; writes them out when there are 64, or 50 ms after the first."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._scheduled = False
        self._meters: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def add(self, entry: Entry) -> None:
        """Add an entry; to be called from the event loop."""
        self._entries.append(entry)
        if len(self._entries) >= _MOST:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_later(_LONGEST, self._flush_in_time)

    def flush(self) -> None:
        """Write out all buffered entries."""
        entries, self._entries = self._entries, []
        if not entries:
            return
        log_requests([(entry.at, _fields(entry)) for entry in entries])
        for entry in entries:
            requests, durations = self._meters_of(entry)
            requests.inc()
            durations.observe(entry.seconds)

    def _flush_in_time(self) -> None:
        self._scheduled = False
        self.flush()

    def _meters_of(self, entry: Entry) -> tuple[Counter, Histogram]:
        key = entry.route, entry.method, entry.status
        if key not in self._meters:
            self._meters[key] = (
                HTTP_REQUESTS.labels(entry.route, entry.method, str(entry.status)),
                HTTP_SECONDS.labels(entry.route, entry.method),
            )
        return self._meters[key]


def _fields(entry: Entry) -> dict[str, Any]:
    fields = {
        "request_id": entry.request_id,
        "method": entry.method,
        "route": entry.route,
        "status": entry.status,
        "duration_ms": round(entry.seconds * 1000, 3),
        "calls": entry.used.calls,
        "read_units": entry.used.read_units,
        "write_units": entry.used.write_units,
    }
    if entry.user_id is not None:
        fields["user_id"] = entry.user_id
    if entry.key_id is not None:
        fields["key_id"] = entry.key_id
    if entry.trace_id is not None:
        fields["trace_id"] = entry.trace_id
    return fields
