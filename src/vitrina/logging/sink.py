"""Where log lines go: a thread of its own writes them in groups, so that nobody waits for who reads the log."""

import os
import stat
import threading
from collections.abc import Iterable, Iterator
from typing import Final

import orjson

_GATHER: Final = 0.08
"""Seconds for which lines gather before they are written."""
_MUCH: Final = 64 * 1024
"""Bytes that are written without gathering for longer."""
_ATOMIC: Final = 4096
"""Bytes that a pipe takes whole (PIPE_BUF), so that the lines of several processes into one do not mix."""
_MOST_WAITING: Final = 16 * 1024 * 1024
"""Bytes that may wait for a reader that has stopped; past that lines are dropped, and their number is logged."""


class Sink:
    """Writes lines to a file descriptor from a thread of its own, in groups."""

    def __init__(self, descriptor: int) -> None:
        """Take what to write to; nothing is written before there is something to write."""
        self._descriptor = descriptor
        # Each write is a moment in which the thread asks for the interpreter's lock: a file takes all lines by one.
        self._most = _MOST_WAITING if _is_file(descriptor) else _ATOMIC
        self._lines: list[bytes] = []
        self._waiting = 0
        self._dropped = 0
        self._something = threading.Event()
        self._urgent = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, *lines: bytes, urgent: bool = False) -> None:
        """Take lines without their line breaks; what is `urgent` does not wait for more to gather."""
        if self._waiting > _MOST_WAITING:
            self._dropped += len(lines)
            return
        self._lines.extend(lines)
        self._waiting += sum(map(len, lines))
        if urgent or self._waiting > _MUCH:
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
        closed = False
        while not closed:
            self._something.wait()
            self._urgent.wait(_GATHER)
            self._something.clear()
            self._urgent.clear()
            closed = self._closed  # Looked at before the flush: what came before the close is written by the last one.
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
    """Join lines to chunks of `most` bytes at most; a longer line is one of its own."""
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
