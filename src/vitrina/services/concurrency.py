"""Work beside other work, within bounds."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")


async def gather(work: Iterable[Coroutine[Any, Any, T]], *, at_once: int) -> list[T]:
    """Do all of `work`, `at_once` pieces at a time, and return the results in its order.

    The first failure is raised as it is, and ends what is still under way.
    """
    free = asyncio.Semaphore(at_once)
    pieces = list(work)

    async def one(piece: Coroutine[Any, Any, T]) -> T:
        async with free:
            return await piece

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(piece)) for piece in pieces]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        for piece in pieces:
            piece.close()  # Python warns of a coroutine that never had its turn.
    return [task.result() for task in tasks]


async def ahead(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Yield what `items` does, the next one always under way. Closing this closes `items`."""
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
    """Yield what `work` makes of each item in their order, `at_once` of them under way. Closing this closes `items`."""
    under_way: deque[asyncio.Task[T]] = deque()
    try:
        async for item in items:
            under_way.append(asyncio.create_task(work(item)))
            if len(under_way) == at_once:
                await under_way[0]
                yield under_way.popleft().result()
        while under_way:
            await under_way[0]
            yield under_way.popleft().result()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await items.aclose()


async def _next(items: AsyncGenerator[T, None]) -> tuple[T] | None:
    async for item in items:
        return (item,)
    return None
