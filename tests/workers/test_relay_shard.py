"""A shard is read to its end; its checkpoint never passes the queue, and nothing is sent after the lease expires."""

import asyncio
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from tests.workers.fakes import PRODUCT, FakeQueue, FakeShard, FakeStream, change, noise, outages, until
from vitrina.backoff import Backoff
from vitrina.errors import TableUnavailable
from vitrina.queue.messages import ChangeUnread
from vitrina.store.leases import SHARD_END, TRIM_HORIZON, Lease, LeaseLost
from vitrina.store.stream import IteratorExpired, ShardGone, Trimmed
from vitrina.workers.relay_shard import HeldLease, ShardReader


class FakeLeases:
    """Records renewals and releases; each renewal raises the next of `troubles` first."""

    def __init__(self) -> None:
        self.renewals: list[str] = []
        self.given_back: list[str] = []
        self.troubles: list[Exception] = []

    async def renew(self, _lease: Lease, *, checkpoint: str, release: bool = False) -> None:
        if release:
            self.given_back.append(checkpoint)
            return
        if self.troubles:
            raise self.troubles.pop(0)
        self.renewals.append(checkpoint)


class ReaderHarness:
    """A reader of one shard with fakes of everything it uses."""

    def __init__(self, shard: FakeShard, *, checkpoint: str = TRIM_HORIZON, seconds: float = 0.03) -> None:
        self.now = 0.0
        self.stream, self.queue, self.leases, self.stop = (
            FakeStream(a=shard),
            FakeQueue(),
            FakeLeases(),
            asyncio.Event(),
        )
        lease = Lease(shard_id="a", owner="me", checkpoint=checkpoint)
        self.held = HeldLease(cast("Any", self.leases), lease, seconds=seconds, since=0.0, monotonic=lambda: self.now)
        backoff = Backoff(first=0.001, longest=0.002)
        self.reader = ShardReader(self.stream, self.queue, self.held, idle_interval=0.01, backoff=backoff)

    async def read(self) -> None:
        """Read until the reader ends."""
        async with asyncio.timeout(60):
            await self.reader.run(self.stop)


def number_of(result: str) -> float:
    """Return the number of stream records with this result so far."""
    return REGISTRY.get_sample_value("vitrina_stream_records_total", {"result": result}) or 0.0


def number_of_losses() -> float:
    """Return how often records were lost so far."""
    return REGISTRY.get_sample_value("vitrina_stream_lost_total") or 0.0


async def test_a_closed_shard_is_read_to_its_end() -> None:
    """Its lease is released with the checkpoint SHARD_END."""
    before = number_of("relayed"), number_of("skipped")
    harness = ReaderHarness(
        FakeShard(records=[*map(noise, range(1, 24)), change(24), noise(25), change(26)], closed=True)
    )
    await harness.read()
    assert harness.queue.versions == [24, 26]
    assert harness.leases.given_back == [SHARD_END]
    assert (number_of("relayed") - before[0], number_of("skipped") - before[1]) == (2, 24)


async def test_reading_goes_on_after_the_checkpoint() -> None:
    harness = ReaderHarness(FakeShard(records=[change(2), change(3), change(4)], closed=True), checkpoint=f"{3:021d}")
    await harness.read()
    assert harness.queue.versions == [4]
    assert harness.stream.started == [("a", f"{3:021d}")]


async def test_an_open_shard_is_read_as_it_grows() -> None:
    """A stop releases the lease at the current position."""
    shard = FakeShard(records=[change(2)])
    harness = ReaderHarness(shard)
    reading = asyncio.create_task(harness.read())
    await until(lambda: harness.queue.versions == [2])
    shard.records.append(change(3))
    await until(lambda: harness.queue.versions == [2, 3])
    shard.records.append(noise(4))
    await until(lambda: harness.leases.renewals[-1:] == [f"{4:021d}"])
    harness.stop.set()
    await reading
    assert harness.leases.given_back == [f"{4:021d}"]


async def test_the_checkpoint_waits_for_the_queue() -> None:
    """During a queue outage the lease is renewed with the old checkpoint."""
    harness = ReaderHarness(FakeShard(records=[change(2), change(3)]))
    harness.queue.troubles = outages(1_000_000)
    reading = asyncio.create_task(harness.read())
    await until(lambda: len(harness.leases.renewals) > 2)
    assert set(harness.leases.renewals) == {TRIM_HORIZON}
    harness.queue.troubles.clear()
    await until(lambda: harness.leases.renewals[-1] == f"{3:021d}")
    harness.stop.set()
    await reading
    assert harness.queue.versions == [2, 3]


