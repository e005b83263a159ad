"""The pace of bulk work: as many capacity units a second as DynamoDB admits."""

import math
from typing import Final

_FIRST: Final = 100.0
"""Units a second after the first throttling, if it comes before any call has succeeded."""
_LOWEST: Final = 1.0
"""Units a second: while nothing is admitted, the import of a product is tried every 14 s."""
_DECREASE: Final = 0.8
_GROWTH: Final = 0.05
"""Share by which the rate grows in the first second after it was lowered."""
_DOUBLING: Final = 5.0
"""Seconds after which it grows at twice that share; after 10 s at three times, and so on."""
_MOST_GROWTH: Final = math.log(2)
"""Logarithm of the growth between two calls: after a pause, as of a suspended machine, the rate is doubled at most."""
_WINDOW: Final = 1.0
"""Seconds over which admitted units are averaged, and between two decreases."""
_SMOOTHING: Final = 0.2
"""Weight of the last call in the average units of its operation."""


class Pace:
    """Spaces the calls of bulk work, and adapts their rate to the throughput of the table, which nobody has to set.

    There is no limit until DynamoDB throttles a call. Then the rate begins at 0.8 of what was admitted in the last
    second, grows slowly at first, and is lowered again when a call is throttled. So it stays close to the limit that is
    reached first, be it the table's, an index's or a partition's, and few calls are refused: a cancelled transaction
    costs units too. Times are in seconds, of any monotonic clock.
    """

    def __init__(self) -> None:
        self.rate = math.inf
        """Units a second."""
        self._free_at = 0.0
        self._asked_at = 0.0
        self._holds = False
        self._lowered_at = -math.inf
        self._admitted = 0.0
        self._admitted_at = 0.0
        self._costs: dict[str, float] = {}

    def pause(self, operation: str, *, at: float) -> float:
        """Return how long a call must wait and then ask again; 0 if it may begin now, which is then counted."""
        if self._holds:  # A rate that holds nothing back proves nothing, so it does not grow.
            growth = _GROWTH * (at - self._asked_at) * (1 + (at - self._lowered_at) / _DOUBLING)
            self.rate *= math.exp(min(growth, _MOST_GROWTH))
        self._asked_at, self._holds = at, at < self._free_at
        if self._holds:
            return self._free_at - at
        self._free_at = at + self._costs.get(operation, 1.0) / self.rate
        return 0.0

    def admitted(self, operation: str, units: float, *, at: float) -> None:
        """Count the units of a call that succeeded."""
        known = self._costs.get(operation, units)
        self._costs[operation] = known + _SMOOTHING * (units - known)
        self._admitted = self._used(at) + units / _WINDOW
        self._admitted_at = at

    def throttled(self, *, began: float, at: float) -> None:
        """Lower the rate for a refused call that began at `began`, unless calls before it have just lowered it."""
        if began < self._lowered_at + _WINDOW:
            return
        used = self._used(at)
        known = max(used, _FIRST) if math.isinf(self.rate) else min(self.rate, max(2 * used, self.rate / 4))
        self.rate = max(_DECREASE * known, _LOWEST)
        self._lowered_at = self._asked_at = at

    def _used(self, at: float) -> float:
        """Return the units a second that were admitted lately."""
        return self._admitted * math.exp((self._admitted_at - at) / _WINDOW)
