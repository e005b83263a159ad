"""The pace of bulk work finds the throughput that DynamoDB admits, and follows it when it changes."""

import heapq
import math
import random
from dataclasses import dataclass, field

import pytest

from vitrina.store.pace import Pace

UNITS = 14.0
"""Of a call: the creation of a product."""
ITEMS = 7
"""A cancelled transaction has used units for the items before the refused one."""


@dataclass
class Table:
    """A token bucket that holds the units of one second, and work that calls it through a pace. Time is simulated."""

    limit: float
    pace: Pace = field(default_factory=Pace)
    calls: int = 0
    refused: int = 0
    admitted: float = 0.0
    _level: float = math.inf
    _at: float = 0.0

    def work(self, *, until: float, at_once: int = 16, latency: float = 0.02) -> None:
        """Call the table until a time."""
        dice = random.Random(1)
        turns = [(self._at, number, None) for number in range(at_once)]
        events: list[tuple[float, int, tuple[float, bool] | None]] = list(turns)
        while events[0][0] < until:
            at, number, ended = heapq.heappop(events)
            if ended is not None:
                began, admitted = ended
                if admitted:
                    self.admitted += UNITS
                    self.pace.admitted("Call", UNITS, at=at)
                else:
                    self.refused += 1
                    self.pace.throttled(began=began, at=at)
                heapq.heappush(events, (at + (0 if admitted else dice.uniform(0, 0.05)), number, None))
            elif pause := self.pace.pause("Call", at=at):
                heapq.heappush(events, (at + pause + 1e-6, number, None))
            else:
                done = at + latency * dice.lognormvariate(0, 0.5)
                heapq.heappush(events, (done, number, (at, self._admit(at))))
        self._at = until

    def _admit(self, at: float) -> bool:
        self.calls += 1
        self._level = min(self.limit, self._level + (at - self._at) * self.limit)
        self._at, admitted = at, True
        for _ in range(ITEMS):
            if self._level <= 0:
                admitted = False
            else:
                self._level -= UNITS / ITEMS
        return admitted


@pytest.mark.parametrize(("limit", "at_once"), [(250, 16), (1_000, 16), (1_000, 64), (4_000, 16)])
def test_work_uses_most_of_the_throughput_and_few_calls_are_refused(limit: float, at_once: int) -> None:
    table = Table(limit)
    table.work(until=60, at_once=at_once)
    assert table.admitted > 0.8 * 60 * limit
    assert table.refused < 0.15 * table.calls


def test_work_is_not_slowed_down_before_it_is_throttled() -> None:
    table = Table(1e9)
    table.work(until=10)
    assert table.admitted > 0.8 * 10 * UNITS * 16 / 0.02 / 1.14  # the mean of the latencies is 1.14 times their median
    assert table.refused == 0


def test_the_pace_follows_a_table_whose_throughput_grows_or_falls() -> None:
    table = Table(250)
    table.work(until=30)
    for begin, limit in ((30, 2_000), (90, 500)):
        table.limit = limit
        table.work(until=begin + 30)
        before = table.admitted
        table.work(until=begin + 60)
        assert 0.7 * 30 * limit < table.admitted - before < 1.1 * 30 * limit


def test_a_table_that_admits_nothing_is_asked_ever_more_rarely_and_used_at_once_when_it_does_again() -> None:
    table = Table(1_000)
    table.work(until=20)
    table.limit = 0
    table.work(until=60)
    asked = table.calls
    table.work(until=90)
    assert table.calls - asked <= 6
    table.limit, before = 1_000, table.admitted
    table.work(until=150)
    assert table.admitted - before > 0.4 * 60 * table.limit


def test_a_long_pause_does_not_raise_the_rate_without_bound() -> None:
    """A suspended machine asks late; the growth once overflowed, and every later call failed."""
    pace = Pace()
    pace.throttled(began=0.0, at=0.0)
    while not pace.pause("PutItem", at=0.1):
        pass
    rate = pace.rate
    pace.pause("PutItem", at=86_400.0)
    assert pace.rate == pytest.approx(2 * rate)
