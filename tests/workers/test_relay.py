"""Relays that share a fake stream, with leases on DynamoDB Local."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY

from tests.store.samples import create, edit
from tests.workers.conftest import ON_AWS
from tests.workers.fakes import FakeShard, change, until
from tests.workers.harness import RelayHarness
from vitrina.aws import Clients, connect_queue
from vitrina.config import Settings
from vitrina.domain.notices import PriceChanged
from vitrina.errors import TableUnavailable
from vitrina.queue.notices import NoticeQueue
from vitrina.queue.provisioning import ensure
from vitrina.store.leases import SHARD_END, Lease, LeaseStore
from vitrina.store.products import ProductStore
from vitrina.store.table import Table
from vitrina.workers.relay import relay
from vitrina.workers.relay_shard import ShardReader


def number_of_losses() -> float:
    """Return how often records were lost so far."""
    return REGISTRY.get_sample_value("vitrina_stream_lost_total") or 0.0


async def test_a_relay_reads_parents_before_children(table: Table) -> None:
    """Leases of shards that the stream no longer lists are deleted once their children have started."""
    shards = {
        "a": FakeShard(records=[change(2), change(3)], closed=True),
        "b": FakeShard(parent="a", records=[change(4)], closed=True),
        "c": FakeShard(parent="b", records=[change(5)]),
        "other": FakeShard(records=[change(2, product="other")]),
    }
    harness = RelayHarness(table, **shards)
    one = harness.relay()
    async with harness.running(one):
        await until(lambda: 5 in harness.queue.versions and one.reading == {"c", "other"})
        assert [event.version for event in harness.queue.events if event.product_id != "other"] == [2, 3, 4, 5]
        leases = await harness.leases.all()
        assert {lease.shard_id for lease in leases.values() if lease.has_ended} == {"a", "b"}
        harness.stream.content = {"c": shards["c"], "other": shards["other"]}
        await until(harness.are({"c", "other"}))


async def test_new_shards_are_discovered(table: Table) -> None:
    """At once when a shard ends, without waiting for the discovery interval."""
    first = FakeShard(records=[change(2)])
    harness = RelayHarness(table, a=first)
    async with harness.running(harness.relay()):
        await until(lambda: harness.queue.versions == [2])
        first.closed = True
        await until(harness.has_ended("a"))
        harness.stream.content["b"] = FakeShard(parent="a", records=[change(3)])
        await until(lambda: harness.queue.versions == [2, 3])


async def test_relays_share_the_shards_and_hand_them_over(table: Table) -> None:
    """A second relay takes half of the shards; when it stops, the first takes them back."""
    harness = RelayHarness(
        table, **{f"s{number}": FakeShard(records=[change(2, product=f"p{number}")]) for number in range(6)}
    )
    first, second = harness.relay(), harness.relay()
    async with harness.running(first):
        await until(lambda: len(first.reading) == 6)
        async with harness.running(second):
            await until(lambda: len(first.reading) == len(second.reading) == 3)
            assert not first.reading & second.reading
        leases = await harness.leases.all()
        assert {lease.owner for lease in leases.values()} <= {first.owner, None}
        await until(lambda: len(first.reading) == 6)
    assert {lease.owner for lease in (await harness.leases.all()).values()} == {None}
    assert {event.product_id for event in harness.queue.events} == {f"p{number}" for number in range(6)}


async def test_the_shards_of_a_dead_relay_are_taken_over(table: Table) -> None:
    """After the lease time without a renewal, from the last checkpoint on."""
    shard = FakeShard(records=[change(2), change(3)])
    harness = RelayHarness(table, a=shard)
    await harness.leases.create(Lease(shard_id="a", owner="dead", counter=7, checkpoint=f"{2:021d}"))
    async with harness.running(harness.relay()):
        await until(lambda: harness.queue.versions == [3])


async def test_a_relay_keeps_its_shards_while_it_renews_their_leases(table: Table) -> None:
    harness = RelayHarness(table, a=FakeShard())
    owner, onlooker = harness.relay(), harness.relay()
    async with harness.running(owner):
        await until(lambda: owner.reading)
        async with harness.running(onlooker):
            before = (await harness.leases.all())["a"].counter
            await until(harness.has_moved("a", before + 6))
            assert (owner.reading, onlooker.reading) == ({"a"}, set())


async def test_a_relay_that_lost_a_shard_stops_reading_it(table: Table) -> None:
    """It reads the other owner in the lease, before one of its own renewals fails."""
    shard = FakeShard(records=[change(2)])
    harness = RelayHarness(table, a=shard)
    one = harness.relay()
    async with harness.running(one):
        await until(lambda: harness.queue.versions == [2])
        await until(harness.is_stolen("a"))
        await until(lambda: not one.reading)
        shard.records.append(change(3))
        await until(lambda: 3 in harness.queue.versions)
    assert (await harness.leases.all())["a"].owner is None


async def test_a_shard_that_expired_unread_is_counted_as_lost(table: Table) -> None:
    """Its children are still read."""
    before = number_of_losses()
    harness = RelayHarness(table, b=FakeShard(parent="a", records=[change(9)]))
    await harness.leases.create(Lease(shard_id="a", checkpoint=f"{2:021d}"))
    async with harness.running(harness.relay()):
        await until(lambda: harness.queue.versions == [9])
    assert number_of_losses() == before + 1
    assert (await harness.leases.all()).get("a", Lease(shard_id="a", checkpoint=SHARD_END)).has_ended


async def test_a_failed_reader_is_restarted(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error stops neither the relay nor its other readers."""
    harness = RelayHarness(table, a=FakeShard(records=[change(2)]), b=FakeShard(records=[change(2, product="p")]))
    harness.queue.troubles = [RuntimeError("unexpected"), RuntimeError("unexpected")]
    monkeypatch.setattr(harness.leases, "all", _failing_once(harness.leases))
    monkeypatch.setattr(ShardReader, "run", _failing_to_give_back_once(ShardReader.run))
    async with harness.running(harness.relay()):
        await until(lambda: len(harness.queue.events) == 2)


