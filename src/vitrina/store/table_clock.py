"""The table's time: processes agree on it, even if their own clocks differ or are set."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from vitrina.clock import Clock, now

_RESOLUTION: Final = timedelta(seconds=1)
"""The header `Date` has whole seconds."""


class TableClock:
    """A clock that follows the header `Date` of the table's responses, and between them the monotonic clock.

    It returns the earliest time that it can be at the table; the latest is `uncertainty` later. Until a response has
    had a date, and with an engine that sends none, it is the process's own `clock`.
    """

    def __init__(self, clock: Clock = now, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._date: datetime | None = None
        self._sent = self._received = 0.0

    def __call__(self) -> datetime:
        """Return the time."""
        if self._date is None:
            return self._clock()
        return self._date + timedelta(milliseconds=int(1000 * (self._monotonic() - self._received)))

    @property
    def uncertainty(self) -> timedelta:
        """How much later it may be: by the resolution of the header, and by the time that the response took."""
        return timedelta(0) if self._date is None else _RESOLUTION + timedelta(seconds=self._received - self._sent)

    @property
    def ticks(self) -> float:
        """The monotonic clock, in seconds."""
        return self._monotonic()

    def note(self, date: datetime | None, *, sent: float) -> None:
        """Follow the date of a response that has just arrived; its request was sent at `sent` ticks."""
        if date is not None:
            self._date, self._sent, self._received = date, sent, self._monotonic()
