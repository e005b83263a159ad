"""Requests gather while a call is under way, and nobody waits for a timer."""

import asyncio
import contextvars

import pytest

from vitrina.services.batching import Batcher

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME", default="nobody")


class Flush:
    """A call that ends when the test lets it, and doubles what it is given; with a `failure`, it fails on 1."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.names: list[str] = []
        self.failure: Exception | None = None
        self._open = asyncio.Event()
        if not held:
            self._open.set()

    async def __call__(self, batch: list[int]) -> list[int]:
        """Return the doubles of a batch."""
        self.batches.append(batch)
        self.names.append(NAME.get())
        await self._open.wait()
        if self.failure and 1 in batch:
            raise self.failure
        return [number * 2 for number in batch]

    def let_go(self) -> None:
        """End the call that is held, and hold none any more."""
        self._open.set()


async def turns(number: int = 3) -> None:
    """Let the others run."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_a_lone_request_is_a_call_of_its_own_at_once() -> None:
    """No timer: an idle service adds nothing to the call's own time."""
    flush = Flush()
    batcher = Batcher(flush, most=10)
    for number in range(3):
        assert await batcher.submit(number) == number * 2
    assert flush.batches == [[0], [1], [2]]
    assert len(batcher) == 0


async def test_requests_gather_while_a_call_is_under_way() -> None:
    """When it ends, the next takes them all, and each gets its own result."""
    flush = Flush(held=True)
    batcher = Batcher(flush, most=10)
    first = batcher.submit(0)
    await turns()
    others = [batcher.submit(number) for number in range(1, 6)]
    await turns()
    assert flush.batches == [[0]]
    assert len(batcher) == 6
    flush.let_go()
    assert await asyncio.gather(first, *others) == [0, 2, 4, 6, 8, 10]
    assert flush.batches == [[0], [1, 2, 3, 4, 5]]


async def test_no_call_is_larger_than_the_most() -> None:
    """The rest follows in order."""
    flush = Flush()
    batcher = Batcher(flush, most=4)
    assert await asyncio.gather(*(batcher.submit(number) for number in range(9))) == [n * 2 for n in range(9)]
    assert flush.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


async def test_a_failure_is_raised_to_all_whom_the_call_held_and_to_nobody_else() -> None:
    """Those who came later have a call of their own."""
    flush = Flush(held=True)
    flush.failure = ConnectionError()
    batcher = Batcher(flush, most=2)
    doomed = [batcher.submit(number) for number in range(2)]
    await turns()
    later = batcher.submit(7)
    flush.let_go()
    assert await asyncio.gather(*doomed, return_exceptions=True) == [flush.failure] * 2
    assert await later == 14


async def test_a_waiter_that_is_cancelled_takes_nobody_along() -> None:
    """Whether its request is gathering or under way; the call goes on for the others."""
    flush = Flush(held=True)
    batcher = Batcher(flush, most=10)
    waiters = []
    for number in range(4):
        waiters.append(asyncio.ensure_future(_wait(batcher, number)))
        await turns()
    waiters[0].cancel()
    waiters[2].cancel()
    await turns()
    flush.let_go()
    results = await asyncio.gather(*waiters, return_exceptions=True)
    assert [results[1], results[3]] == [2, 6]
    assert [isinstance(results[number], asyncio.CancelledError) for number in (0, 2)] == [True, True]
    assert len(batcher) == 0


async def test_a_failure_after_every_waiter_went_away_disturbs_nobody() -> None:
    """Not the log either: an exception that nobody retrieves would be written there."""
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    flush = Flush(held=True)
    flush.failure = ConnectionError()
    batcher = Batcher(flush, most=10)
    waiter = asyncio.ensure_future(_wait(batcher, 1))
    await turns()
    waiter.cancel()
    await asyncio.wait([waiter])
    flush.let_go()
    await batcher.drained()
    loop.set_exception_handler(None)
    assert complaints == []


async def test_drained_returns_when_nothing_is_left() -> None:
    """What comes meanwhile is waited for as well; with nothing to wait for it returns at once."""
    flush = Flush(held=True)
    batcher = Batcher(flush, most=1)
    await batcher.drained()
    requests = [batcher.submit(number) for number in range(3)]
    draining = asyncio.create_task(batcher.drained())
    await turns()
    requests.append(batcher.submit(3))
    assert not draining.done()
    flush.let_go()
    await draining
    assert [request.result() for request in requests] == [0, 2, 4, 6]


async def test_the_call_is_nobodys_own() -> None:
    """It runs in a context of its own: what is bound to the first request is not logged for all."""
    flush = Flush()
    batcher = Batcher(flush, most=10)
    NAME.set("somebody")
    await batcher.submit(1)
    assert flush.names == ["nobody"]


async def test_those_who_ask_again_when_they_are_answered_share_the_next_call() -> None:
    """Though others were already waiting; and those do not wait for a timer."""
    flush = Flush(held=True)
    batcher = Batcher(flush, most=10)

    async def client(number: int) -> None:
        for _ in range(3):
            await batcher.submit(number)
            await turns(2)  # The answer is written, the next request read.

    clients = [asyncio.create_task(client(1))]
    await turns()
    clients += [asyncio.create_task(client(number)) for number in (2, 3)]
    await turns()
    flush.let_go()
    await asyncio.gather(*clients)
    assert [sorted(batch) for batch in flush.batches] == [[1], [1, 2, 3], [1, 2, 3], [2, 3]]


async def test_a_call_that_is_full_waits_for_nobody() -> None:
    """However many ask again."""
    flush = Flush(held=True)
    batcher = Batcher(flush, most=2)
    first = batcher.submit(0)
    await turns()
    others = [batcher.submit(number) for number in (1, 2)]
    flush.let_go()
    await first
    await turns(2)
    assert flush.batches == [[0], [1, 2]]
    await asyncio.gather(*others)


async def _wait(batcher: Batcher[int, int], number: int) -> int:
    return await batcher.submit(number)


@pytest.fixture(autouse=True)
def no_name() -> None:
    """Nobody is bound when a test begins."""
    NAME.set("nobody")
