"""Read-through caches: a value is kept for a moment, and concurrent requests for it share one read."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from prometheus_client import Counter

from vitrina.errors import TableUnavailable
from vitrina.services.batching import Batcher, fail
from vitrina.services.products.circuit import LATE, PATIENCE, Circuit
from vitrina.store.table import MOST_KEYS

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
SETTLING: Final = 2.0
"""Seconds after a write in which replicas and indexes may not have it; DynamoDB's usually have it within one."""
_UNSETTLED: Final = 0.05
"""Seconds for which a value is kept that may have been read before the last write arrived."""


@dataclass(frozen=True, slots=True)
class Cached(Generic[V]):
    """A value and when it was read, by the loop's clock; `age`, in seconds, is set on a stale one."""

    value: V
    read_at: float
    age: float | None = None
    fresh_until: float = field(default=-math.inf, compare=False)


class Cache(Generic[K, V]):
    """Serves a value for `ttl` seconds, and for `grace` more while it cannot be read again.

    Requests wait for a read that takes longer than `patience` seconds only if there is no stale value. When `size`
    values are kept, or as many as weigh `room`, the one that was read first is evicted.
    """

    def __init__(
        self,
        *,
        ttl: float,
        grace: float,
        size: int,
        lookups: Counter,
        patience: float = PATIENCE,
        room: float = math.inf,
        weigh: Callable[[V], int] = lambda _: 0,
    ) -> None:
        self._circuit = Circuit(patience=patience)
        self._ttl = ttl
        self._grace = grace
        self._size = size
        self._room = room
        self._weigh = weigh
        self._weight = 0
        self._cached: dict[K, Cached[V]] = {}
        self._time = asyncio.get_running_loop().time
        self._hit = lookups.labels("hit")
        self._miss = lookups.labels("miss")
        self._served_stale = lookups.labels("stale")

    def _fresh(self, key: K) -> Cached[V] | None:
        """Return the value of `key` if it is not too old; count the lookup."""
        cached = self._cached.get(key)
        if cached is not None and self._time() < cached.fresh_until:
            self._hit.inc()
            return cached
        self._miss.inc()
        return None

    async def _read_or_stale(self, key: K, submit: Callable[[], asyncio.Future[V | None]]) -> Cached[V] | None:
        """Return what is read, or a stale value if the table does not answer. Raises TableUnavailable without one."""
        circuit, is_kept = self._circuit, self._is_kept(key)
        if not circuit.admits:
            if is_kept:
                return self._stale(key)
            if circuit.is_out:
                raise TableUnavailable
        reading = submit()
        if is_kept:
            circuit.release_late(reading)
        try:
            value = await reading
            if value is LATE and not self._is_kept(key):  # It has been dropped meanwhile.
                value = await submit()
        except TableUnavailable:
            if not self._is_kept(key):
                raise
            value = LATE
        if value is LATE:
            return self._stale(key)
        return None if value is None else Cached(value, self._time())

    def _is_kept(self, key: K) -> bool:
        """Return whether there is a value that may be served in an outage."""
        cached = self._cached.get(key)
        return cached is not None and self._time() - cached.read_at < self._ttl + self._grace

    def _stale(self, key: K) -> Cached[V]:
        self._served_stale.inc()
        cached = self._cached[key]
        return Cached(cached.value, cached.read_at, age=self._time() - cached.read_at)

    def _keep(self, key: K, value: V, read_at: float, ttl: float) -> None:
        self._forget(key)
        weight = self._weigh(value)
        if weight > self._room:
            return
        while self._cached and (len(self._cached) >= self._size or self._weight + weight > self._room):
            self._forget(next(iter(self._cached)))
        self._cached[key] = Cached(value, read_at, fresh_until=read_at + ttl)
        self._weight += weight

    def _forget(self, key: K) -> None:
        cached = self._cached.pop(key, None)
        if cached is not None:
            self._weight -= self._weigh(cached.value)


