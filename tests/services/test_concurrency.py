"""Bounded concurrency: results in order, and the first failure raised as it is."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from vitrina.errors import TableUnavailable
from vitrina.services.concurrency import ahead, gather, in_turn


async def test_gather_returns_results_in_order_and_bounds_concurrency() -> None:
    running, most = 0, 0

    async def piece(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(7 - number):
            await asyncio.sleep(0)
        running -= 1
        return number

    assert await gather(map(piece, range(7)), at_once=3) == list(range(7))
    assert most == 3


async def test_gather_raises_the_first_failure_and_cancels_the_rest() -> None:
    """Not in an exception group, so that callers can still catch TableUnavailable."""
    ended = asyncio.Event()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise TableUnavailable

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TableUnavailable):
        await gather([wait(), fail(), wait()], at_once=2)
    assert ended.is_set()


async def test_ahead_fetches_one_item_ahead() -> None:
    """Closing cancels it, and a failure is raised where its item would be."""
    made: list[int] = []

    async def items() -> AsyncGenerator[int, None]:
        try:
            for number in range(4):
                if number == 3:
                    raise TableUnavailable
                made.append(number)
                yield number
        finally:
            made.append(-1)

    reader = ahead(items())
    assert await anext(reader) == 0
    for _ in range(3):
        await asyncio.sleep(0)
    assert made == [0, 1]
    await reader.aclose()
    assert made == [0, 1, -1]
    reader = ahead(items())
    assert [await anext(reader) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(TableUnavailable):
        await anext(reader)


async def test_in_turn_bounds_its_tasks_and_yields_in_order() -> None:
    """Closing cancels the running tasks and closes the items."""
    begun: list[int] = []
    ended: list[int] = []

    async def items() -> AsyncGenerator[int, None]:
        try:
            for number in range(5):
                yield number
        finally:
            ended.append(-1)

    async def slower_first(number: int) -> int:
        begun.append(number)
        try:
            await asyncio.sleep(0.02 / (number + 1))
        finally:
            ended.append(number)
        return number * 10

    assert [found async for found in in_turn(items(), slower_first, at_once=2)] == [0, 10, 20, 30, 40]
    begun.clear()
    ended.clear()
    reader = in_turn(items(), slower_first, at_once=3)
    assert await anext(reader) == 0
    assert begun == [0, 1, 2]
    second = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await reader.aclose()
    assert sorted(ended) == sorted([-1, *begun])


async def test_in_turn_raises_a_failure_in_its_turn_and_cancels_the_rest() -> None:
    ended = asyncio.Event()

    async def items() -> AsyncGenerator[int, None]:
        for number in range(3):
            yield number

    async def work(number: int) -> int:
        if number == 1:
            raise TableUnavailable
        try:
            await asyncio.sleep(60 * (number == 2))
        finally:
            if number == 2:
                ended.set()
        return number

    reader = in_turn(items(), work, at_once=3)
    assert await anext(reader) == 0
    await asyncio.sleep(0)
    with pytest.raises(TableUnavailable):
        await anext(reader)
    assert ended.is_set()
