"""Writes log lines in groups from a thread, so that no caller waits for the reader of the log."""

import contextlib
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from typing import Final

import orjson

_GATHER: Final = 0.08
"""Seconds for which lines are collected before they are written."""
_MUCH: Final = 64 * 1024
"""Bytes that are written without waiting for more."""
_ATOMIC: Final = 4096
"""Bytes that a pipe takes atomically (PIPE_BUF), so that the lines of several processes do not mix."""
_MOST_WAITING: Final = 16 * 1024 * 1024
"""Bytes that may wait for a stalled reader; further lines are dropped, and their number is logged."""


class Sink:
    """Writes lines to a file descriptor from its own thread.

    At most `most_waiting` bytes wait for the reader.
    """

    def __init__(self, descriptor: int, *, most_waiting: int = _MOST_WAITING) -> None:
        self._descriptor = descriptor
        self._most_waiting = most_waiting
        # Each write acquires the interpreter's lock again, so a file gets all lines in one.
        self._most = most_waiting if _is_file(descriptor) else _ATOMIC
        self._lines: list[bytes] = []
        self._waiting = 0
        self._dropped = 0
        self._something = threading.Event()
        self._urgent = threading.Event()
        self._closed = False
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, *lines: bytes, urgent: bool = False) -> None:
        """Queue lines, without line breaks; `urgent` ones are written without waiting for more."""
        if self._waiting > self._most_waiting:
            self._dropped += len(lines)
            return
        self._lines.extend(lines)
        self._waiting += sum(map(len, lines))
        if urgent or self._waiting > _MUCH:
            self._urgent.set()
        if not self._something.is_set():
            self._something.set()

    def flush(self) -> None:
        """Write all waiting lines from the caller's thread; blocks while the reader is stalled."""
        with contextlib.suppress(OSError):  # As in the thread: there is nowhere to report it.
            self._flush()

    def close(self, *, seconds: float = 2.0) -> None:
        """Write all waiting lines and end the thread; waits `seconds` for a stalled reader."""
        self._closed = True
        self._urgent.set()
        self._something.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        closed = False
        while not closed:
            self._something.wait()
            self._urgent.wait(_GATHER)
            self._something.clear()
            self._urgent.clear()
            closed = self._closed  # Read first: the last flush then writes all that was queued before the close.
            try:
                self._flush()
            except OSError:  # The reader is gone, so there is nowhere to report it.
                continue

    def _flush(self) -> None:
        with self._writing:
            self._write_waiting()

    def _write_waiting(self) -> None:
        number = len(self._lines)  # More lines may be appended meanwhile.
        lines = self._lines[:number]
        del self._lines[:number]
        self._waiting = 0
        dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append(orjson.dumps({"event": "log_lines_dropped", "level": "warning", "number": dropped}))
        for chunk in _chunks(lines, self._most):
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


def _is_file(descriptor: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _chunks(lines: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Join lines to chunks of at most `most` bytes; a longer line is a chunk by itself."""
    chunk: list[bytes] = []
    size = 0
    for line in lines:
        if chunk and size + len(line) >= most:
            yield b"".join(chunk)
            chunk, size = [], 0
        chunk += (line, b"\n")
        size += len(line) + 1
    if chunk:
        yield b"".join(chunk)
