"""Work beside other work: in order, within bounds, and the first failure as it is."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from vitrina.errors import TableUnavailable
from vitrina.services.concurrency import ahead, gather


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
