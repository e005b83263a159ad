"""Deadlines of requests, by one timer for all of them: a timer for each costs 5 µs, a tenth of a cached answer."""

import asyncio
from typing import Any, Final

Task = asyncio.Task[Any]
_TICK: Final = 0.05
"""Seconds by which a request may outstay its deadline."""


class Deadlines:
    """Cancels the tasks that outstay their time."""

    def __init__(self) -> None:
        """Start with no task to watch."""
        self._due: dict[Task, float] = {}
        self._cancelled: set[Task] = set()
        self._sweeping = False

    def start(self, task: Task, *, seconds: float) -> None:
        """Give `task` so many seconds from now."""
        loop = task.get_loop()
        self._due[task] = loop.time() + seconds
        if not self._sweeping:
            self._sweeping = True
            loop.call_later(_TICK, self._sweep, loop)

    def end(self, task: Task) -> float:
        """Let `task` go on without a deadline; return the seconds that it had left."""
        if task in self._cancelled:
            self._cancelled.remove(task)
            task.uncancel()
            return 0
        return self._due.pop(task, 0) - task.get_loop().time()

    def cancelled(self, task: Task) -> bool:
        """Say whether `task` was cancelled here, and not by whoever stops the process."""
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
