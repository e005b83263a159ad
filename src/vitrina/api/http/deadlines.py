"""Deadlines of requests, with one timer for all: a timer for each costs 5 µs, a tenth of a cached response."""

import asyncio
from typing import Any, Final

Task = asyncio.Task[Any]
_TICK: Final = 0.05
"""Seconds by which a request may exceed its deadline."""


class Deadlines:
    """Cancels tasks that exceed their deadline."""

    def __init__(self) -> None:
        self._due: dict[Task, float] = {}
        self._cancelled: set[Task] = set()
        self._sweeping = False

    def start(self, task: Task, *, seconds: float) -> None:
        """Cancel `task` in so many seconds, unless `end` is called before."""
        loop = task.get_loop()
        self._due[task] = loop.time() + seconds
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(_TICK, self._sweep, loop)

    def end(self, task: Task) -> float:
        """Remove the deadline of `task`; return the seconds that were left."""
        if task in self._cancelled:
            self._cancelled.remove(task)
            task.uncancel()
            return 0
        return self._due.pop(task, 0) - task.get_loop().time()

    def cancelled(self, task: Task) -> bool:
        """Say whether `task` was cancelled for its deadline, and not because the process stops."""
        return task in self._cancelled

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task in [task for task, due in self._due.items() if due <= now]:
            del self._due[task]
            self._cancelled.add(task)
            task.cancel()
        self._sweeping = bool(self._due)
        if self._sweeping:
            loop.call_later(_TICK, self._sweep, loop)
