"""A harness for relays that share a fake stream and a fake queue, with leases on a real table."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from tests.workers.fakes import FakeQueue, FakeShard, FakeStream
from vitrina.store.leases import LeaseLost, LeaseStore
from vitrina.store.table import Table
from vitrina.workers.relay import Relay


class RelayHarness:
    """A stream, its leases and a queue, for any number of relays."""

    def __init__(self, table: Table, **shards: FakeShard) -> None:
        self.stream, self.queue = FakeStream(**shards), FakeQueue()
        self.leases = LeaseStore(table, stream_label="label")
        self.stops: dict[Relay, asyncio.Event] = {}

    def relay(self, *, lease_time: float = 0.6) -> Relay:
        """Return a new relay."""
        return Relay(
            self.stream,
            self.leases,
            self.queue,
            lease_time=lease_time,
            idle_interval=0.02,
            discovery_interval=0.3,
        )

    def are(self, shards: set[str]) -> Callable[[], Awaitable[bool]]:
        """Return a condition: exactly these shards have leases."""

        async def look() -> bool:
            return set(await self.leases.all()) == shards

        return look

    def has_ended(self, shard_id: str) -> Callable[[], Awaitable[bool]]:
        """Return a condition: the shard was read to its end."""

        async def look() -> bool:
            return (await self.leases.all())[shard_id].has_ended

        return look

    def is_stolen(self, shard_id: str) -> Callable[[], Awaitable[bool]]:
        """Return a condition that takes a lease from its owner; false if the owner renewed the lease in between."""

        async def steal() -> bool:
            with suppress(LeaseLost):
                await self.leases.take((await self.leases.all())[shard_id], owner="thief")
                return True
            return False

        return steal

    def has_moved(self, shard_id: str, counter: int) -> Callable[[], Awaitable[bool]]:
        """Return a condition: the lease was renewed up to `counter`."""

        async def look() -> bool:
            return (await self.leases.all())[shard_id].counter >= counter

        return look

    @asynccontextmanager
    async def running(self, *relays: Relay) -> AsyncIterator[None]:
        """Run relays, and stop them at the end."""
        tasks = []
        for one in relays:
            self.stops[one] = asyncio.Event()
            tasks.append(asyncio.create_task(one.run(self.stops[one])))
        try:
            yield
        finally:
            for one in relays:
                self.stops[one].set()
            async with asyncio.timeout(60):
                await asyncio.gather(*tasks)
