"""Sums of counts by product, compared with sums in plain Python (R12)."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from vitrina.domain.reports import Counts, pack_table, product_key
from vitrina.services.analytics import product_counts as module
from vitrina.services.analytics.product_counts import ProductCounts

PRODUCTS = [str(uuid.UUID(int=number << 64 | number)) for number in range(1, 8)]
COUNTS = st.builds(Counts, *[st.integers(min_value=0, max_value=2**32 - 1)] * 3)
TABLES = st.lists(st.dictionaries(st.sampled_from([product_key(each) for each in PRODUCTS]), COUNTS), max_size=12)


def added(tables: list[dict[bytes, Counts]]) -> ProductCounts:
    counts = ProductCounts()
    for table in tables:
        counts.add_table(pack_table(table))
    return counts


@pytest.fixture(params=[1, 256])
def _least_sums(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sum often, or after 256 rows only."""
    monkeypatch.setattr(module, "_LEAST_SUMS", request.param)


@pytest.mark.usefixtures("_least_sums")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TABLES)
def test_sums_are_those_of_the_tables(tables: list[dict[bytes, Counts]]) -> None:
    """Also above 32 bits; a product that only bots viewed is not among the most viewed."""
    sums = {
        product: Counts(*(sum(table.get(product, Counts())[kind] for table in tables) for kind in range(3)))
        for product in sorted({product for table in tables for product in table})
    }
    counts = added(tables)
    assert counts.all() == sums
    assert list(counts.all()) == list(sums)
    seen = sorted((product for product in sums if sums[product].views), key=lambda one: (-sums[one].views, one))
    expected = [(str(uuid.UUID(bytes=one)), sums[one]._replace(bots=0)) for one in seen]
    assert list(counts.most_viewed(99).items()) == expected
    assert list(counts.most_viewed(2).items()) == expected[:2]


def test_no_table_and_an_empty_table_count_nothing() -> None:
    counts = ProductCounts()
    assert (counts.all(), counts.most_viewed(9)) == ({}, {})
    counts.add_table(b"")
    assert (counts.all(), counts.most_viewed(9)) == ({}, {})


def test_threads_that_add_concurrently_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST_SUMS", 1)
    table = pack_table({product_key(product): Counts(1, 2, 3) for product in PRODUCTS})
    counts = ProductCounts()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(counts.add_table, [table] * 400))
    assert Counter(counts.all().values()) == {Counts(400, 800, 1200): len(PRODUCTS)}
