"""Log lines contain no secrets (R14), and logging never blocks on a slow reader."""

import logging as standard
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from vitrina import logging
from vitrina.logging.sink import Sink

CANARY = "canary-91c2"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"

Read = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., Callable[[], str]]:
    """Return a function that configures logging to a file and returns a reader of its text."""
    path = tmp_path / "log"

    def configured(style: str = "json", level: str = "info") -> Callable[[], str]:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        logging.configure(level=level, style=style, descriptor=descriptor)  # type: ignore[arg-type]

        def read() -> str:
            logging.shutdown()
            return path.read_text()

        return read

    return configured


@pytest.fixture
def read(configure: Callable[..., Callable[[], str]]) -> Read:
    """Configure JSON logging, and return a reader of its lines."""
    text = configure()
    return lambda: [orjson.loads(line) for line in text().splitlines()]


def test_a_line_is_an_object_with_a_static_name(read: Read) -> None:
    """It contains the id of the current request."""
    reset = logging.REQUEST_ID.set("r-1")
    structlog.get_logger("vitrina.test").info("thing_happened", number=3)
    logging.REQUEST_ID.reset(reset)
    structlog.get_logger().debug("unseen")
    (line,) = read()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "thing_happened",
        "level": "info",
        "logger": "vitrina.test",
        "number": 3,
        "request_id": "r-1",
    }


def test_secrets_are_redacted(read: Read) -> None:
    """By name and by form, in nested values and tracebacks."""
    log = structlog.get_logger()
    log.info("a", password=CANARY, new_password=CANARY, refresh_token=CANARY, Authorization=CANARY, api_key=CANARY)
    log.info("b", nest={"deep": [{"cookie": CANARY}], "text": f"Authorization: Bearer {CANARY}"})
    log.info("c", text=f"got {TOKEN} twice", items=(f"bearer {CANARY}",))
    log.info("d", thing=Secretive(), error=ValueError(CANARY))
    log.error("e", exc_info=ValueError(f"bad header: Bearer {CANARY}"))
    standard.getLogger("some.library").warning("sent %s", f"Bearer {CANARY}")
    lines = read()
    assert [line["event"] for line in lines] == ["a", "b", "c", "d", "e", "sent [redacted]"]
    assert CANARY not in str(lines)
    assert TOKEN not in str(lines)
    assert lines[2]["text"] == "got [redacted] twice"
    assert lines[3]["thing"] == "<Secretive>"
    assert "ValueError" in lines[4]["exception"]


class Secretive:
    """An object whose repr contains a secret."""

    def __repr__(self) -> str:
        return CANARY


def test_values_that_json_cannot_represent_are_logged(read: Read) -> None:
    """A log call never raises."""
    structlog.get_logger().info("odd", number=2**70, text="a\ud800b")
    (line,) = read()
    assert line["number"] == 2**70
    assert line["text"] == "a?b"


def test_libraries_log_the_same_way(read: Read) -> None:
    """At their own levels, with tracebacks, and including warnings."""
    log = standard.getLogger("some.library")
    log.debug("unseen")
    log.info("info %d", 1)
    log.warning("warning")
    log.error("failed", exc_info=KeyError("k"))
    log.error("no exception", exc_info=True)  # noqa: LOG014 - the mistake of a library
    standard.getLogger("botocore").info("unseen: too chatty")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("mind this", UserWarning, stacklevel=1)
    lines = read()
    assert [(line["event"], line["level"]) for line in lines[:4]] == [
        ("info 1", "info"),
        ("warning", "warning"),
        ("failed", "error"),
        ("no exception", "error"),
    ]
    assert "KeyError" in lines[2]["exception"]
    assert "exception" not in lines[3]
    assert "mind this" in lines[4]["event"]


def test_an_invalid_log_call_of_a_library_does_not_fail(read: Read, capsys: pytest.CaptureFixture[str]) -> None:
    """The handlers of the standard module behave so, too."""
    record = standard.LogRecord("some.library", standard.WARNING, "", 0, "%d", ("x",), None)
    (bridge,) = (handler for handler in standard.root.handlers if isinstance(handler, logging._Bridge))
    bridge.handle(record)
    assert read() == []
    assert "Logging error" in capsys.readouterr().err


