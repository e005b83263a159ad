"""Latency is drawn from a distribution."""

import random
from itertools import pairwise
from statistics import quantiles

from tests.aws_simulator.conftest import request, succeed
from tests.aws_simulator.latency import Latency
from tests.aws_simulator.proxy import ManualClock


async def draws(seed: int) -> list[float]:
    """Return the seconds of many calls."""
    clock = ManualClock()
    latency = Latency(clock, random.Random(seed))
    ends = [0.0]
    for _ in range(5_000):
        await latency(request("GetItem", {}), succeed)
        ends.append(clock.now())
    return [end - begin for begin, end in pairwise(ends)]


async def test_most_calls_take_a_few_milliseconds_and_some_take_tens() -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TroubleshootingLatency.html."""
    percentiles = quantiles(await draws(1), n=100)
    assert 0.003 < percentiles[49] < 0.006
    assert 0.02 < percentiles[98] < 0.04


async def test_a_seed_repeats_the_draws() -> None:
    assert await draws(7) == await draws(7) != await draws(8)
