"""The relay worker: sends the price changes in the table's stream to the queue (R9).

Several relays share the shards. Requests of an idle relay, with `L` = `relay_lease_time` (10 s) and `I` =
`relay_idle_interval` (1 s):

| request | for each | a minute | by default |
|---|---|---|---|
| GetRecords | open shard | 60 / I, and about one more for each page with its own leases' records | 60 |
| UpdateItem, a renewal that is a checkpoint too | open shard | 180 / L | 18 |
| Query, the leases | relay | 180 / L | 18 |
| DescribeTable, DescribeStream | relay | 60 / 30 each | 4 |
"""

import asyncio
import time
from contextlib import suppress
from typing import Final

import structlog

from vitrina import aws, metrics
from vitrina.bootstrap import Services, open_queue
from vitrina.config import Settings
from vitrina.errors import Conflict, TableUnavailable
from vitrina.ids import new_id
from vitrina.store.leases import SHARD_END, Lease, LeaseLost, LeaseStore
from vitrina.store.stream import Shard, ShardGone, Stream, find_stream
from vitrina.workers import relay_sharing as sharing
from vitrina.workers.relay_shard import RENEWALS, EventSink, HeldLease, Monotonic, Records, ShardReader
from vitrina.workers.running import pause, wait_for_any

log = structlog.get_logger(__name__)

_DISCOVERY_INTERVAL: Final = 30.0
"""Seconds between two listings of the shards while none has ended."""
_STREAM_POLL_INTERVAL: Final = 5.0
"""Seconds between two polls for a stream that does not exist yet."""


