"""A clock that tests can move, so that a test of a month takes a moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from tests.service import Clock, Service
from vitrina.clock import now


class HeldClock(Clock):
    """A clock that moves only when `go_on` is called."""

    def __init__(self, at: datetime | None = None) -> None:
        super().__init__(at or now())

    def go_on(self, **duration: float) -> None:
        """Move the clock by the arguments of a `timedelta`."""
        self.at += timedelta(**duration)


@contextmanager
def held_clock(service: Service) -> Iterator[HeldClock]:
    """Hold the clock of sign-ins and of their rate limits."""
    clock = HeldClock()
    authentication = service.services.authentication
    parts: tuple[Any, ...] = (authentication, authentication._throttle)
    clocks = [part._clock for part in parts]
    for part in parts:
        part._clock = clock
    try:
        yield clock
    finally:
        for part, own in zip(parts, clocks, strict=True):
            part._clock = own
