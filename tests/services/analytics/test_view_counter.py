"""The view counter, in memory and on disk, compared with a count of the unpacked views (R12)."""

import errno
import tempfile
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.services.packed_views import MIDNIGHT_MS, PRODUCTS, VIEWS
from vitrina.domain.reports import OTHER, Counts, product_key
from vitrina.domain.views import VISITOR_BYTES, View, pack
from vitrina.errors import NoRoom
from vitrina.services.analytics import product_counts, view_counter as module
from vitrina.services.analytics.view_counter import Totals, ViewCounter
from vitrina.services.exports import columns


@pytest.fixture(params=["in memory", "on disk"])
def _memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep all pairs in memory, or only three of them and two products."""
    if request.param == "on disk":
        monkeypatch.setattr(module, "_MOST_IN_MEMORY", 3)
        monkeypatch.setattr(product_counts, "_LEAST_SUMS", 2)


def view(product_id: str = PRODUCTS[0], *, visitor: int = 0, host: str | None = None, bot: bool = False) -> View:
    """Return a view at the start of the day."""
    return View(product_id, MIDNIGHT_MS, visitor.to_bytes(VISITOR_BYTES), host, bot)


def counted(*adds: list[list[View]]) -> tuple[ViewCounter, Totals]:
    """Count segments, some at a time."""
    with ViewCounter() as counter:
        for segments in adds:
            counter.add([pack(views) for views in segments])
        return counter, counter.totals()


@pytest.mark.usefixtures("_memory")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.lists(VIEWS, max_size=12), max_size=4), max_size=4))
def test_views_are_counted_by_product_hour_visitor_and_referrer(adds: list[list[list[View]]]) -> None:
    """Bots are counted by product and hour only."""
    counter, totals = counted(*adds)
    views = [each for segments in adds for segment in segments for each in segment]
    people = [each for each in views if not each.bot]
    assert totals.products == {
        product_key(product_id): Counts(
            views=sum(each.product_id == product_id for each in people),
            unique_visitors=len({each.visitor for each in people if each.product_id == product_id}),
            bots=sum(each.product_id == product_id and each.bot for each in views),
        )
        for product_id in {each.product_id for each in views}
    }
    assert list(totals.products) == sorted(totals.products)
    assert totals.unique_visitors == len({each.visitor for each in people})
    assert counter.referrers == Counter(each.referrer_host for each in people)
    assert [list(hour) for hour in counter.hours] == [
        [
            sum((each.at_ms - MIDNIGHT_MS) // 3_600_000 == hour and each.bot is bot for each in views)
            for bot in (False, True)
        ]
        for hour in range(24)
    ]


def test_memory_does_not_grow_with_the_number_of_views(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times as many views, each by another visitor."""
    monkeypatch.setattr(module, "_MOST_IN_MEMORY", 5_000)
    peaks = []
    for number in (20_000, 200_000):
        before = pa.total_allocated_bytes()
        peak = 0
        with ViewCounter() as counter:
            for first in range(0, number, 400):
                counter.add([pack([view(visitor=one << 64) for one in range(first, first + 400)])])
                peak = max(peak, pa.total_allocated_bytes() - before)
            assert counter.totals() == ({product_key(PRODUCTS[0]): Counts(number, number)}, number)
        peaks.append(peak)
    assert peaks[1] <= peaks[0] * 1.1


def test_hosts_past_the_limit_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients can send any `Referer`; a host that was counted before still has a count of its own."""
    monkeypatch.setattr(module, "_MOST_HOSTS", 2)
    counter, _ = counted([[view(host="a"), view(host="b")], [view(host="c"), view(host="a")]], [[view(host="d")]])
    assert counter.referrers == {"a": 2, "b": 1, OTHER: 2}


def test_a_full_disk_raises_no_room_and_closes_the_file(monkeypatch: pytest.MonkeyPatch) -> None:

    class Full:
        def __init__(self) -> None:
            self.closed = False

        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            self.closed = True

    full = Full()
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
    monkeypatch.setattr(module, "_MOST_IN_MEMORY", 1)
    with pytest.raises(NoRoom, match="No space left"):
        counted([[view(), view()]])
    assert full.closed


def test_columns_are_where_the_views_are_packed() -> None:
    """The positions in `columns` must match the packing in `domain.views`."""
    seen = [view(PRODUCTS[1], visitor=7, host="a"), view(PRODUCTS[2], visitor=8, host=None, bot=True)]
    segments = [pack(seen[:1]), pack(seen)]
    data = columns.joined(segments)
    assert columns.number(data, columns.TIME, pa.int32()).to_pylist() == [0, 0, 0]
    assert columns.referrers(data, segments).to_pylist() == [1, 3, 2]
    assert [value[slice(*columns.VISITOR)] for value in columns.fixed(data).to_pylist()][-1] == seen[1].visitor
    assert list(data[columns.FLAGS :: len(data) // 3]) == [0, 0, 1]
