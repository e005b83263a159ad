"""Lines of metrics for CloudWatch follow AWS's "Specification: Embedded metric format"."""

import asyncio
import contextlib
import os
import time
from typing import Any, Final

import orjson
import pytest
from jsonschema import validate

from vitrina import emf, metrics

SCHEMA: Final = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer"},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "maxItems": 30, "items": {"type": "string"}},
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
                                        "Unit": {"enum": ["Count"]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}
"""The rules of the specification, without the units that we do not use."""


def values_of(line: bytes) -> dict[str, Any]:
    """Check a line and return its values: each metric has a target member, and no other member is there."""
    document = orjson.loads(line)
    validate(document, SCHEMA)
    meta = document.pop("_aws")
    [directive] = meta["CloudWatchMetrics"]
    assert abs(meta["Timestamp"] - time.time() * 1000) < 60_000
    assert directive["Namespace"] == "shop"
    assert {metric["Name"] for metric in directive["Metrics"]} == document.keys()
    return document  # type: ignore[no-any-return]


def test_a_line_has_what_was_counted_since_the_last_one() -> None:
    """Without anything new there is no line, since each costs money."""
    embedded = emf.EmbeddedMetrics("shop")
    metrics.VIEWS_STORED.inc(5)
    metrics.VIEWS_LATE.inc(2)
    metrics.VIEWS_LOST.inc(1)
    metrics.MAILS.labels("sent").inc()
    metrics.MAILS.labels("retried").inc()
    first, nothing = embedded.line(), embedded.line()
    metrics.MAILS.labels("given_up").inc()
    metrics.MAILS_HELD_BACK.labels("daily quota").inc()
    assert values_of(first) == {"Views": 5, "LateViews": 2, "LostViews": 1, "Mails": 1}
    assert nothing == b""
    assert values_of(embedded.line()) == {"MailFailures": 2}


async def test_a_process_prints_lines_at_intervals_and_at_its_end(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emf, "_INTERVAL", 0.01)
    lines = b""
    async with emf.printed(""):
        metrics.VIEWS_STORED.inc()
    async with emf.printed("shop"), asyncio.timeout(10):
        metrics.VIEWS_STORED.inc(2)
        while not lines:
            await asyncio.sleep(0.01)
            lines += capfdbinary.readouterr().out
        monkeypatch.setattr(emf, "_INTERVAL", 60)
        await asyncio.sleep(0.02)
        metrics.VIEWS_STORED.inc(3)
    lines += capfdbinary.readouterr().out
    assert sum(values_of(line)["Views"] for line in lines.splitlines()) == 5


async def test_a_reader_of_the_lines_that_stalls_does_not_stop_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(4096))
    os.set_blocking(writing, True)
    with os.fdopen(writing, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        try:
            began = time.monotonic()
            async with emf.printed("shop"):
                metrics.VIEWS_STORED.inc()
            assert time.monotonic() - began < 10
        finally:
            os.close(reading)
