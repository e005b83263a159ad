"""Backoff: the pauses between attempts."""

import pytest

from vitrina.backoff import Backoff


def test_pauses_grow_up_to_the_longest() -> None:
    backoff = Backoff(first=0.1, longest=1.0, jitter=0)
    assert [backoff.pause(failures) for failures in range(1, 6)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0])


def test_many_failures_overflow_nothing() -> None:
    assert Backoff(first=1, longest=30, factor=4, jitter=0).pause(10_000) == 30


@pytest.mark.parametrize(("jitter", "least"), [(1.0, 0.0), (0.5, 5.0)])
def test_jitter_is_a_share_of_the_pause(jitter: float, least: float) -> None:
    pauses = [Backoff(first=10, longest=10, jitter=jitter).pause(1) for _ in range(200)]
    assert least <= min(pauses) < max(pauses) <= 10
    assert max(pauses) - min(pauses) > (10 - least) / 2
