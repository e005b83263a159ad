"""How long DynamoDB takes."""

import math
import random
from typing import Final

from tests.aws_simulator.proxy import Clock, Forward, Request, Response

MEDIAN: Final = 0.004
"""Seconds. "Single-digit millisecond performance" is AWS's word for single items; a network's millisecond is in it."""
P99: Final = 0.03
"""Seconds. AWS promises no high percentile, and says that occasional spikes are normal."""
_SIGMA: Final = math.log(P99 / MEDIAN) / 2.326
"""Of a log-normal distribution; 2.326 standard deviations above the median is the 99th percentile."""
_TRANSACTIONS: Final = frozenset({"TransactWriteItems", "TransactGetItems"})


class Latency:
    """Delays each request; a transaction takes two rounds, since it prepares and commits."""

    def __init__(self, clock: Clock, dice: random.Random) -> None:
        self._clock = clock
        self._dice = dice

    async def __call__(self, request: Request, forward: Forward) -> Response:
        """Wait, then forward."""
        rounds = 2 if request.operation in _TRANSACTIONS else 1
        await self._clock.sleep(sum(self._dice.lognormvariate(math.log(MEDIAN), _SIGMA) for _ in range(rounds)))
        return await forward(request)
