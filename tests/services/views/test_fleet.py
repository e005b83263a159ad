"""What many processes together do to the table, in simulated time (`scripts/bench fleet`)."""

import pytest

from scripts.benchmarks import fleet


def test_fifty_processes_pack_four_views_in_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 10,000 reads a second in all, a call of 6 ms, and at most 25 ms more for a reader."""
    monkeypatch.setattr(fleet, "SECONDS", 0.3)
    assert all(figure.passed is not False for figure in fleet._compare(50, 1))
