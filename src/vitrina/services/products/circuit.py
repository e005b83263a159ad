"""A circuit breaker for the reads of a cache, so that requests do not wait for a table that does not answer."""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from vitrina.errors import TableUnavailable

T = TypeVar("T")
PATIENCE: Final = 0.12
"""Seconds after which a read is slow. A request with a stale value waits for two reads at most."""
_PAUSE: Final = 0.25
"""Seconds from a failed read to the next one."""
_FAILURES: Final = 2
"""Failed reads in a row after which the table is taken to be out; a throttled one was answered, and does not count."""
LATE: Final[Any] = object()
"""The result of a request whose read is slow or has failed."""


class Circuit:
    """Learns from reads whether the table answers.

    It opens when a read fails or takes longer than `patience` seconds, and closes when a read succeeds. While it is
    open, one read at a time tries whether the table answers again.
    """

    def __init__(self, *, patience: float) -> None:
        self._patience = patience
        self._time = asyncio.get_running_loop().time
        self._is_open = False
        self._failures = 0
        self._reads = 0
        self._next_try = 0.0
        self._impatient: list[asyncio.Future[Any]] = []

    @property
    def admits(self) -> bool:
        """Whether a read may start: any while the circuit is closed, one at a time while it is open."""
        return not self._is_open or (self._reads == 0 and self._time() >= self._next_try)

    @property
    def is_out(self) -> bool:
        """Whether the table does not answer at all."""
        return self._failures >= _FAILURES

    def release_late(self, waiting: "asyncio.Future[Any]") -> None:
        """Give `waiting`, the future of a request that need not wait, the result `LATE` once the circuit opens."""
        self._impatient.append(waiting)

    async def watch(self, read: Awaitable[T]) -> T:
        """Return the result of a read. Raises what it raises."""
        self._reads += 1
        slow = asyncio.get_running_loop().call_later(self._patience, self._open)
        try:
            result = await read
        except TableUnavailable as error:
            self._failures += not error.throttled
            self._next_try = self._time() + _PAUSE
            self._open()
            raise
        finally:
            self._reads -= 1
            slow.cancel()
        self._is_open, self._failures = False, 0
        self._impatient = [waiting for waiting in self._impatient if not waiting.done()]
        return result

    def _open(self) -> None:
        self._is_open = True
        released, self._impatient = self._impatient, []
        for waiting in released:
            if not waiting.done():
                waiting.set_result(LATE)
