"""Logs: one JSON object a line for machines, colour for people; standard logging comes out the same way.

`configure` is called once a process. Lines are handed to a thread that writes them in groups, so that a slow reader of
the log never holds up a request; warnings and errors go out at once, and what is left goes out when the process ends.
"""

import atexit
import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, MutableMapping
from contextvars import ContextVar
from typing import Any, Final, Literal

import orjson
import structlog

Event = MutableMapping[str, Any]

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id")
"""The request or message at work: every line that is logged meanwhile carries it."""

REDACTED: Final = "[redacted]"
_SECRET_KEY: Final = re.compile(
    r"passw|token|authori[sz]ation|secret|cookie|credential|signing_key|api_?key", re.IGNORECASE
)
_SECRET_TEXT: Final = re.compile(r"\bbearer\s+[^\s\"',]+|\beyJ[\w-]+\.[\w-]+\.[\w-]*", re.IGNORECASE)
_GATHER: Final = 0.08
"""Seconds for which lines gather before they are written."""
_WRITE_SIZE: Final = 64 * 1024
_MOST_WAITING: Final = 16 * 1024 * 1024
"""Bytes that may wait for a reader that has stopped; past that lines are dropped, and their number is logged."""
_NOISY: Final = ("aiobotocore", "asyncio", "boto3", "botocore", "pynamodb", "urllib3")


class Sink:
    """Writes lines to a file descriptor from a thread of its own, in groups."""

    def __init__(self, descriptor: int) -> None:
        """Take what to write to; nothing is written before there is something to write."""
        self._descriptor = descriptor
        self._lines: list[bytes] = []
        self._waiting = 0
        self._dropped = 0
        self._something = threading.Event()
        self._urgent = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: bytes, *, urgent: bool = False) -> None:
        """Take a line, or several, without the last line break; what is `urgent` does not wait for more to gather."""
        if self._waiting > _MOST_WAITING:
            self._dropped += 1
            return
        self._lines.append(line)
        self._waiting += len(line)
        if urgent or self._waiting > _WRITE_SIZE:
            self._urgent.set()
        if not self._something.is_set():
            self._something.set()

    def close(self, *, seconds: float = 2.0) -> None:
        """Write all that waits and end the thread; a reader that has stopped is given `seconds`."""
        self._closed = True
        self._urgent.set()
        self._something.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._closed:
            self._something.wait()
            self._urgent.wait(_GATHER)
            self._something.clear()
            self._urgent.clear()
            try:
                self._flush()
            except OSError:  # The reader is gone, and with it whom to tell.
                continue

    def _flush(self) -> None:
        number = len(self._lines)  # More may come meanwhile, at the end.
        lines = self._lines[:number]
        del self._lines[:number]
        self._waiting = 0
        dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append(orjson.dumps({"event": "log_lines_dropped", "level": "warning", "number": dropped}))
        rest = memoryview(b"".join(line + b"\n" for line in lines))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


class _SinkLogger:
    """What structlog writes to: a rendered line, by the name of its level."""

    def __init__(self, sink: Sink, name: str) -> None:
        self._sink = sink
        self.name = name

    def debug(self, line: bytes) -> None:
        self._sink.write(line)

    def warning(self, line: bytes) -> None:
        self._sink.write(line, urgent=True)

    info = debug
    error = critical = exception = warning


class _Bridge(logging.Handler):
    """Sends what libraries log by the standard module through structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            log = structlog.get_logger(record.name)
            level = logging.WARNING if record.levelno > logging.INFO else logging.INFO
            level = logging.ERROR if record.levelno >= logging.ERROR else level
            failed = record.exc_info if record.exc_info and record.exc_info[0] else None
            log.log(level, record.getMessage(), exc_info=failed)
        except Exception:  # noqa: BLE001 - as every handler: a line that cannot be logged must not end its author
            self.handleError(record)


_sink: Sink | None = None
_request_sink: Sink | None = None
_second: tuple[int, str] = 0, ""


def configure(*, level: str, style: Literal["json", "console"], descriptor: int | None = None) -> None:
    """Set up logging for this process: `level` is the least that is logged, `descriptor` is standard error if None."""
    global _sink, _request_sink  # noqa: PLW0603 - logging is a thing of the process
    descriptor = sys.stderr.fileno() if descriptor is None else descriptor
    least = logging.getLevelNamesMapping()[level.upper()]
    if _sink is None:
        atexit.register(shutdown)
    else:
        _sink.close()
    sink = _sink = Sink(descriptor)
    as_json = style == "json"
    _request_sink = sink if as_json and least <= logging.INFO else None
    structlog.configure(
        processors=[
            _add_context,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            redact,
            _render_json if as_json else _console_renderer(colors=os.isatty(descriptor)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *names: _SinkLogger(sink, names[0] if names else "vitrina"),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Bridge()], level=least, force=True)
    logging.captureWarnings(capture=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(least, logging.WARNING))


def shutdown() -> None:
    """Write what waits; nothing is logged after it."""
    if _sink is not None:
        _sink.close()


def log_requests(requests: Iterable[tuple[float, Event]]) -> None:
    """Log requests that ended, each with when that was in seconds since 1970.

    These are the lines that are hot: their author sees to it that they hold plain values and no secret.
    """
    if _request_sink is None:
        log = structlog.get_logger("vitrina.requests")
        for at, fields in requests:
            log.info("request", timestamp=timestamp(at), **fields)
    else:
        lines = [
            orjson.dumps({"event": "request", "level": "info", "timestamp": timestamp(at), **fields})
            for at, fields in requests
        ]
        _request_sink.write(b"\n".join(lines))


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Take out what looks like a secret by its name or by its form: a belt, for nothing should log one (R14)."""
    return {key: REDACTED if _SECRET_KEY.search(key) else _redacted(value) for key, value in event.items()}


def timestamp(at: float) -> str:
    """Write seconds since 1970 as RFC 3339 in milliseconds; the part up to the second is remembered."""
    global _second  # noqa: PLW0603 - a memo
    known, text = _second
    second = int(at)
    if known != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _second = second, text
    return f"{text}.{int((at - second) * 1000):03d}Z"


def _add_context(logger: _SinkLogger, _method: str, event: Event) -> Event:
    request_id = REQUEST_ID.get(None)
    if request_id is not None:
        event.setdefault("request_id", request_id)
    return {"event": event.pop("event"), "logger": logger.name, "timestamp": timestamp(time.time()), **event}


def _redacted(value: object) -> object:
    match value:
        case str():
            return _SECRET_TEXT.sub(REDACTED, value)
        case dict():
            return {key: REDACTED if _SECRET_KEY.search(str(key)) else _redacted(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_redacted(item) for item in value]
        case _:
            return value


def _render_json(_logger: object, _method: str, event: Event) -> bytes:
    try:
        return orjson.dumps(event, default=_type_name)
    except TypeError:  # A number past 64 bits or half a surrogate pair: a line must come out whatever is in it.
        return json.dumps(event, default=_type_name).encode()


def _type_name(value: object) -> str:
    """Stand in for an object: its text might hold what must not be logged."""
    return f"<{type(value).__name__}>"


def _console_renderer(*, colors: bool) -> structlog.types.Processor:
    renderer = structlog.dev.ConsoleRenderer(colors=colors)

    def render(logger: object, method: str, event: Event) -> bytes:
        return str(renderer(logger, method, event)).encode(errors="backslashreplace")

    return render
