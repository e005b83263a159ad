"""Searches in packed views, packed tables and periods of reports (R12)."""

import uuid
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from tests.services.packed_views import MIDNIGHT_MS, PRODUCTS, VIEWS
from tests.stored_views import unpack
from vitrina.domain.reports import (
    MOST_DAYS,
    Counts,
    Period,
    is_closed,
    only,
    pack_table,
    product_id_of,
    product_key,
)
from vitrina.domain.views import PackedViews, View, pack
from vitrina.errors import ValidationFailed

DAY = date(2026, 11, 24)
COUNTS = st.builds(Counts, *[st.integers(min_value=0, max_value=2**32 - 1)] * 3)


@given(st.lists(VIEWS, max_size=30), st.sampled_from(PRODUCTS))
def test_one_products_views_are_found_among_all(views: list[View], product_id: str) -> None:
    """The bytes of its id may also occur in another view's visitor or time."""
    found = only(pack(views), product_key(product_id))
    assert list(unpack(found, DAY)) == [each for each in views if each.product_id == product_id]


def test_a_product_id_within_a_view_is_not_a_match() -> None:
    """The search continues at the next view."""
    wanted = uuid.UUID(bytes=bytes(16))
    other = View(str(uuid.UUID(bytes=b"\x01" * 4 + bytes(12))), MIDNIGHT_MS, bytes(12), None, bot=False)
    mine = View(str(wanted), MIDNIGHT_MS, b"\x02" * 12, None, bot=False)
    assert list(unpack(only(pack([other, other, mine]), wanted.bytes), DAY)) == [mine]


@given(st.dictionaries(st.uuids(), COUNTS, max_size=20))
def test_a_packed_table_does_not_depend_on_the_order(counts: dict[uuid.UUID, Counts]) -> None:
    """It has 28 bytes per product, ordered by id."""
    products = {product.bytes: each for product, each in counts.items()}
    table = pack_table(products)
    assert len(table) == 28 * len(products)
    assert pack_table(dict(reversed(products.items()))) == table
    assert [product_id_of(table[at : at + 16]) for at in range(0, len(table), 28)] == sorted(map(str, counts))


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, None, Period(date(2026, 10, 26), DAY)),
        (date(2026, 11, 24), None, Period(DAY, DAY)),
        (None, date(2024, 3, 1), Period(date(2024, 2, 1), date(2024, 3, 1))),
        (date(2025, 11, 24), DAY, Period(date(2025, 11, 24), DAY)),
        (None, date(1, 1, 2), Period(date.min, date(1, 1, 2))),
        (date(9999, 12, 1), date.max, Period(date(9999, 12, 1), date.max)),
    ],
)
def test_a_period_is_by_default_the_last_thirty_days(first: date | None, last: date | None, expected: Period) -> None:
    period = Period.of(first, last, today=DAY)
    assert period == expected
    assert len(list(period)) == len(period) == (expected.last - expected.first).days + 1
    assert (next(iter(period)), list(period)[-1]) == (expected.first, expected.last)


@pytest.mark.parametrize("first", [DAY + timedelta(days=1), DAY - timedelta(days=MOST_DAYS)])
def test_a_period_is_in_order_and_no_longer_than_a_year(first: date) -> None:
    with pytest.raises(ValidationFailed) as refused:
        Period.of(first, DAY, today=DAY)
    assert [error.path for error in refused.value.errors] == [("from",)]


def test_a_day_is_closed_an_hour_after_its_end() -> None:
    """Views may be stored late."""
    end = datetime(2026, 11, 25, 1, 0, tzinfo=UTC)
    assert is_closed(DAY, end)
    assert not is_closed(DAY, end - timedelta(milliseconds=1))


def test_packed_views_know_their_number() -> None:
    assert len(pack([View(PRODUCTS[0], MIDNIGHT_MS, bytes(12), None, bot=False)] * 3)) == 3
    assert len(PackedViews(events=b"", referrers=[])) == 0
