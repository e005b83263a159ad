"""Rollups are created once, are reproducible byte for byte, and equal a recount of the segments (R12)."""

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings as hypothesis, strategies as st

from tests.service import Clock
from tests.stored_views import read
from vitrina.clock import now
from vitrina.domain.reports import ROW_BYTES, Counts, DaySummary, Period, pack_table, product_key
from vitrina.domain.views import View, shard_of
from vitrina.errors import NoRoom, TableUnavailable
from vitrina.ids import new_id
from vitrina.services.analytics.rollups import DayOpen, RollupQueue, Rollups, SegmentsGone
from vitrina.services.analytics.view_counter import ViewCounter
from vitrina.store import keys, rollups as rollups_module
from vitrina.store.items import Item, ViewRollupItem
from vitrina.store.operations import Put, Query
from vitrina.store.rollups import RollupStore, RollupTorn, StoredRollup
from vitrina.store.table import Table
from vitrina.store.views import Segment, ViewStore

DAY = date(2025, 11, 20)
NEVER_USED = (date(2020, 1, 1) + timedelta(days=number) for number in itertools.count())
PRODUCTS = [new_id() for _ in range(30)]
FEW = PRODUCTS[:8]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Late views need no time to arrive: the tests have stored them."""
    monkeypatch.setattr("vitrina.services.analytics.rollups._SETTLING", 0)


@pytest.fixture
def store(table: Table) -> RollupStore:
    """The store of rollups, on an empty table."""
    return RollupStore(table)


@pytest.fixture
def clock() -> Clock:
    """A clock at which `DAY` has just been closed."""
    return Clock(datetime(2025, 11, 21, 1, 0, tzinfo=UTC))


@pytest.fixture
def rollups(table: Table, store: RollupStore, clock: Clock) -> Rollups:
    """The rollup service."""
    return Rollups(ViewStore(table), store, clock=clock)


def view(product_id: str, day: date = DAY, *, hour: int = 12, visitor: int = 0, **fields: Any) -> View:  # noqa: ANN401
    """Return a view of a day."""
    at = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    values = {"referrer_host": None, "bot": False} | fields
    return View(product_id, int(at.timestamp() * 1000), visitor.to_bytes(12), **values)


async def write(table: Table, views: Sequence[View]) -> None:
    """Store views in small batches, as the flushes of the API do."""
    store = ViewStore(table)
    for first in range(0, len(views), 7):
        await store.put(store.segments(views[first : first + 7]))


async def recount(table: Table, day: date) -> dict[str, Counts]:
    """Count a day's views the simplest way."""
    views = [one.view for shard in range(keys.VIEW_SHARDS) async for one in read(ViewStore(table), day, shard)]
    return {
        product_id: Counts(
            views=sum(each.product_id == product_id and not each.bot for each in views),
            unique_visitors=len({each.visitor for each in views if each.product_id == product_id and not each.bot}),
            bots=sum(each.product_id == product_id and each.bot for each in views),
        )
        for product_id in {each.product_id for each in views}
    }


async def items_of(table: Table, day: date) -> list[dict[str, Any]]:
    """Return all items of a day's rollup as they are stored, but for its generation and when it was made."""
    partitions = [keys.view_tallies(day), keys.VIEW_ROLLUPS, *(keys.product(one).pk for one in PRODUCTS)]
    found: list[Item] = []
    for partition in partitions:
        found += (await table.query(Query(condition=Item.pk == partition, consistent=True), limit=500))[0]
    return [item.serialize() | dict.fromkeys(("made_at", "generation")) for item in found]


async def counts_of(store: RollupStore, product_id: str, day: date = DAY) -> Counts | None:
    """Return the counts of a product on a day with a rollup."""
    return (await store.of_product(product_id, await store.stored(Period(day, day)))).get(day)


async def tables_of(store: RollupStore, day: date = DAY) -> list[bytes]:
    """Return the packed tables of a day with a rollup."""
    rollup = (await store.stored(Period(day, day)))[day]
    return [table async for table in store.tables(day, rollup)]


async def summary_of(store: RollupStore, day: date = DAY) -> DaySummary | None:
    """Return the summary of a day."""
    found = await store.summary(day)
    return found and found[0]


