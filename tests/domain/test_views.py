"""Views in their packed form."""

import uuid
from datetime import UTC, date, datetime

from hypothesis import given, strategies as st

from tests.stored_views import unpack
from vitrina.domain.views import (
    MOST_IN_SEGMENT,
    VISITOR_BYTES,
    View,
    day_of,
    pack,
    shard_of,
    visitor_hash,
    visitor_key,
)

DAY = date(2026, 11, 24)
MIDNIGHT_MS = int(datetime(2026, 11, 24, tzinfo=UTC).timestamp() * 1000)
VIEWS = st.builds(
    View,
    product_id=st.uuids().map(str),
    at_ms=st.integers(min_value=MIDNIGHT_MS, max_value=MIDNIGHT_MS + 86_399_999),
    visitor=st.binary(min_size=VISITOR_BYTES, max_size=VISITOR_BYTES),
    referrer_host=st.none() | st.sampled_from(["example.com", "shop.example", "münchen.example"]),
    bot=st.booleans(),
)


@given(st.lists(VIEWS, max_size=40))
def test_views_are_unpacked_as_they_were_packed(views: list[View]) -> None:
    """In the same order; a view takes 35 bytes, and each referrer is stored once."""
    packed = pack(views)
    assert list(unpack(packed, DAY)) == views
    assert len(packed.events) == 35 * len(views)
    assert len(set(packed.referrers)) == len(packed.referrers)


def test_a_full_segment_stays_under_16_kb() -> None:
    """Even if each view has a referrer of its own."""
    views = [
        View(str(uuid.uuid4()), MIDNIGHT_MS + number, bytes(VISITOR_BYTES), f"{number}.example", bot=False)
        for number in range(MOST_IN_SEGMENT)
    ]
    packed = pack(views)
    assert list(unpack(packed, DAY)) == views
    assert len(packed.events) <= 14_000


def test_a_day_begins_at_midnight_utc() -> None:
    assert day_of(MIDNIGHT_MS) == day_of(MIDNIGHT_MS + 86_399_999) == DAY
    assert day_of(MIDNIGHT_MS - 1) == date(2026, 11, 23)


@given(st.uuids().map(str))
def test_a_product_has_one_shard(product_id: str) -> None:
    """It must never change, because stored views are found by it."""
    assert 0 <= shard_of(product_id, 8) < 8
    assert shard_of("00000000-0000-7000-8000-000000000000", 8) == 7


def test_a_visitor_has_one_hash_per_day() -> None:
    """It depends on address and agent together, and on the secret (R11)."""
    key, next_key, others = visitor_key(b"s", DAY), visitor_key(b"s", date(2026, 11, 25)), visitor_key(b"t", DAY)
    seen = visitor_hash(key, "192.0.2.1", "Firefox")
    assert seen == visitor_hash(visitor_key(b"s", DAY), "192.0.2.1", "Firefox")
    assert len(seen) == VISITOR_BYTES
    different = {
        visitor_hash(key, "192.0.2.1", "Chrome"),
        visitor_hash(key, "192.0.2.2", "Firefox"),
        visitor_hash(next_key, "192.0.2.1", "Firefox"),
        visitor_hash(others, "192.0.2.1", "Firefox"),
    }
    assert len(different | {seen}) == 5
