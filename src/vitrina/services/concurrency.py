"""Work beside other work, within bounds."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable
from typing import Any, TypeVar

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


async def _next(items: AsyncGenerator[T, None]) -> tuple[T] | None:
    async for item in items:
        return (item,)
    return None