class Relay:
    """One relay on one stream, which it may share with other relays; times are in seconds."""

    def __init__(
        self,
        stream: Records,
        leases: LeaseStore,
        queue: EventSink,
        *,
        lease_time: float,
        idle_interval: float,
        discovery_interval: float = _DISCOVERY_INTERVAL,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self.owner = new_id()
        self._stream = stream
        self._leases = leases
        self._queue = queue
        self._lease_time = lease_time
        self._idle_interval = idle_interval
        self._discovery_interval = discovery_interval
        self._monotonic = monotonic
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._seen: dict[str, tuple[str | None, int, float]] = {}
        self._shards: dict[str, Shard] = {}
        self._discovered: float | None = None
        self._gone: set[str] = set()
        self._wake = asyncio.Event()

    @property
    def reading(self) -> set[str]:
        """The ids of the shards that it reads now."""
        return set(self._readers)

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until `stop` is set; then release the leases at the positions reached."""
        try:
            while not stop.is_set():
                self._wake.clear()
                try:
                    await self._round(stop)
                except (TableUnavailable, Conflict):
                    metrics.WORKER_FAILURES.labels("share shards").inc()
                    log.warning("shard_leases_unavailable")
                await wait_for_any(self._wake, stop, seconds=self._lease_time / RENEWALS)
            await asyncio.gather(*self._readers.values(), return_exceptions=True)
        finally:
            for reader in self._readers.values():
                reader.cancel()

    async def _round(self, stop: asyncio.Event) -> None:
        """Read the leases, list the shards if that is due, and take leases."""
        leases = await self._leases.all()
        self._cancel_lost_readers(leases)
        is_due = self._discovered is None or self._monotonic() - self._discovered >= self._discovery_interval
        if is_due or self._gone or sharing.childless(self._shards, leases):
            await self._discover(leases)
        for lease in sharing.to_take(leases, me=self.owner, reading=self.reading, silent=self._silent(leases)):
            await self._take(lease, stop)

    async def _discover(self, leases: dict[str, Lease]) -> None:
        """List the shards, create missing leases and delete finished ones; updates `leases`."""
        self._shards = await self._stream.shards()
        self._discovered = self._monotonic()
        for lease in sharing.unleased(self._shards, leases):
            await self._leases.create(lease)
            leases[lease.shard_id] = lease
        for lease in sharing.forgotten(self._shards, leases):
            await self._leases.delete(lease)
            del leases[lease.shard_id]
            log.info("shard_lease_deleted", shard_id=lease.shard_id)
        for shard_id in (self._gone - self._shards.keys()) & leases.keys():
            await self._give_up(leases[shard_id])
        self._gone.clear()

    async def _give_up(self, lease: Lease) -> None:
        """Mark a shard as read whose records expired unread, so that its children do not wait for ever."""
        with suppress(LeaseLost):  # Another relay does the same.
            mine = await self._leases.take(lease, owner=self.owner)
            await self._leases.renew(mine, checkpoint=SHARD_END, release=True)
            metrics.STREAM_LOST.inc()
            log.error("shard_expired_unread", shard_id=lease.shard_id, after=lease.checkpoint)

    def _cancel_lost_readers(self, leases: dict[str, Lease]) -> None:
        """Stop reading shards that other relays have taken, without waiting for the renewal that would fail."""
        for shard_id, reader in self._readers.items():
            if shard_id not in leases or leases[shard_id].owner != self.owner:
                log.warning("shard_lease_taken_over", shard_id=shard_id)
                reader.cancel()

    def _silent(self, leases: dict[str, Lease]) -> set[str]:
        """Return the shards whose lease has not been renewed for the lease time, by this relay's own clock."""
        now = self._monotonic()
        before, self._seen = self._seen, {}
        for shard_id, lease in leases.items():
            owner, counter, since = before.get(shard_id, (None, -1, now))
            same = (owner, counter) == (lease.owner, lease.counter)
            self._seen[shard_id] = lease.owner, lease.counter, since if same else now
        return {shard_id for shard_id, (_, _, since) in self._seen.items() if now - since >= self._lease_time}

    async def _take(self, lease: Lease, stop: asyncio.Event) -> None:
        began = self._monotonic()
        try:
            mine = await self._leases.take(lease, owner=self.owner)
        except LeaseLost:
            return  # Another relay was faster.
        log.info("shard_lease_acquired", shard_id=lease.shard_id, from_owner=lease.owner, checkpoint=mine.checkpoint)
        held = HeldLease(self._leases, mine, seconds=self._lease_time, since=began, monotonic=self._monotonic)
        reader = ShardReader(self._stream, self._queue, held, idle_interval=self._idle_interval)
        self._readers[lease.shard_id] = asyncio.create_task(self._read(lease.shard_id, reader, stop))

    async def _read(self, shard_id: str, reader: ShardReader, stop: asyncio.Event) -> None:
        try:
            await reader.run(stop)
            log.info("shard_lease_released", shard_id=shard_id)
            self._wake.set()
        except LeaseLost:
            log.warning("shard_lease_lost", shard_id=shard_id)
        except (TableUnavailable, Conflict):
            log.warning("shard_lease_release_failed", shard_id=shard_id)
        except ShardGone:
            self._gone.add(shard_id)
        except Exception:
            log.exception("shard_reader_failed", shard_id=shard_id)
        finally:
            self._readers.pop(shard_id, None)


async def relay(
    settings: Settings,
    stop: asyncio.Event,
    *,
    discovery_interval: float = _DISCOVERY_INTERVAL,
    stream_poll_interval: float = _STREAM_POLL_INTERVAL,
) -> None:
    """Relay the stream of the settings' table until `stop` is set; waits until the table has a stream."""
    async with (
        Services(settings) as services,
        aws.connect_streams(settings) as streams,
        open_queue(settings) as queue,
    ):

        async def latest() -> Stream | None:
            try:
                return await find_stream(services.clients, streams, settings.table_name)
            except TableUnavailable:
                return None

        async def watch(stream: Stream, over: asyncio.Event) -> None:
            """Set `over` when `stop` is set or when the table has a new stream, as after it was created again."""
            while not stop.is_set():
                await pause(stop, discovery_interval)
                found = None if stop.is_set() else await latest()
                if found is not None and found.arn != stream.arn:
                    metrics.STREAM_LOST.inc()
                    log.error("stream_replaced", stream=stream.label, by=found.label)
                    break
            over.set()

        while not stop.is_set():
            stream = await latest()
            if stream is None:
                metrics.WORKER_FAILURES.labels("find the stream").inc()
                log.warning("stream_missing", table=settings.table_name)
                await pause(stop, stream_poll_interval)
                continue
            log.info("stream_found", stream=stream.label)
            leases = LeaseStore(services.table, stream_label=stream.label)
            current = Relay(
                stream,
                leases,
                queue,
                lease_time=settings.relay_lease_time,
                idle_interval=settings.relay_idle_interval,
                discovery_interval=discovery_interval,
            )
            over = asyncio.Event()
            watching = asyncio.create_task(watch(stream, over))
            try:
                await current.run(over)
            finally:
                watching.cancel()
