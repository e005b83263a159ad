"""Bounded concurrency."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from vitrina.backoff import Backoff
from vitrina.errors import Conflict, TableUnavailable
from vitrina.store.retries import TimePassed

S = TypeVar("S")
T = TypeVar("T")
_TRIES: Final = 8
_ATTEMPTS_IN_TIME: Final = 120
"""Of a throttled write, each of a few seconds: only commands wait for so long (`RetryPolicy`)."""
_BACKOFF: Final = Backoff(first=0.01, longest=0.64)


async def gather(work: Iterable[Coroutine[Any, Any, T]], *, at_once: int) -> list[T]:
    """Run all of `work`, up to `at_once` coroutines at a time, and return the results in its order.

    The first exception is raised as it is, not in a group, and cancels the rest.
    """
    free = asyncio.Semaphore(at_once)
    coroutines = list(work)

    async def run(coroutine: Coroutine[Any, Any, T]) -> T:
        async with free:
            return await coroutine

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(coroutine)) for coroutine in coroutines]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        for coroutine in coroutines:
            coroutine.close()  # Python warns of a coroutine that was never awaited.
    return [task.result() for task in tasks]


async def ahead(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Yield the items of `items`, fetching the next one ahead. Closing this generator closes `items`."""
    following = asyncio.create_task(_next(items))
    try:
        while found := await following:
            following = asyncio.create_task(_next(items))
            yield found[0]
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await items.aclose()


async def in_turn(
    items: AsyncGenerator[S, None], work: Callable[[S], Coroutine[Any, Any, T]], *, at_once: int
) -> AsyncGenerator[T, None]:
    """Yield the result of `work` for each item, in their order, with up to `at_once` tasks running.

    Closing this generator closes `items`.
    """
    running: deque[asyncio.Task[T]] = deque()
    try:
        async for item in items:
            running.append(asyncio.create_task(work(item)))
            if len(running) == at_once:
                await running[0]
                yield running.popleft().result()
        while running:
            await running[0]
            yield running.popleft().result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await items.aclose()


async def _next(items: AsyncGenerator[T, None]) -> tuple[T] | None:
    async for item in items:
        return (item,)
    return None


async def in_time(attempt: Callable[[], Awaitable[T]]) -> T:
    """Return the result of `attempt`, which takes the time and writes it; it is repeated if it is too late to send it.

    Raises TableUnavailable when that happens every time, and whatever else `attempt` raises.
    """
    for _ in range(_ATTEMPTS_IN_TIME):
        with suppress(TimePassed):
            return await attempt()
    raise TableUnavailable


class KeyedLock:
    """A lock for each key, so that the writers of one item in this process do not conflict with each other."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def hold(self, key: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `attempt`, which reads, checks and writes; it is repeated after a Conflict.

        Raises Conflict when other processes win every time, and whatever else `attempt` raises.
        """
        async with self._locks.setdefault(key, asyncio.Lock()):
            for failures in range(_TRIES):
                if failures:
                    await _BACKOFF.sleep(failures)
                try:
                    return await attempt()
                except Conflict:
                    continue
            raise Conflict