class ReadThrough(Cache[str, V]):
    """A cache whose missing values are read in batches of up to `MOST_KEYS` keys. What does not exist is not cached."""

    def __init__(
        self,
        load: Callable[[Sequence[str]], Awaitable[Mapping[str, V]]],
        *,
        ttl: float,
        grace: float,
        size: int,
        lookups: Counter,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(ttl=ttl, grace=grace, size=size, lookups=lookups, patience=patience)
        self._load = load
        self._dropped: set[str] = set()
        self._batcher: Batcher[str, V | None] = Batcher(self._read, most=MOST_KEYS)

    async def get(self, key: str) -> Cached[V] | None:
        """Return the value of `key`, None if it has none. Raises TableUnavailable if there is not even a stale one."""
        return self._fresh(key) or await self._read_or_stale(key, lambda: self._batcher.submit(key))

    def peek(self, key: str) -> V | None:
        """Return the cached value of `key`, however old, without reading it."""
        cached = self._cached.get(key)
        return None if cached is None else cached.value

    def drop(self, key: str) -> None:
        """Forget `key`, and ignore what a read that is in flight returns for it."""
        self._forget(key)
        if self._batcher:
            self._dropped.add(key)

    async def _read(self, keys: list[str]) -> list[V | None]:
        began = self._time()
        found: dict[str, V] = {}
        unread: list[str] = []
        for key in dict.fromkeys(keys):
            cached = self._cached.get(key)
            if cached is not None and began < cached.fresh_until:
                found[key] = cached.value
            else:
                unread.append(key)
        if unread:
            self._dropped.clear()
            loaded = await self._circuit.watch(self._load(unread))
            for key in unread:
                if key not in loaded:
                    self._forget(key)  # Otherwise an outage would bring back what no longer exists.
                elif key not in self._dropped:
                    self._keep(key, loaded[key], began, self._ttl)
            found.update(loaded)
        return [found.get(key) for key in keys]


class SharedReads(Cache[K, V]):
    """A cache in which each key has a read of its own; different keys are read in parallel.

    For values that a write of this process may change anywhere, and that are never read consistently: `clear` forgets
    all, and what is read in the `SETTLING` seconds after it is kept for a moment only.
    """

    def __init__(
        self,
        *,
        ttl: float,
        grace: float,
        size: int,
        lookups: Counter,
        room: float,
        weigh: Callable[[V], int],
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(ttl=ttl, grace=grace, size=size, lookups=lookups, room=room, weigh=weigh, patience=patience)
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._reads: set[asyncio.Task[None]] = set()
        self._settled_at = -math.inf

    @property
    def is_settled(self) -> bool:
        """Whether the last write of this process was so long ago that every index has it."""
        return self._time() >= self._settled_at

    async def get(self, key: K, load: Callable[[], Awaitable[V]]) -> Cached[V]:
        """Return the value of `key`, which `load` reads, or a stale one in an outage. Raises what `load` raises."""
        cached = self._fresh(key) or await self._read_or_stale(key, lambda: self._submit(key, load))
        assert cached is not None  # noqa: S101 - `load` returns a value
        return cached

    def clear(self) -> None:
        """Forget all values, and do not share reads that are in flight with later requests."""
        self._cached.clear()
        self._weight = 0
        self._waiting = {}
        self._settled_at = self._time() + SETTLING

    def _submit(self, key: K, load: Callable[[], Awaitable[V]]) -> asyncio.Future[V | None]:
        """Return the future of a read, which others share; cancelling it affects no other request."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[V | None] = loop.create_future()
        waiting = self._waiting.get(key)
        if waiting is not None and self._ttl:  # Without a time to live, what was read before the request is too old.
            waiting.append(future)
            return future
        waiting = self._waiting[key] = [future]
        read = loop.create_task(self._read(key, load, waiting))
        self._reads.add(read)
        read.add_done_callback(self._reads.discard)
        return future

    async def _read(self, key: K, load: Callable[[], Awaitable[V]], waiting: list[asyncio.Future[V | None]]) -> None:
        began = self._time()
        ttl = self._ttl if self.is_settled else min(self._ttl, _UNSETTLED)
        try:
            value = await self._circuit.watch(load())
        except asyncio.CancelledError:
            self._end(key, waiting)
            for future in waiting:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - every waiting request raises it
            if self._end(key, waiting) and not isinstance(error, TableUnavailable):
                self._forget(key)  # Otherwise an outage would bring back what no longer exists.
            fail(waiting, error)
            return
        if self._end(key, waiting):
            self._keep(key, value, began, ttl)
        for future in (future for future in waiting if not future.done()):
            future.set_result(value)

    def _end(self, key: K, waiting: list[asyncio.Future[V | None]]) -> bool:
        """Let later requests for `key` read anew; returns False if it has been cleared since the read began."""
        if self._waiting.get(key) is not waiting:
            return False
        del self._waiting[key]
        return True