async def test_a_stop_during_an_outage_of_the_queue_loses_nothing() -> None:
    """The lease is released with the old checkpoint."""
    harness = ReaderHarness(FakeShard(records=[noise(1), change(2)]))
    harness.queue.troubles = outages(1_000_000)
    reading = asyncio.create_task(harness.read())
    await until(lambda: len(harness.queue.troubles) < 1_000_000)
    harness.stop.set()
    await reading
    assert harness.leases.given_back == [TRIM_HORIZON]


async def test_a_change_that_cannot_be_decoded_becomes_a_dead_letter() -> None:
    """So does an event that the queue rejects; a record with an invalid key is only logged. None blocks the shard."""
    nameless = {
        "eventName": "INSERT",
        "dynamodb": change(5)["dynamodb"] | {"Keys": {"pk": {"S": "x"}, "sk": {"S": "y"}}},
    }
    records = [change(2), change(3, at={"S": "yesterday"}), change(4), nameless, change(6)]
    harness = ReaderHarness(FakeShard(records=records, closed=True))
    harness.queue.refuses = {f"{PRODUCT}-4"}
    before = number_of("parked")
    harness.queue.troubles = outages(2)
    await harness.read()
    assert harness.queue.versions == [2, 6]
    assert [(each.version, each.reason) for each in harness.queue.dead_lettered] == [
        (3, "ValueError"),
        (4, "refused by the queue"),
    ]
    assert number_of("parked") - before == 2
    assert isinstance(harness.queue.dead_lettered[0], ChangeUnread)


async def test_an_expired_iterator_is_replaced() -> None:
    """By one at the current position. A stream outage is handled in the same way."""
    shard = FakeShard(records=[change(2), change(3)])
    harness = ReaderHarness(shard)
    reading = asyncio.create_task(harness.read())
    await until(lambda: harness.queue.versions == [2, 3])
    before = REGISTRY.get_sample_value("vitrina_worker_failures_total", {"work": "read the stream"}) or 0.0
    harness.stream.troubles = [IteratorExpired(), TableUnavailable(), TableUnavailable()]
    shard.records.append(change(4))
    await until(lambda: harness.queue.versions == [2, 3, 4])
    harness.stop.set()
    await reading
    assert harness.stream.started == [("a", None), ("a", f"{3:021d}")]
    assert REGISTRY.get_sample_value("vitrina_worker_failures_total", {"work": "read the stream"}) == before + 2


async def test_trimmed_records_are_counted_as_lost() -> None:
    """Reading goes on with the oldest record left."""
    before = number_of_losses()
    harness = ReaderHarness(FakeShard(records=[change(7)], closed=True), checkpoint=f"{2:021d}")
    harness.stream.troubles = [Trimmed()]
    await harness.read()
    assert harness.stream.started == [("a", None)]
    assert harness.queue.versions == [7]
    assert number_of_losses() - before == 1


async def test_a_reader_that_loses_its_lease_stops() -> None:
    """It must not release the lease, which another relay owns."""
    shard = FakeShard(records=[change(2)])
    harness = ReaderHarness(shard)
    reading = asyncio.create_task(harness.read())
    await until(lambda: harness.queue.versions == [2])
    harness.leases.troubles = [LeaseLost()]
    with pytest.raises(LeaseLost):
        await reading
    shard.records.append(change(3))
    assert harness.queue.versions == [2]
    assert harness.leases.given_back == []


async def test_a_reader_suspended_past_its_lease_sends_nothing() -> None:
    """Its own clock shows that the lease has expired, without a request."""
    harness = ReaderHarness(FakeShard(records=[change(2)]), seconds=1000)

    async def freeze() -> None:
        harness.now = 1000.0

    harness.queue.before_send = freeze
    with pytest.raises(LeaseLost):
        await harness.read()
    assert harness.queue.events == []
    assert harness.leases.given_back == []


async def test_a_failed_renewal_is_retried_until_the_lease_expires() -> None:
    harness = ReaderHarness(FakeShard())
    harness.leases.troubles = [TableUnavailable(), TableUnavailable()]
    reading = asyncio.create_task(harness.read())
    await until(lambda: harness.leases.renewals)
    harness.now = 1000.0
    harness.leases.troubles = [TableUnavailable()]
    with pytest.raises(LeaseLost):
        await reading


async def test_a_shard_unknown_to_the_stream_raises_shard_gone() -> None:
    harness = ReaderHarness(FakeShard())
    harness.stream.content.clear()
    with pytest.raises(ShardGone):
        await harness.read()


async def test_a_cancelled_reader_leaves_no_task_running() -> None:
    """It must not release the lease, which another relay may own."""
    harness = ReaderHarness(FakeShard())
    before = len(asyncio.all_tasks())
    reading = asyncio.create_task(harness.read())
    await until(lambda: harness.stream.started)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert len(asyncio.all_tasks()) == before
    assert harness.leases.given_back == []