@hypothesis(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(FEW),
            st.integers(0, 23),
            st.integers(0, 5),
            st.none() | st.sampled_from(["a.example", "b.example"]),
            st.booleans(),
        ),
        max_size=60,
    )
)
async def test_a_rollup_equals_a_recount(
    table: Table, store: RollupStore, rollups: Rollups, seen: list[tuple[str, int, int, str | None, bool]]
) -> None:
    """By product, in the day's table and in its summary, for any views; a live count gives the same."""
    day = next(NEVER_USED)
    views = [view(one, day, hour=hour, visitor=by, referrer_host=host, bot=bot) for one, hour, by, host, bot in seen]
    await write(table, views)
    summary, live = await rollups.count_day(day, at_once=2)
    assert await rollups.roll_up(day, at_once=3)
    expected = await recount(table, day)
    of_day = Period(day, day)
    for product_id in FEW:
        assert await counts_of(store, product_id, day) == expected.get(product_id)
        counts = expected.get(product_id, Counts())
        assert await rollups.count_product(day, product_id) == counts
    shards: dict[int, dict[bytes, Counts]] = {}
    for product_id, counts in expected.items():
        shards.setdefault(shard_of(product_id, keys.VIEW_SHARDS), {})[product_key(product_id)] = counts
    assert b"".join(await tables_of(store, day)) == b"".join(pack_table(shards[shard]) for shard in sorted(shards))
    assert live == {product: counts for products in shards.values() for product, counts in products.items()}
    people = [each for each in views if not each.bot]
    hosts = Counter(each.referrer_host for each in people)
    direct = hosts.pop(None, 0)
    assert summary == await summary_of(store, day)
    assert summary == DaySummary(
        day=day,
        total=Counts(len(people), len({each.visitor for each in people}), len(views) - len(people)),
        products=len(expected),
        hours=summary.hours,
        referrers=sorted(((str(host), number) for host, number in hosts.items()), key=lambda one: (-one[1], one[0])),
        direct=direct,
        other=0,
    )
    assert [sum(hour) for hour in summary.hours] == [sum(one[1] == hour for one in seen) for hour in range(24)]
    assert await store.totals(of_day) == {day: summary.total}


async def test_a_rollup_made_again_is_the_same_bytes(table: Table, rollups: Rollups) -> None:
    """A rollup can be deleted and made again; without `again` an existing one is kept."""
    await write(table, [view(PRODUCTS[number % 30], visitor=number % 7, bot=number % 5 == 0) for number in range(200)])
    assert await rollups.roll_up(DAY)
    first = await items_of(table, DAY)
    assert not await rollups.roll_up(DAY)
    assert await rollups.roll_up(DAY, again=True, at_once=8)
    assert await items_of(table, DAY) == first
    assert len(first) > 30


async def test_a_rollup_made_again_contains_late_views(table: Table, store: RollupStore, rollups: Rollups) -> None:
    """Including those of a product without earlier views."""
    await write(table, [view(PRODUCTS[0])])
    await rollups.roll_up(DAY)
    await write(table, [view(PRODUCTS[0], visitor=1), view(PRODUCTS[1])])
    await rollups.roll_up(DAY, again=True)
    period = Period(DAY, DAY)
    assert await counts_of(store, PRODUCTS[0]) == Counts(2, 2, 0)
    assert await counts_of(store, PRODUCTS[1]) == Counts(1, 1, 0)
    assert await store.totals(period) == {DAY: Counts(3, 2, 0)}


async def test_a_rollup_is_kept_when_its_segments_have_expired(
    table: Table, store: RollupStore, rollups: Rollups
) -> None:
    """A recount would find nothing."""
    segments = ViewStore(table).segments([view(PRODUCTS[0], bot=True), view(PRODUCTS[0])])
    await ViewStore(table).put(segments)
    await rollups.roll_up(DAY)
    await table.delete_many([keys.Key(segment.pk, segment.sk) for segment in segments])
    with pytest.raises(SegmentsGone):
        await rollups.roll_up(DAY, again=True)
    assert await counts_of(store, PRODUCTS[0]) == Counts(1, 1, 1)


async def test_a_day_that_may_still_grow_is_not_rolled_up(rollups: Rollups, clock: Clock) -> None:
    """Views are stored up to an hour after the end of their day."""
    clock.at -= timedelta(milliseconds=1)
    with pytest.raises(DayOpen):
        await rollups.roll_up(DAY)


