"""Batching: many small requests share one call.

While no call is in flight, one starts at once; while one is, requests queue up; when it ends, the next call takes the
queue. The busier the service, the larger the batches and the cheaper each request.

Clients that send their next request as soon as they get a response would split into two halves that alternate for ever,
each batch half as large as it could be. So before the next call starts, the clients of the last one get a few turns of
the event loop (each of which polls all sockets once) to join it.

Where many processes share the load, each has a few requests in a call, and often. With a `spacing`, small batches start
so far apart if requests came during the last call, as more will come then. If none came, the next call waits only until
as many requests are queued as the last batch had. So nothing is added for a client that waits alone, nor for several
that are all in one batch.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

import structlog

from vitrina.errors import VitrinaError

log = structlog.get_logger(__name__)

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")
_QUIET_TURNS: Final = 5
"""Turns of the loop without a new request before the next call, some tens of µs.

Measured with 32 connections on one product: batches of 31.8 views with 4, 6 and 10 turns, of 16 with 2 and with none.
"""


_MOST_SHARING: Final = 1_000
"""Requests that one read of `GroupedReads` answers."""
_MOST_KEYS: Final = 1_000
"""Keys that `GroupedReads` remembers before it forgets those without requests."""
Load = Callable[[], Coroutine[Any, Any, R]]


class Batcher(Generic[T, R]):
    """Hands requests in batches of up to `most` to `flush`, which returns a result for each, in order.

    An error of `flush` is raised to every request of its batch; if it is cancelled, so are all requests. A batch of
    fewer than `enough` requests may wait until `spacing` seconds after the start of the last one. A request that is
    cancelled while it is queued is dropped.
    """

    def __init__(
        self, flush: Callable[[list[T]], Awaitable[Sequence[R]]], *, most: int, spacing: float = 0.0, enough: int = 0
    ) -> None:
        self._flush = flush
        self._most = most
        self._spacing = spacing
        self._enough = enough
        self._started = 0.0
        self._expected = 0
        self._gathered: asyncio.Event | None = None
        self._queued: list[tuple[T, asyncio.Future[R]]] = []
        self._in_flight: list[tuple[T, asyncio.Future[R]]] = []
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many requests have no result yet."""
        return len(self._queued) + len(self._in_flight)

    def submit(self, request: T) -> asyncio.Future[R]:
        """Queue a request and return the future of its result; cancelling it affects no other request."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._queued.append((request, future))
        if self._worker is None:
            # The worker serves all requests, so it must not run in the context of the one that started it.
            self._worker = loop.create_task(self._work(), context=contextvars.Context())
        elif self._gathered is not None and len(self._queued) >= self._expected:
            self._gathered.set()
        return future

    def is_in_flight(self, future: asyncio.Future[R]) -> bool:
        """Return whether the batch of a request has been handed to `flush`, which has not returned yet."""
        return any(each is future for _, each in self._in_flight)

    async def drained(self) -> None:
        """Wait until every request has a result."""
        while self._worker is not None:
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        try:
            while self._queued:
                await self._gather()
                self._in_flight = [one for one in self._queued[: self._most] if not one[1].cancelled()]
                del self._queued[: self._most]
                if self._in_flight:
                    await self._settle(self._in_flight)
                self._expected = self._enough if self._queued else min(len(self._in_flight), self._enough)
                self._in_flight = []
                await self._quiet()
        except asyncio.CancelledError:
            for _, future in self._queued:
                future.cancel()
            self._queued.clear()
            raise
        finally:
            self._in_flight = []
            self._worker = None

    async def _gather(self) -> None:
        """Wait until as many requests are queued as are expected, or the spacing of batches has passed."""
        now = asyncio.get_running_loop().time()
        ends = self._started + self._spacing
        if len(self._queued) < self._expected and now < ends:
            self._gathered = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(ends):
                    await self._gathered.wait()
            self._gathered = None
            now = asyncio.get_running_loop().time()
        self._started = now

    async def _quiet(self) -> None:
        """Wait until a few turns of the loop have queued no request, or a batch is full."""
        quiet = 0
        while quiet < _QUIET_TURNS and len(self._queued) < self._most:
            before = len(self._queued)
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._queued) == before else 0

    async def _settle(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._flush([request for request, _ in batch])
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - every waiter of the batch raises it
            fail([future for _, future in batch], error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)


def fail(waiting: Iterable[asyncio.Future[Any]], error: Exception) -> None:
    """Raise an error to every request that still waits; without any, log it, unless it is an expected failure."""
    left = [future for future in waiting if not future.done()]
    for future in left:
        future.set_exception(error)
    if not left and not isinstance(error, VitrinaError):
        log.error("shared_call_failed", exc_info=error)


class GroupedReads(Generic[K, R]):
    """Reads of which concurrent requests for one key share the next, and never one that has begun.

    So each request gets what was read after it came, and a busy key has one read at a time. The units of a read are
    those of the request that came first.
    """

    def __init__(self) -> None:
        self._batchers: dict[K, Batcher[tuple[Load[R], contextvars.Context], R]] = {}

    async def get(self, key: K, load: Load[R]) -> R:
        """Return what `load`, or that of another request for the same key, reads. Raises what it raises."""
        batcher = self._batchers.get(key)
        if batcher is None:
            self._forget_idle()
            batcher = self._batchers[key] = Batcher(self._read, most=_MOST_SHARING)
        return await batcher.submit((load, contextvars.copy_context()))

    def _forget_idle(self) -> None:
        if len(self._batchers) >= _MOST_KEYS:
            self._batchers = {key: batcher for key, batcher in self._batchers.items() if batcher}

    @staticmethod
    async def _read(requests: "list[tuple[Load[R], contextvars.Context]]") -> list[R]:
        load, context = requests[0]
        value = await asyncio.get_running_loop().create_task(load(), context=context)
        return [value] * len(requests)
