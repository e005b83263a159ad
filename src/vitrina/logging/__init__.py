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
import time
from collections.abc import Iterable, MutableMapping
from contextvars import ContextVar
from typing import Any, Final, Literal

import orjson
import structlog

from vitrina.logging.sink import Sink

Event = MutableMapping[str, Any]

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id")
"""The request or message at work: every line that is logged meanwhile carries it."""

REDACTED: Final = "[redacted]"
_SECRET_KEY: Final = re.compile(
    r"passw|token|authori[sz]ation|secret|cookie|credential|signing_key|api_?key", re.IGNORECASE
)
_SECRET_TEXT: Final = re.compile(r"\bbearer\s+[^\s\"',]+|\beyJ[\w-]+\.[\w-]+\.[\w-]*", re.IGNORECASE)
_NOISY: Final = ("aiobotocore", "asyncio", "boto3", "botocore", "pynamodb", "urllib3")


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
        _request_sink.write(*lines)


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
        return json.dumps(event, default=_type_name, ensure_ascii=False).encode(errors="replace")


def _type_name(value: object) -> str:
    """Stand in for an object: its text might hold what must not be logged."""
    return f"<{type(value).__name__}>"


def _console_renderer(*, colors: bool) -> structlog.types.Processor:
    renderer = structlog.dev.ConsoleRenderer(colors=colors)

    def render(logger: object, method: str, event: Event) -> bytes:
        return str(renderer(logger, method, event)).encode(errors="backslashreplace")

    return render
