"""Work beside other work: in order, within bounds, and the first failure as it is."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from vitrina.errors import TableUnavailable
from vitrina.services.concurrency import ahead, gather, in_turn


async def test_results_come_in_the_order_of_the_work_and_few_pieces_run_at_once() -> None:
    """However long each takes."""
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


async def test_the_first_failure_is_raised_and_ends_the_rest() -> None:
    """As itself, not in a group: an outage is still an outage."""
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


async def test_the_next_item_is_on_its_way_and_no_other() -> None:
    """Closing lets go of it; a failure comes in its turn."""
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


async def test_work_is_done_beside_each_other_and_comes_in_turn() -> None:
    """No more of it than asked for; closing ends what is under way, and lets go of the items."""
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


async def test_a_failure_comes_in_its_turn_and_ends_the_rest() -> None:
    """The work before it is not lost."""
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