async def test_a_clock_that_is_ahead_rolls_no_day_up(table: Table, store: RollupStore) -> None:
    """The table's own clock decides, by the header `Date` of its response. The background work goes on."""
    ahead = now() + timedelta(hours=26)
    rollups = Rollups(ViewStore(table), store, clock=lambda: ahead)
    today = now().date()
    await write(table, [view(PRODUCTS[0], today)])
    with pytest.raises(DayOpen):
        await rollups.roll_up(today)
    queue = RollupQueue(rollups)
    queue.add(today)
    queue.add(DAY)
    await queue.done()
    assert await RollupStore(table, clock=lambda: ahead).totals(Period(DAY, today)) == {DAY: Counts()}


async def test_the_table_decides_before_the_counting_begins(
    table: Table, store: RollupStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count that began before the day had closed may lack views, even if it ends after it."""
    day = now().date() - timedelta(days=1)
    closes = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1, hours=1)
    table_time = closes - timedelta(seconds=5)
    get_dated = table.get_dated

    async def dated(key: keys.Key) -> tuple[Item | None, datetime]:
        return (await get_dated(key))[0], table_time

    monkeypatch.setattr(table, "get_dated", dated)
    rollups = Rollups(ViewStore(table), store, clock=lambda: closes + timedelta(hours=1))
    counted: list[int] = []
    with pytest.raises(DayOpen):
        await rollups.roll_up(day, advance=counted.append)
    assert counted == []
    table_time = closes
    assert await rollups.roll_up(day)
    made = await table.get(keys.view_rollup(day), consistent=True)
    assert isinstance(made, ViewRollupItem)
    assert made.made_at == table_time
    assert await RollupStore(table, clock=lambda: closes).totals(Period(day, day)) == {day: Counts()}


async def flush(table: Table, views: Sequence[View], at: datetime) -> list[date]:
    """Store views as a flush at this time does; return the days whose rollups it outdates."""
    store = ViewStore(table, clock=lambda: at)
    return sorted(await store.put_late(store.segments(views)))


async def test_views_that_are_stored_after_their_day_has_closed_outdate_its_rollup(
    table: Table, store: RollupStore, rollups: Rollups
) -> None:
    """From half an hour before, since clocks differ. The next report counts the day anew, then the rollup counts it."""
    await write(table, [view(PRODUCTS[0])])
    await rollups.roll_up(DAY)
    period = Period(DAY, DAY)
    closes = datetime(2025, 11, 21, 1, tzinfo=UTC)
    assert await flush(table, [view(PRODUCTS[0], visitor=1)], closes - timedelta(minutes=31)) == []
    assert await store.totals(period) == {DAY: Counts(1, 1, 0)}
    today = view(PRODUCTS[1], DAY + timedelta(days=1), hour=0)
    assert await flush(table, [view(PRODUCTS[1]), today], closes - timedelta(minutes=30)) == [DAY]
    assert (await store.totals(period), await summary_of(store)) == ({}, None)
    assert await rollups.roll_up(DAY)
    assert await store.totals(period) == {DAY: Counts(3, 2, 0)}
    assert not await rollups.roll_up(DAY)
    for _ in range(2):  # The second generation is another one.
        await flush(table, [view(PRODUCTS[2], visitor=2)], closes + timedelta(hours=9))
    assert await store.totals(period) == {}
    assert await rollups.roll_up(DAY)
    assert await store.totals(period) == {DAY: Counts(5, 3, 0)}


@pytest.mark.parametrize("rolled_up", [False, True])
async def test_views_that_are_stored_during_the_counting_are_counted(
    table: Table,
    store: RollupStore,
    rollups: Rollups,
    rolled_up: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether the day had a rollup before or not."""
    if rolled_up:
        await rollups.roll_up(DAY)
    await write(table, [view(PRODUCTS[0])])
    put_summary, closes = store.put_summary, datetime(2025, 11, 21, 1, tzinfo=UTC)
    late = [[view(PRODUCTS[1])], [view(PRODUCTS[2], visitor=1)]]

    async def put_after_a_flush(summary: DaySummary, *, generation: str | None) -> None:
        if late:
            await flush(table, late.pop(), closes)
        await put_summary(summary, generation=generation)

    monkeypatch.setattr(store, "put_summary", put_after_a_flush)
    assert await rollups.roll_up(DAY, again=rolled_up)
    assert await store.totals(Period(DAY, DAY)) == {DAY: Counts(3, 2, 0)}


async def test_a_rollup_that_was_made_during_the_counting_is_not_replaced_by_an_older_one(
    table: Table, store: RollupStore, rollups: Rollups, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes may count a day at once; the slower one has not read the views that the faster one has counted."""
    await write(table, [view(PRODUCTS[0])])
    put_summary, faster = store.put_summary, Rollups(ViewStore(table), RollupStore(table), clock=clock)
    late = [view(PRODUCTS[0], visitor=1), view(PRODUCTS[1])]

    async def put_after_the_faster_one(summary: DaySummary, *, generation: str | None) -> None:
        if late:
            await flush(table, late, clock())
            late.clear()
            assert await faster.roll_up(DAY)
        await put_summary(summary, generation=generation)

    monkeypatch.setattr(store, "put_summary", put_after_the_faster_one)
    await rollups.roll_up(DAY)
    assert await store.totals(Period(DAY, DAY)) == {DAY: Counts(3, 2, 0)}
    counts = {product_key(PRODUCTS[0]): Counts(2, 2, 0), product_key(PRODUCTS[1]): Counts(1, 1, 0)}
    rows = b"".join(await tables_of(store))
    assert {rows[first : first + ROW_BYTES] for first in range(0, len(rows), ROW_BYTES)} == {
        pack_table({product: count}) for product, count in counts.items()
    }


async def test_a_rollup_that_dies_while_it_is_made_again_does_not_count(
    table: Table, store: RollupStore, rollups: Rollups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its items and the totals would be of two countings. The next run makes it, and keeps what was written."""
    monkeypatch.setattr(rollups_module, "_PRODUCTS_OF_PART", 1)
    await write(table, [view(one) for one in FEW])
    await rollups.roll_up(DAY)
    await write(table, [view(one, visitor=1) for one in FEW])
    put_many, most, written = table.put_many, 3, 0

    async def dying(items: Sequence[Item]) -> None:
        nonlocal written
        if written == most:
            raise TableUnavailable
        written += len(items)
        await put_many(items)

    monkeypatch.setattr(table, "put_many", dying)
    with pytest.raises(TableUnavailable):
        await rollups.roll_up(DAY, again=True)
    assert await store.totals(Period(DAY, DAY)) == {}
    most = 100
    assert await rollups.roll_up(DAY)
    assert written == len(FEW)
    assert await store.totals(Period(DAY, DAY)) == {DAY: Counts(16, 2, 0)}
    assert [await counts_of(store, one) for one in FEW] == [Counts(2, 2, 0)] * len(FEW)


async def test_a_rollup_that_is_made_again_can_die_at_any_write(
    table: Table, store: RollupStore, rollups: Rollups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rollup counts as it was before the first write, and after that not until the next run has made it."""
    two, left = PRODUCTS[:2], 0

    def dying(write: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*arguments: Any) -> Any:  # noqa: ANN401
            nonlocal left
            if left == 0:
                raise TableUnavailable
            left -= 1
            return await write(*arguments)

        return call

    for writes in itertools.count():
        day = next(NEVER_USED)
        await write(table, [view(one, day) for one in two])
        await rollups.roll_up(day)
        await write(table, [view(one, day, visitor=1) for one in two])
        left, is_dead = writes, False
        with monkeypatch.context() as killed:
            for method in ("put", "put_many", "update"):
                killed.setattr(table, method, dying(getattr(table, method)))
            try:
                await rollups.roll_up(day, again=True)
            except TableUnavailable:
                is_dead = True
        totals = (await store.totals(Period(day, day))).get(day)
        if not is_dead:
            assert writes >= 5  # 7, unless both products are of one shard
            assert totals == Counts(4, 2, 0)
            return
        assert totals == (Counts(2, 1, 0) if writes == 0 else None)
        assert await rollups.roll_up(day) == (writes > 0)
        of_each = Counts(2, 2, 0) if writes else Counts(1, 1, 0)
        assert [await counts_of(store, one, day) for one in two] == [of_each, of_each]
        assert sum(map(len, await tables_of(store, day))) == 2 * ROW_BYTES


@pytest.mark.parametrize("written", ["products", "tables", "summary"])
async def test_items_of_another_rollup_are_noticed(
    table: Table, store: RollupStore, rollups: Rollups, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that began before late views came, and was slow, replaced them and died. The day is counted anew."""
    await write(table, [view(PRODUCTS[0])])
    put_totals = store.put_totals

    async def die(*_: object, **__: object) -> bool:
        raise TableUnavailable

    monkeypatch.setattr(store, "put_totals", die)
    with pytest.raises(TableUnavailable):
        await rollups.roll_up(DAY)
    of_slow_one = {
        "products": await table.get(keys.view_day(PRODUCTS[0], DAY), consistent=True),
        "tables": (await table.query(Query(condition=Item.pk == keys.view_tallies(DAY)), limit=1))[0][0],
        "summary": await table.get(keys.view_summary(DAY), consistent=True),
    }[written]
    assert of_slow_one is not None
    monkeypatch.setattr(store, "put_totals", put_totals)
    await flush(table, [view(PRODUCTS[0], visitor=1)], datetime(2025, 11, 21, 2, tzinfo=UTC))
    await rollups.roll_up(DAY)
    await table.put(Put(of_slow_one))

    reads = {"products": counts_of(store, PRODUCTS[0]), "tables": tables_of(store), "summary": summary_of(store)}
    torn_by = reads.pop(written)
    await asyncio.gather(*reads.values())
    with pytest.raises(RollupTorn) as torn:
        await torn_by
    assert await store.outdate(DAY, None) is None
    assert await store.outdate(DAY, torn.value.generation)
    assert await rollups.roll_up(DAY)
    assert await counts_of(store, PRODUCTS[0]) == Counts(2, 2, 0)
    assert await tables_of(store) == [pack_table({product_key(PRODUCTS[0]): Counts(2, 2, 0)})]
    summary = await summary_of(store)
    assert summary is not None
    assert summary.total == Counts(2, 2, 0)


async def test_late_views_outdate_the_rollup_before_they_are_stored(
    table: Table, store: RollupStore, rollups: Rollups, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the process dies in between, the day is counted once in vain. What counts it again waits for the views."""
    await rollups.roll_up(DAY)
    views = ViewStore(table, clock=clock)
    segments, put_many = views.segments([view(PRODUCTS[0])]), table.put_many

    async def lost(_: object) -> None:
        raise TableUnavailable

    with monkeypatch.context() as killed:
        killed.setattr(table, "put_many", lost)
        with pytest.raises(TableUnavailable):
            await views.put_late(segments)
    assert await store.totals(Period(DAY, DAY)) == {}

    async def sleep(_: float) -> None:
        await put_many(segments)

    monkeypatch.setattr("vitrina.services.analytics.rollups.asyncio.sleep", sleep)
    assert await rollups.roll_up(DAY)
    assert await store.totals(Period(DAY, DAY)) == {DAY: Counts(1, 1, 0)}


async def test_an_outdated_rollup_whose_segments_have_expired_counts_as_it_was(
    table: Table, store: RollupStore, rollups: Rollups, clock: Clock
) -> None:
    """It says that views may be missing, once; until then reports take what has more views."""
    seen = ViewStore(table).segments([view(PRODUCTS[0]), view(PRODUCTS[0], bot=True)])
    await ViewStore(table).put(seen)
    await rollups.roll_up(DAY)
    late = ViewStore(table, clock=clock)
    await late.put_late(late_ones := late.segments([view(PRODUCTS[0], visitor=1)]))
    await table.delete_many([keys.Key(segment.pk, segment.sk) for segment in (*seen, *late_ones)])
    with pytest.raises(SegmentsGone):
        await rollups.roll_up(DAY)
    assert not await rollups.roll_up(DAY)
    rollup = (await store.stored(Period(DAY, DAY)))[DAY]
    assert (rollup.counts, rollup.is_valid, rollup.may_lack_views) == (Counts(1, 1, 1), True, True)
    assert await counts_of(store, PRODUCTS[0]) == Counts(1, 1, 1)
    assert await tables_of(store) == [pack_table({product_key(PRODUCTS[0]): Counts(1, 1, 1)})]
    with pytest.raises(SegmentsGone):
        await rollups.roll_up(DAY, again=True)
    await late.put_late(late.segments([view(PRODUCTS[0], visitor=number) for number in range(3)]))
    assert await rollups.roll_up(DAY)
    rollup = (await store.stored(Period(DAY, DAY)))[DAY]
    assert (rollup.counts, rollup.is_valid, rollup.may_lack_views) == (Counts(3, 3, 0), True, False)


async def test_expired_views_outdate_no_rollup(table: Table) -> None:
    """Nothing would be left to count."""
    store = ViewStore(table, retention_days=1, clock=lambda: datetime(2025, 11, 22, tzinfo=UTC))
    assert await store.put_late(store.segments([view(PRODUCTS[0])])) == set()


@pytest.mark.parametrize("again", [False, True])
async def test_a_rollup_from_before_the_end_of_its_day_does_not_count(
    table: Table,
    store: RollupStore,
    rollups: Rollups,
    again: bool,  # noqa: FBT001
) -> None:
    """Whoever made it; the next rollup replaces it, and says when it was made. Those of old releases do not."""
    await write(table, [view(PRODUCTS[0]), view(PRODUCTS[0], visitor=1)])
    early = DaySummary(day=DAY, total=Counts(1, 1, 0), products=1)
    await store.put_summary(early, generation=None)
    assert await store.put_totals(early, generation=None, made_at=datetime(2025, 11, 20, 13, tzinfo=UTC))
    assert (await store.totals(Period(DAY, DAY)), await summary_of(store)) == ({}, None)
    assert await rollups.roll_up(DAY, again=again)
    assert await store.totals(Period(DAY, DAY)) == {DAY: Counts(2, 2, 0)}
    made = await table.get(keys.view_rollup(DAY), consistent=True)
    assert isinstance(made, ViewRollupItem)
    assert timedelta(0) <= now() - made.made_at < timedelta(minutes=5)
    behind = RollupStore(table, clock=lambda: datetime(2025, 11, 20, 23, tzinfo=UTC))
    assert await behind.totals(Period(DAY, DAY)) == {}
    await table.put(Put(ViewRollupItem.keyed(made.key, products=1, views=3, unique_visitors=1, bots=0)))
    assert await store.totals(Period(DAY, DAY)) == {DAY: Counts(3, 1, 0)}


async def test_an_interrupted_rollup_continues_where_it_was(
    table: Table, store: RollupStore, rollups: Rollups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The products of complete parts are not written again."""
    monkeypatch.setattr(rollups_module, "_PRODUCTS_OF_PART", 2)
    await write(table, [view(one) for one in PRODUCTS])
    put_many, written = table.put_many, 0

    async def dying(items: Sequence[Item]) -> None:
        nonlocal written
        if written >= 20:
            raise TableUnavailable
        written += len(items)
        await put_many(items)

    monkeypatch.setattr(table, "put_many", dying)
    with pytest.raises(TableUnavailable):
        await rollups.roll_up(DAY)
    assert await store.totals(Period(DAY, DAY)) == {}
    before, written = written, -1_000
    assert await rollups.roll_up(DAY)
    assert before + written + 1_000 <= len(PRODUCTS) + 2
    assert await store.totals(Period(DAY, DAY)) == {DAY: Counts(30, 1, 0)}
    for product_id in PRODUCTS:
        assert await counts_of(store, product_id) == Counts(1, 1, 0)


async def test_a_day_without_views_is_rolled_up(store: RollupStore, rollups: Rollups) -> None:
    """So that it is not counted again."""
    assert await summary_of(store) is None
    assert await rollups.roll_up(DAY)
    summary = await summary_of(store)
    assert summary is not None
    assert (summary.total, summary.products, summary.direct) == (Counts(), 0, 0)
    assert await tables_of(store) == []
    assert await store.totals(Period(DAY - timedelta(days=5), DAY + timedelta(days=5))) == {DAY: Counts()}


async def test_a_rollup_of_many_products_has_several_parts(store: RollupStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is an item, and they are read page by page."""
    monkeypatch.setattr(rollups_module, "_PRODUCTS_OF_PART", 2)
    monkeypatch.setattr(rollups_module, "_PARTS_OF_PAGE", 2)
    products = {product_key(new_id()): Counts(number + 1, 1, 1) for number in range(9)}
    await store.put_products(DAY, 3, products, generation=None, stored={})
    other = {product_key(PRODUCTS[0]): Counts(1, 1, 0)}
    await store.put_products(DAY, 5, other, generation=None, stored={})
    parts = [part async for part in store.tables(DAY, StoredRollup(is_valid=True))]
    assert [len(part) for part in parts] == [112, 112, 56]
    assert b"".join(parts) == pack_table(products) + pack_table(other)


async def test_the_least_frequent_hosts_are_counted_together(
    table: Table, store: RollupStore, rollups: Rollups
) -> None:
    """The most frequent ones keep their names; ties are ordered by name."""
    await write(table, [view(PRODUCTS[0], referrer_host=f"{number:02}.example") for number in range(60)])
    await write(table, [view(PRODUCTS[1], referrer_host="59.example")])
    await rollups.roll_up(DAY)
    summary = await summary_of(store)
    assert summary is not None
    assert summary.referrers[0] == ("59.example", 2)
    assert summary.referrers[1:] == [(f"{number:02}.example", 1) for number in range(49)]
    assert (summary.other, summary.direct) == (10, 0)


async def test_expired_segments_are_not_counted(table: Table, store: RollupStore, clock: Clock) -> None:
    """Even before TTL has deleted them."""
    views = ViewStore(table, retention_days=1, clock=clock)
    await views.put(views.segments([view(PRODUCTS[0])]))
    rollups = Rollups(views, store, clock=clock)
    assert await rollups.count_product(DAY, PRODUCTS[0]) == Counts(1, 1, 0)
    clock.at = datetime(2025, 11, 22, tzinfo=UTC)
    assert await rollups.count_product(DAY, PRODUCTS[0]) == Counts()


async def test_progress_is_reported_for_each_page(table: Table, rollups: Rollups) -> None:
    """It counts the views of all products, since all are read."""
    await write(table, [view(one) for one in PRODUCTS])
    heard: list[int] = []
    await rollups.roll_up(DAY, advance=heard.append)
    assert sum(heard) == len(PRODUCTS)


async def test_counting_does_not_block_the_event_loop(
    table: Table, rollups: Rollups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long computations run outside the event loop's thread."""
    await write(table, [view(PRODUCTS[0]) for _ in range(50)])
    threads: dict[str, threading.Thread] = {}

    def watched(name: str) -> Callable[..., Any]:
        method = getattr(ViewCounter, name)

        def call(*arguments: Any) -> Any:  # noqa: ANN401
            threads[name] = threading.current_thread()
            return method(*arguments)

        return call

    for name in ("add", "totals"):
        monkeypatch.setattr(ViewCounter, name, watched(name))
    assert (await rollups.count_day(DAY))[0].total.views == 50
    assert len(threads) == 2
    assert threading.current_thread() not in threads.values()


async def test_days_are_rolled_up_in_the_background_once(table: Table, store: RollupStore, rollups: Rollups) -> None:
    """However often they are requested."""
    await write(table, [view(PRODUCTS[0])])
    queue = RollupQueue(rollups)
    before = DAY - timedelta(days=1)
    for day in (DAY, before, DAY):
        queue.add(day)
    await queue.done()
    queue.add(DAY)
    await queue.done()
    assert await store.totals(Period(before, DAY)) == {before: Counts(), DAY: Counts(1, 1, 0)}


@pytest.mark.parametrize("failure", [TableUnavailable(), NoRoom(), ZeroDivisionError("a fault of ours")])
async def test_background_rollups_continue_after_an_outage(
    store: RollupStore, rollups: Rollups, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The day that failed is left for the next report; the others are rolled up."""
    query = ViewStore.pages
    bad = keys.view_segments(DAY, 0)

    def failing(self: ViewStore, day: date, shard: int, **options: bool) -> AsyncIterator[list[Segment]]:
        if keys.view_segments(day, shard) == bad:
            raise failure
        return query(self, day, shard, **options)

    monkeypatch.setattr(ViewStore, "pages", failing)
    queue = RollupQueue(rollups)
    before = DAY - timedelta(days=1)
    queue.add(DAY)
    queue.add(before)
    await queue.done()
    assert await store.totals(Period(before, DAY)) == {before: Counts()}


async def test_a_stopped_rollup_is_not_marked_as_complete(table: Table, store: RollupStore, rollups: Rollups) -> None:
    """The next report counts the day again; stopping twice is no error."""
    await write(table, [view(one) for one in PRODUCTS])
    queue = RollupQueue(rollups)
    await queue.close()
    queue.add(DAY)
    await asyncio.sleep(0)
    await queue.close()
    await queue.done()
    assert await store.totals(Period(DAY, DAY)) == {}
    assert await rollups.roll_up(DAY)
