"""Access log entries and request metrics are written in batches."""

import asyncio

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from vitrina import logging
from vitrina.api.http.access_log import AccessLog, Entry
from vitrina.usage import Usage


def _entry(route: str, **options: object) -> Entry:
    values = {"method": "GET", "status": 200, "at": 1_795_503_694.125, "seconds": 0.0042, "request_id": "r-1"}
    values |= {"user_id": None, "key_id": None, "used": Usage(), "trace_id": None, **options}
    return Entry(route=route, **values)  # type: ignore[arg-type]


def _counted(route: str) -> float | None:
    labels = {"route": route, "method": "GET", "status": "200"}
    return REGISTRY.get_sample_value("vitrina_http_requests_total", labels)


async def test_a_single_entry_is_written_after_a_short_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "_request_sink", None)
    access_log = AccessLog()
    with capture_logs() as lines:
        access_log.add(_entry("/lone", user_id="u-1", key_id="k-1"))
        assert lines == []
        await asyncio.sleep(0.15)
    assert lines == [
        {
            "event": "request",
            "log_level": "info",
            "timestamp": "2026-11-24T07:01:34.125Z",
            "request_id": "r-1",
            "method": "GET",
            "route": "/lone",
            "status": 200,
            "duration_ms": 4.2,
            "calls": 0,
            "read_units": 0.0,
            "write_units": 0.0,
            "user_id": "u-1",
            "key_id": "k-1",
        }
    ]
    assert _counted("/lone") == 1


async def test_a_full_batch_is_written_at_once() -> None:
    """A flush of an empty log has no effect."""
    access_log = AccessLog()
    for _ in range(64):
        access_log.add(_entry("/many"))
    assert _counted("/many") == 64
    access_log.flush()
    assert _counted("/many") == 64