def _failing_once(leases: LeaseStore) -> Callable[[], Awaitable[dict[str, Lease]]]:
    read, troubles = leases.all, [TableUnavailable()]

    async def read_all() -> dict[str, Lease]:
        if troubles:
            raise troubles.pop()
        return await read()

    return read_all


def _failing_to_give_back_once(run: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    troubles = [TableUnavailable()]

    async def read(self: ShardReader, stop: asyncio.Event) -> None:
        if troubles:
            raise troubles.pop()
        await run(self, stop)

    return read


@ON_AWS
async def test_a_price_change_reaches_the_queue(table_with_stream: Table, clients: Clients, settings: Settings) -> None:
    """Through the table's real stream; a stream that replaces it is read from its beginning."""
    table = table_with_stream
    stop = asyncio.Event()
    async with connect_queue(settings) as sqs:
        working = asyncio.create_task(relay(settings, stop, discovery_interval=0.3, stream_poll_interval=0.1))
        queue = NoticeQueue(sqs, name=settings.queue_name)
        products = ProductStore(table)
        dearer = await edit(products, before := await create(products), price=before.price + 1)
        await ensure(sqs, settings)
        first = await _next(queue)
        assert (first.id, first.old_price, first.price) == (f"{before.id}-2", "19.99", "20.99")

        stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        await clients.writer.update_table(TableName=table.name, StreamSpecification={"StreamEnabled": False})
        await clients.writer.update_table(TableName=table.name, StreamSpecification=stream)  # type: ignore[arg-type]
        await edit(products, dearer, price=before.price + 2)
        assert (await _next(queue)).version == 3
        stop.set()
        async with asyncio.timeout(60):
            await working


async def test_a_relay_waits_for_the_table(settings: Settings) -> None:
    """It can be stopped while it waits."""
    stop = asyncio.Event()
    working = asyncio.create_task(relay(settings, stop, discovery_interval=0.3, stream_poll_interval=0.1))
    await asyncio.sleep(0.5)
    assert not working.done()
    stop.set()
    async with asyncio.timeout(60):
        await working


async def _next(queue: NoticeQueue) -> PriceChanged:
    async with asyncio.timeout(60):
        while not (received := await queue.main.receive(wait=1, limit=1)):
            pass
    await queue.main.delete(received)
    event = received[0].event
    assert isinstance(event, PriceChanged)
    return event
