"""Signals that stop a process."""

import asyncio
import signal
from collections.abc import Iterable


def install_signal_handlers(
    stop: asyncio.Event, signals: Iterable[signal.Signals] = (signal.SIGINT, signal.SIGTERM)
) -> None:
    """Set `stop` at the first signal, and cancel the calling task at the second."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - it is called from a coroutine

    def handle_signal() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, handle_signal)
