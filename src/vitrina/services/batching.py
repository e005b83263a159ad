"""Many small requests become one call, and nobody waits for a timer.

While no call is under way, one starts at once; while one is, requests gather; when it ends, the next takes what
gathered. The busier the service, the larger the calls and the cheaper each request.

Clients that ask again as soon as they are answered would so become two halves that alternate for ever, each call half
as large as it could be. Hence those who were just answered get to ask again: the next call starts when a few turns of
the event loop, each of which looks at all sockets once, brought nobody.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_QUIET_TURNS: Final = 5
"""Turns without a new request before the next call, some tens of µs.

Measured with 32 connections on one product: calls of 31.8 views with 4, 6 and 10 turns, of 16 with 2 and with none.
"""


class Batcher(Generic[T, R]):
    """Gathers requests and hands them to `flush`, which returns a result for each, in order.

    A failure of `flush` is raised to all whose requests it held. `most` bounds the requests of one call.
    """

    def __init__(self, flush: Callable[[list[T]], Awaitable[Sequence[R]]], *, most: int) -> None:
        """Take the call to make; nothing runs until something is submitted."""
        self._flush = flush
        self._most = most
        self._gathering: list[tuple[T, asyncio.Future[R]]] = []
        self._under_way: list[tuple[T, asyncio.Future[R]]] = []
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how many requests have no result yet."""
        return len(self._gathering) + len(self._under_way)

    def submit(self, request: T) -> asyncio.Future[R]:
        """Add a request; the future is its own, so a waiter that is cancelled takes nobody along."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._gathering.append((request, future))
        if self._worker is None:
            # The work is shared: it runs in a context of its own, not in that of the request that came first.
            self._worker = loop.create_task(self._work(), context=contextvars.Context())
        return future

    async def drained(self) -> None:
        """Return when no request is left without a result."""
        while self._worker is not None:
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        try:
            while self._gathering:
                self._under_way = self._gathering[: self._most]
                del self._gathering[: self._most]
                await self._settle(self._under_way)
                self._under_way = []
                await self._quiet()
        finally:
            self._worker = None

    async def _quiet(self) -> None:
        """Return when a few turns of the loop have brought nobody, or when a call is full."""
        quiet = 0
        while quiet < _QUIET_TURNS and len(self._gathering) < self._most:
            before = len(self._gathering)
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._gathering) == before else 0

    async def _settle(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._flush([request for request, _ in batch])
        except Exception as error:  # noqa: BLE001 - handed to those who wait, each of whom raises it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
