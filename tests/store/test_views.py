"""View segments: every view is there once, whatever is repeated, and its day and shard are fixed (R11)."""

from datetime import UTC, date, datetime

import pytest

from tests.store.samples import START
from vitrina.domain.views import MOST_IN_SEGMENT, View, shard_of
from vitrina.errors import TableUnavailable
from vitrina.ids import new_id, time_ms
from vitrina.store import keys
from vitrina.store.reads import Query
from vitrina.store.table import Table
from vitrina.store.views import StoredView, ViewStore

pytestmark = pytest.mark.engine("moto", "dynamodb_local", "ministack")
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
    return [one for shard in range(keys.VIEW_SHARDS) async for one in store.read(day, shard, page=page)]


async def test_views_come_back_as_they_were(store: ViewStore) -> None:
    """To the millisecond, with referrer and bot flag, each in the shard of its product."""
    views = [
        view(
            new_id(), ms=number, referrer_host=[None, "www.google.com", "news.example.org"][number % 3], bot=number == 5
        )
        for number in range(40)
    ]
    await store.put(store.segments(views))
    assert sorted(one.view for one in await stored(store, TODAY)) == sorted(views)
    for one in await stored(store, TODAY):
        shard = shard_of(one.view.product_id, keys.VIEW_SHARDS)
        assert one in [other async for other in store.read(TODAY, shard)]


async def test_ids_of_events_are_unique_and_stay_the_same(store: ViewStore) -> None:
    """An export that is resumed meets the same ones."""
    product_id = new_id()
    for _ in range(3):
        await store.put(store.segments([view(product_id)] * 3))
    ids = [one.event_id for one in await stored(store, TODAY)]
    assert len(set(ids)) == 9
    assert [one.event_id for one in await stored(store, TODAY, page=2)] == ids


async def test_a_flush_that_is_repeated_counts_nothing_twice(store: ViewStore) -> None:
    """The same segments have the same keys."""
    segments = store.segments([view(new_id()) for _ in range(50)])
    await store.put(segments)
    await store.put(segments)
    assert len(await stored(store, TODAY)) == 50


async def test_more_views_of_a_product_than_a_segment_holds_take_several(store: ViewStore) -> None:
    """Each stays under 16 KB."""
    views = [view(product_id := "01a20ceb-ab32-7095-a216-7a34ed216944", ms=ms) for ms in range(2 * MOST_IN_SEGMENT + 1)]
    segments = store.segments(views)
    assert [len(segment.events) for segment in segments] == [14_000, 14_000, 35]
    await store.put(segments)
    assert sorted(one.view for one in await stored(store, TODAY)) == views
    assert {one.view.product_id for one in await stored(store, TODAY)} == {product_id}


@pytest.mark.parametrize("length", [3, 253])
async def test_a_segment_stays_under_16_kb_whatever_its_referrers(store: ViewStore, length: int) -> None:
    """Many hosts, long or short, take more segments, and every view comes back with its own."""
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
    """The first millisecond of a day is its own."""
    product_id = new_id()
    last, first = 12 * 3_600_000 - 1, 12 * 3_600_000
    await store.put(store.segments([view(product_id, ms=last), view(product_id, ms=first)]))
    assert [one.view.at_ms - NOON_MS for one in await stored(store, TODAY)] == [last]
    tomorrow = date.fromordinal(TODAY.toordinal() + 1)
    assert [one.view.at_ms - NOON_MS for one in await stored(store, tomorrow)] == [first]


async def test_more_segments_than_one_call_takes_are_all_written(store: ViewStore) -> None:
    """BatchWriteItem takes 25."""
    views = [view(new_id()) for _ in range(8)] * 4
    segments = [segment for one in views for segment in store.segments([one])]
    assert len(segments) == 32
    await store.put(segments)
    assert len(await stored(store, TODAY, page=3)) == 32


async def test_no_views_are_no_call(store: ViewStore, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """DynamoDB refuses empty batches."""
    monkeypatch.delattr(type(table), "put_many")
    await store.put(store.segments([]))


async def test_a_segment_expires_with_its_last_day_or_never(table: Table) -> None:
    """A retention of a day keeps the whole of the next day."""
    for days, expires_at in [
        (0, None),
        (1, datetime(2026, 11, 26, tzinfo=UTC)),
        (30, datetime(2026, 12, 25, tzinfo=UTC)),
    ]:
        (segment,) = ViewStore(table, retention_days=days).segments([view(new_id())])
        assert segment.expires_at == (expires_at and int(expires_at.timestamp()))


async def test_a_page_that_fails_is_tried_again_as_often_as_was_asked(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes hours outlasts a moment's throttling, and no more."""
    store = ViewStore(table, pause=0)
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


async def test_a_segment_tells_its_partition_and_its_time(store: ViewStore) -> None:
    """Exports of the table know their segments by them."""
    before = int(datetime.now(UTC).timestamp() * 1000)
    (segment,) = store.segments([view("01a20ceb-ab32-7095-a216-7a34ed216944")])
    day, shard = keys.day_and_shard(segment.pk)
    assert keys.view_segments(day, shard) == segment.pk
    assert before <= time_ms(segment.sk) <= int(datetime.now(UTC).timestamp() * 1000)
    with pytest.raises(ValueError, match="holds no views"):
        keys.day_and_shard("PRODUCT#2026-11-24#1")
