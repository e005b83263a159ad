"""Logging: one JSON object on each line, or coloured text for people, also for the standard `logging` module.

`configure` is called once in each process. A thread writes lines in groups, so that a slow reader of the log never
delays a request. Warnings and errors are written at once, and the rest at the latest when the process ends.
"""

import atexit
import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterable, MutableMapping
from contextvars import ContextVar
from typing import Any, Final, Literal

import orjson
import structlog

from vitrina import tracing
from vitrina.logging.sink import Sink

Event = MutableMapping[str, Any]

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id")
"""The id of the current request, which every log line of its context carries."""

REDACTED: Final = "[redacted]"
_SECRET_KEY: Final = re.compile(
    r"passw|token|authori[sz]ation|secret|cookie|credential|signing_key|api_?key", re.IGNORECASE
)
_SECRET_TEXT: Final = re.compile(r"\bbearer\s+[^\s\"',]+|\beyJ[\w-]+\.[\w-]+\.[\w-]*", re.IGNORECASE)
_NOISY: Final = ("aiobotocore", "asyncio", "boto3", "botocore", "pynamodb", "urllib3")


class _SinkLogger:
    """The logger to which structlog passes each rendered line, by the method of its level."""

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
    """Passes records of the standard `logging` module to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            log = structlog.get_logger(record.name)
            level = logging.WARNING if record.levelno > logging.INFO else logging.INFO
            level = logging.ERROR if record.levelno >= logging.ERROR else level
            failed = record.exc_info if record.exc_info and record.exc_info[0] else None
            log.log(level, record.getMessage(), exc_info=failed)
        except Exception:  # noqa: BLE001 - as in every handler: a failure to log must not fail the caller
            self.handleError(record)


_sink: Sink | None = None
_request_sink: Sink | None = None
_second: tuple[int, str] = 0, ""


def configure(*, level: str, style: Literal["json", "console"], descriptor: int | None = None) -> None:
    """Configure logging for this process from `level` up, to a file descriptor (standard error if None)."""
    global _sink, _request_sink  # noqa: PLW0603 - logging is global to the process
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


def flush() -> None:
    """Write all waiting lines; blocks while the reader of the log is stalled."""
    if _sink is not None:
        _sink.flush()


def shutdown() -> None:
    """Write all waiting lines; nothing can be logged afterwards."""
    if _sink is not None:
        _sink.close()


def log_requests(requests: Iterable[tuple[float, Event]]) -> None:
    """Log completed requests, each with the time of its completion in seconds since 1970.

    This is the hot path: the lines are not redacted, so the caller must pass plain values and no secrets.
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
        _request_sink.write(*lines)


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Redact values that look like secrets, by name or form: a second defence, since none may be logged (R14)."""
    return {key: REDACTED if _SECRET_KEY.search(key) else _redacted(value) for key, value in event.items()}


def timestamp(at: float) -> str:
    """Format seconds since 1970 as RFC 3339 with milliseconds; caches the part up to the second."""
    global _second  # noqa: PLW0603 - a cache
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
    trace_id = tracing.trace_id()
    if trace_id is not None:
        event["trace_id"] = trace_id
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
    except TypeError:  # An integer over 64 bits or a lone surrogate: every event must give a line.
        return json.dumps(event, default=_type_name, ensure_ascii=False).encode(errors="replace")


def _type_name(value: object) -> str:
    """Return a placeholder for an object, whose text might contain secrets."""
    return f"<{type(value).__name__}>"


def _console_renderer(*, colors: bool) -> structlog.types.Processor:
    renderer = structlog.dev.ConsoleRenderer(colors=colors)

    def render(logger: object, method: str, event: Event) -> bytes:
        return str(renderer(logger, method, event)).encode(errors="backslashreplace")

    return render
