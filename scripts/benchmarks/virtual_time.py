"""Event loops whose time is simulated: one jumps to the next timer once nothing is left to do, one is slow."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Reports what is ready, and lets the time pass that it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; without a `timeout` nothing but another thread could go on, so it waits."""
        if timeout is None:
            return super().select(timeout)
        self.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that begins at 0 seconds. Only what waits takes time, and computing takes none."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the simulated seconds."""
        return self._virtual.now


SLOWNESS: Final = 5
"""Seconds for each one of a `SlowLoop`."""


class _SlowSelector(selectors.DefaultSelector):
    """Waits longer."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready within the loop's `timeout`."""
        return super().select(timeout if timeout is None else timeout * SLOWNESS)


class SlowLoop(asyncio.SelectorEventLoop):
    """A loop on which this machine, and what it calls, seem `SLOWNESS` times as fast."""

    def __init__(self) -> None:
        super().__init__(_SlowSelector())

    def time(self) -> float:
        """Return the loop's seconds."""
        return super().time() / SLOWNESS


def run(main: Coroutine[Any, Any, T], *, loop: type[asyncio.AbstractEventLoop] = VirtualLoop) -> T:
    """Run a coroutine in simulated time, in a thread without a running loop."""
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main)
