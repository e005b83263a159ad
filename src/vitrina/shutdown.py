"""How a process is told to stop."""

import asyncio
import signal
from collections.abc import Iterable


def install_signal_handlers(
    stop: asyncio.Event, signals: Iterable[signal.Signals] = (signal.SIGINT, signal.SIGTERM)
) -> None:
    """Set `stop` at the first signal, cancel the task that calls this at the second."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - called from a coroutine

    def heed() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, heed)