def test_requests_are_logged_with_their_own_time(read: Read) -> None:
    """Not with the time at which the line is written."""
    logging.log_requests([(1_795_503_694.5, {"status": 200})])
    assert read() == [{"event": "request", "level": "info", "timestamp": "2026-11-24T07:01:34.500Z", "status": 200}]


@pytest.mark.parametrize(("style", "level"), [("json", "warning"), ("console", "warning")])
def test_requests_are_not_logged_at_level_warning(
    configure: Callable[..., Callable[[], str]], style: str, level: str
) -> None:
    text = configure(style, level)
    logging.log_requests([(1.0, {"status": 200})])
    assert text() == ""


def test_the_console_style_is_text(configure: Callable[..., Callable[[], str]]) -> None:
    """Without colours if the output is no terminal."""
    text = configure("console")
    structlog.get_logger("vitrina.test").warning("thing_happened", password=CANARY)
    logging.log_requests([(1_795_503_694.5, {"status": 200})])
    lines = text().splitlines()
    assert "[warning" in lines[0]
    assert "thing_happened" in lines[0]
    assert CANARY not in lines[0]
    assert lines[1].startswith("2026-11-24T07:01:34.500Z")
    assert "\x1b" not in lines[0]


def test_shutdown_works_without_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "_sink", None)
    logging.shutdown()


def test_a_process_can_be_configured_twice(configure: Callable[..., Callable[[], str]]) -> None:
    """Lines from before the second call are written first."""
    configure()
    structlog.get_logger().info("first")
    text = configure()
    structlog.get_logger().info("second")
    assert [orjson.loads(line)["event"] for line in text().splitlines()] == ["first", "second"]


def test_lines_are_collected_but_warnings_are_written_at_once() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    sink = Sink(writer)
    sink.write(b"one")
    time.sleep(0.02)
    with pytest.raises(BlockingIOError):
        os.read(reader, 100)
    sink.write(b"two", urgent=True)
    time.sleep(0.02)
    assert os.read(reader, 100) == b"one\ntwo\n"
    sink.write(b"three")
    sink.flush()
    assert os.read(reader, 100) == b"three\n"
    sink.write(b"four")
    sink.close()
    assert os.read(reader, 100) == b"four\n"


def test_a_stalled_reader_delays_no_caller() -> None:
    """Lines above a limit are dropped, and their number is logged."""
    reader, writer = os.pipe()
    sink = Sink(writer, most_waiting=100_000)
    began = time.monotonic()
    for _ in range(10_000):
        sink.write(b"x" * 99)
    assert time.monotonic() - began < 1
    read = b""
    while b"log_lines_dropped" not in read:
        read += os.read(reader, 1 << 20)
        sink.write(b"y")
    sink.close()
    assert len(read) < 400_000


def test_a_closed_reader_is_ignored() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sink = Sink(writer)
    sink.write(b"one", urgent=True)
    time.sleep(0.02)
    sink.write(b"two", urgent=True)
    sink.close()


def test_processes_that_share_a_pipe_do_not_mix_their_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pipe takes 4,096 bytes atomically; a file gets all lines in one write."""
    sizes: list[int] = []

    def write(_descriptor: int, data: memoryview) -> int:
        sizes.append(len(data))
        return len(data)

    monkeypatch.setattr(os, "write", write)
    lines = [*[b"x" * 999] * 10, b"y" * 9_999, b"z"]
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing), (tmp_path / "log").open("wb") as file:
        for descriptor in (writing, file.fileno(), -1):
            sink = Sink(descriptor)
            sink.write(*lines)
            sink.close()
    assert sizes == [4000, 4000, 2000, 10_000, 2, 20_002, 4000, 4000, 2000, 10_000, 2]


def test_a_line_queued_during_the_last_flush_is_written() -> None:
    """A close during a flush causes one more."""
    reading, writing = os.pipe()
    sink = Sink(writing)
    flush = sink._flush

    def flush_then_close() -> None:
        flush()
        sink._flush = flush  # type: ignore[method-assign]
        sink.write(b"last")
        sink._closed = True

    sink._flush = flush_then_close  # type: ignore[method-assign]
    sink.write(b"first", urgent=True)
    sink._thread.join(5)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123 - a descriptor has no path
        assert pipe.read() == b"first\nlast\n"
