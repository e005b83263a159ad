"""View segments: each view is stored once, whatever is repeated, and its day and shard are fixed (R11)."""

import math
from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.store.samples import START
from tests.stored_views import StoredView, read, unpack
from vitrina.backoff import Backoff
from vitrina.domain.views import MOST_IN_SEGMENT, PackedViews, View, midnight_ms, shard_of
from vitrina.errors import TableUnavailable
from vitrina.ids import new_id, time_ms
from vitrina.store import keys
from vitrina.store.operations import Query
from vitrina.store.table import Table
from vitrina.store.views import ViewStore

NO_TABLE: Any = None
TODAY = START.date()
NOON_MS = int(datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture
def store(table: Table) -> ViewStore:
    """The store of views, on an empty table."""
    return ViewStore(table)


def view(product_id: str, *, ms: int = 0, referrer_host: str | None = None, bot: bool = False) -> View:
    """Return a view some milliseconds after noon."""
    return View(product_id, NOON_MS + ms, bytes(range(12)), referrer_host, bot)


async def stored(store: ViewStore, day: date, *, page: int = 200) -> list[StoredView]:
    """Read all views of a day."""
    return [one for shard in range(keys.VIEW_SHARDS) async for one in read(store, day, shard, page=page)]


async def of_product(store: ViewStore, product_id: str) -> list[View]:
    """Read today's views in the segments that a report of a product reads."""
    return [
        one
        for pages in store.pages_of_product(TODAY, product_id)
        async for segments in pages
        for segment in segments
        for one in unpack(segment.packed, TODAY)
    ]


@pytest.mark.parametrize(("number", "segments"), [(1, 1), (40, 1), (400, 8)])
async def test_views_are_read_back_unchanged(store: ViewStore, number: int, segments: int) -> None:
    """To the millisecond, with referrer and bot flag, from mixed segments and from those of one shard."""
    hosts = [None, "www.google.com", "news.example.org"]
    views = [view(new_id(), ms=ms, referrer_host=hosts[ms % 3], bot=ms == 5) for ms in range(number)]
    items = store.segments(views)
    assert len(items) == segments
    await store.put(items)
    assert sorted(one.view for one in await stored(store, TODAY)) == sorted(views)
    assert len(await stored(store, TODAY)) == number
    for one in views[:20]:
        assert one in await of_product(store, one.product_id)


async def test_a_report_of_a_product_reads_its_shard_and_the_mixed_segments(store: ViewStore) -> None:
    """It reads no other segments, and each view once."""
    product_id = new_id()
    shard = shard_of(product_id, keys.VIEW_SHARDS)
    apart = [view(new_id(), ms=ms) for ms in range(400)]
    mixed = [[view(new_id(), ms=1_000 * flush + ms) for ms in range(10)] for flush in range(1, 20)]
    for views in (apart, *mixed):
        await store.put(store.segments(views))
    read = await of_product(store, product_id)
    own = [one for one in apart if shard_of(one.product_id, keys.VIEW_SHARDS) == shard]
    assert sorted(read) == sorted([*own, *(one for views in mixed for one in views)])


@given(st.lists(st.integers(0, 40), max_size=150))
def test_views_are_mixed_where_that_halves_the_units(products: list[int]) -> None:
    """Or where several views of one shard fill less than a unit. Each view is written once."""
    store = ViewStore(NO_TABLE)
    views = [view(f"01a20ceb-ab32-7095-a216-7a34ed21{number:04}") for number in products]
    segments = store.segments(views)
    packed = [PackedViews(events=segment.events, referrers=segment.referrers or []) for segment in segments]
    assert sorted(one for part in packed for one in unpack(part, TODAY)) == sorted(views)
    shards = Counter(shard_of(one.product_id, keys.VIEW_SHARDS) for one in views)
    mixed, apart = units(len(views)), sum(map(units, shards.values()))
    if 2 * mixed <= apart or mixed == 1 < len(views):
        assert [segment.sk.startswith("MIXED#") for segment in segments] == [True] * bool(views)
    else:
        assert sorted(keys.day_and_shard(segment.pk)[1] for segment in segments) == sorted(shards)
        assert not any(segment.sk.startswith("MIXED#") for segment in segments)


def units(views: int) -> int:
    """Return the write units of a segment of so many views."""
    return math.ceil((82 + 35 * views) / 1024)


@pytest.mark.parametrize("products", [1, 2])
def test_small_flushes_spread_over_the_partitions_of_a_day_from_its_first_second(products: int) -> None:
    """Even of one product, which many processes may read: a partition takes 1,000 units a second."""
    midnight = midnight_ms(TODAY)
    views = [View(new_id(), midnight, bytes(12), None, bot=False) for _ in range(products)] * 3
    written = Counter(segment.pk for _ in range(800) for segment in ViewStore(NO_TABLE).segments(views))
    assert written.keys() == {keys.view_segments(TODAY, shard) for shard in range(keys.VIEW_SHARDS)}
    assert max(written.values()) < 200


async def test_event_ids_are_unique_and_stable(store: ViewStore) -> None:
    """A resumed export reads the same ids."""
    product_id = new_id()
    for _ in range(3):
        await store.put(store.segments([view(product_id)] * 3))
    ids = [one.event_id for one in await stored(store, TODAY)]
    assert len(set(ids)) == 9
    assert [one.event_id for one in await stored(store, TODAY, page=2)] == ids


async def test_a_repeated_flush_counts_nothing_twice(store: ViewStore) -> None:
    """The same views give segments with the same keys."""
    segments = [*store.segments([view(new_id()) for _ in range(50)]), *store.segments([view(new_id())])]
    await store.put(segments)
    await store.put(segments)
    assert len(await stored(store, TODAY)) == 51


async def test_many_views_of_a_product_take_several_segments(store: ViewStore) -> None:
    """Each stays under 16 KB."""
    views = [view(product_id := "01a20ceb-ab32-7095-a216-7a34ed216944", ms=ms) for ms in range(2 * MOST_IN_SEGMENT + 1)]
    segments = store.segments(views)
    assert [len(segment.events) for segment in segments] == [14_000, 14_000, 35]
    await store.put(segments)
    assert sorted(one.view for one in await stored(store, TODAY)) == views
    assert {one.view.product_id for one in await stored(store, TODAY)} == {product_id}


@pytest.mark.parametrize("length", [3, 253])
async def test_a_segment_stays_under_16_kb_whatever_its_referrers(store: ViewStore, length: int) -> None:
    """Many or long host names take more segments, and every view keeps its own."""
    product_id = new_id()
    views = [view(product_id, ms=ms, referrer_host=f"{ms:0{length}}") for ms in range(MOST_IN_SEGMENT)]
    segments = store.segments(views)
    for segment in segments:
        raw = segment.serialize()
        assert (
            sum(len(name) + len(str(next(iter(value.values())))) for name, value in raw.items() if name != "events")
            + len(raw["events"]["B"])
            < 16_384
        )
    await store.put(segments)
    assert sorted(one.view for one in await stored(store, TODAY)) == views


async def test_views_across_midnight_go_to_their_days(store: ViewStore) -> None:
    """The first millisecond of a day belongs to that day."""
    product_id = new_id()
    last, first = 12 * 3_600_000 - 1, 12 * 3_600_000
    await store.put(store.segments([view(product_id, ms=last), view(product_id, ms=first)]))
    assert [one.view.at_ms - NOON_MS for one in await stored(store, TODAY)] == [last]
    tomorrow = date.fromordinal(TODAY.toordinal() + 1)
    assert [one.view.at_ms - NOON_MS for one in await stored(store, tomorrow)] == [first]


async def test_more_segments_than_one_batch_are_all_written(store: ViewStore) -> None:
    """BatchWriteItem takes 25."""
    views = [view(new_id()) for _ in range(8)] * 4
    segments = [segment for one in views for segment in store.segments([one])]
    assert len(segments) == 32
    await store.put(segments)
    assert len(await stored(store, TODAY, page=3)) == 32


async def test_a_flush_without_views_makes_no_request(
    store: ViewStore, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DynamoDB refuses empty batches."""
    monkeypatch.delattr(type(table), "put_many")
    await store.put(store.segments([]))


async def test_a_segment_expires_with_its_last_day_or_never(table: Table) -> None:
    """A retention of one day keeps the whole of the next day."""
    for days, expires_at in [
        (0, None),
        (1, datetime(2026, 11, 26, tzinfo=UTC)),
        (30, datetime(2026, 12, 25, tzinfo=UTC)),
    ]:
        (segment,) = ViewStore(table, retention_days=days).segments([view(new_id())])
        assert segment.expires_at == (expires_at and int(expires_at.timestamp()))


async def test_a_failed_page_is_retried_as_often_as_requested(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read that takes hours has to outlast brief throttling."""
    store = ViewStore(table, backoff=Backoff(first=0, longest=0))
    views = [view("01a20ceb-ab32-7095-a216-7a34ed216944", ms=ms) for ms in range(3)]
    await store.put([segment for one in views for segment in store.segments([one])])
    shard = shard_of(views[0].product_id, keys.VIEW_SHARDS)
    read, failures = table.query_raw, 0

    async def fail(query: Query, *, limit: int, start: dict[str, str] | None = None) -> object:
        nonlocal failures
        failures += 1
        if failures % 3:
            raise TableUnavailable
        return await read(query, limit=limit, start=start)

    monkeypatch.setattr(table, "query_raw", fail)
    pages = [page async for page in store.pages(TODAY, shard, page=1, tries=3)]
    assert sum(map(len, pages)) == 3
    with pytest.raises(TableUnavailable):
        await anext(store.pages(TODAY, shard, tries=2))


@pytest.mark.parametrize(("sizes", "limits"), [([1] * 150, [64, 1_000]), ([MOST_IN_SEGMENT] * 90, [64, 74])])
async def test_a_page_requests_as_many_segments_as_fit(
    store: ViewStore, table: Table, monkeypatch: pytest.MonkeyPatch, sizes: list[int], limits: list[int]
) -> None:
    """First for segments of the largest size, then of the size seen so far; all are read."""
    product = "01a20ceb-ab32-7095-a216-7a34ed216944"
    await store.put([segment for size in sizes for segment in store.segments([view(product)] * size)])
    read, asked = table.query_raw, []

    async def count(query: Query, *, limit: int, start: dict[str, str] | None = None) -> Any:  # noqa: ANN401
        asked.append(limit)
        return await read(query, limit=limit, start=start)

    monkeypatch.setattr(table, "query_raw", count)
    pages = [len(page) async for page in store.pages(TODAY, shard_of(product, keys.VIEW_SHARDS))]
    assert (sum(pages), asked) == (len(sizes), limits)


async def test_a_segment_knows_its_partition_and_its_time(store: ViewStore) -> None:
    """Exports from DynamoDB to S3 identify their segments by them."""
    before = int(datetime.now(UTC).timestamp() * 1000)
    (segment,) = store.segments([view("01a20ceb-ab32-7095-a216-7a34ed216944")])
    day, shard = keys.day_and_shard(segment.pk)
    assert keys.view_segments(day, shard) == segment.pk
    assert before <= time_ms(segment.sk) <= int(datetime.now(UTC).timestamp() * 1000)
    (mixed,) = store.segments([view(f"01a20ceb-ab32-7095-a216-7a34ed21694{last}") for last in range(8)])
    assert mixed.sk == f"MIXED#{keys.segment_id(mixed.sk)}"
    assert before <= time_ms(keys.segment_id(mixed.sk)) <= int(datetime.now(UTC).timestamp() * 1000)
    with pytest.raises(ValueError, match="holds no views"):
        keys.day_and_shard("PRODUCT#2026-11-24#1")
