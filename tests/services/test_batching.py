"""Batching: requests that arrive during a call share the next one; only small and frequent batches wait for more."""

import asyncio
import contextvars
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from scripts.benchmarks import virtual_time
from vitrina.errors import TableUnavailable
from vitrina.services.batching import Batcher, GroupedReads

CALL = 0.006
SPACING = 0.024
NAME: contextvars.ContextVar[str] = contextvars.ContextVar("NAME", default="nobody")


class Flush:
    """A call that returns the doubles of its batch; with a `failure`, it raises that for a batch with 1 in it."""

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
        """Let the held call return, and hold no further one."""
        self._open.set()


async def turns(number: int = 3) -> None:
    """Let other tasks run for some turns of the loop."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_a_lone_request_is_flushed_at_once() -> None:
    """Batching adds nothing to the latency of an idle service."""
    flush = Flush()
    batcher = Batcher(flush, most=10)
    for number in range(3):
        assert await batcher.submit(number) == number * 2
    assert flush.batches == [[0], [1], [2]]
    assert len(batcher) == 0


async def test_requests_that_arrive_during_a_call_share_the_next_one() -> None:
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


async def test_no_batch_is_larger_than_the_limit() -> None:
    flush = Flush()
    batcher = Batcher(flush, most=4)
    assert await asyncio.gather(*(batcher.submit(number) for number in range(9))) == [n * 2 for n in range(9)]
    assert flush.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


async def test_a_failure_is_raised_to_the_requests_of_its_batch_only() -> None:
    flush = Flush(held=True)
    flush.failure = ConnectionError()
    batcher = Batcher(flush, most=2)
    doomed = [batcher.submit(number) for number in range(2)]
    await turns()
    later = batcher.submit(7)
    flush.let_go()
    assert await asyncio.gather(*doomed, return_exceptions=True) == [flush.failure] * 2
    assert await later == 14


async def test_cancelling_one_waiter_affects_no_other() -> None:
    """Neither one that is queued, which is dropped, nor one whose call is in flight."""
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
    assert flush.batches == [[0], [1, 3]]
    assert len(batcher) == 0


async def test_a_failure_that_no_waiter_is_left_for_is_not_logged() -> None:
    """By default asyncio logs an exception that is never retrieved."""
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


async def test_drained_waits_for_all_requests() -> None:
    """Also for those that are submitted meanwhile; without any it returns at once."""
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


async def test_a_call_runs_in_a_context_of_its_own() -> None:
    """Otherwise what is bound to the first request would be logged for all requests of the batch."""
    flush = Flush()
    batcher = Batcher(flush, most=10)
    NAME.set("somebody")
    await batcher.submit(1)
    assert flush.names == ["nobody"]


async def test_clients_that_repeat_at_once_share_the_next_batch() -> None:
    """Although other requests were already queued, and without a timer."""
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


async def test_a_full_batch_starts_at_once() -> None:
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


class Spaced:
    """A batcher of small batches in simulated time, whose calls take `CALL` seconds; `batches` are (start, size)."""

    def __init__(self) -> None:
        self.batches: list[tuple[float, int]] = []
        self._batcher = Batcher(self._flush, most=10, spacing=SPACING, enough=6)

    async def _flush(self, batch: list[int]) -> list[int]:
        self.batches.append((asyncio.get_running_loop().time(), len(batch)))
        await asyncio.sleep(CALL)
        return batch

    async def request(self, *, after: float = 0.0) -> float:
        """Make a request in `after` seconds, and return how long it took."""
        await asyncio.sleep(after)
        began = asyncio.get_running_loop().time()
        await self._batcher.submit(0)
        return asyncio.get_running_loop().time() - began


def test_small_batches_are_spaced_where_they_are_frequent() -> None:
    """And a batch that is large enough starts at once."""

    async def run() -> None:
        spaced = Spaced()
        took = await asyncio.gather(*(spaced.request(after=0.005 * number) for number in range(60)))
        starts, sizes = zip(*spaced.batches, strict=True)
        assert all(size >= 4 for size in sizes[1:-1])
        assert all(after - before > SPACING - 1e-6 for before, after in pairwise(starts[:-1]))
        assert max(took) < SPACING + CALL + 1e-6
        crowd = Spaced()
        await asyncio.gather(*(crowd.request(after=0.001 * number) for number in range(60)))
        assert all(6 <= size <= 8 for _, size in crowd.batches[1:-1])

    virtual_time.run(run())


@pytest.mark.parametrize("clients", [1, 5])
def test_nothing_is_added_for_clients_that_all_wait(clients: int) -> None:
    """Each sends its next request some time after the response; once they share a batch, no other is waited for."""

    async def run() -> None:
        spaced = Spaced()

        async def client(number: int) -> list[float]:
            await asyncio.sleep(0.002 * number)
            return [await spaced.request(after=0.001) for _ in range(30)]

        for took in await asyncio.gather(*map(client, range(clients))):
            assert max(took[3:-3]) < CALL + 1e-6  # At first and at last not all of them wait.

    virtual_time.run(run())


async def _wait(batcher: Batcher[int, int], number: int) -> int:
    return await batcher.submit(number)


@pytest.fixture(autouse=True)
def no_name() -> None:
    """Bind no name when a test begins."""
    NAME.set("nobody")


async def test_grouped_reads_share_the_next_read_and_none_that_has_begun() -> None:
    """Each request gets what was read after it came; other keys do not wait."""
    reads: GroupedReads[str, int] = GroupedReads()
    begun: list[str] = []
    proceed = asyncio.Event()

    async def get(key: str) -> int:
        async def load() -> int:
            begun.append(key)
            number = len(begun)
            await proceed.wait()
            return number

        return await reads.get(key, load)

    first = asyncio.create_task(get("a"))
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(get(key)) for key in "aab"]
    await asyncio.sleep(0.01)
    assert begun == ["a", "b"]
    proceed.set()
    assert [await first, *await asyncio.gather(*later)] == [1, 3, 3, 2]
    assert await get("a") == 4


async def test_a_failed_grouped_read_fails_those_that_share_it_and_idle_keys_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vitrina.services.batching._MOST_KEYS", 2)
    reads: GroupedReads[int, int] = GroupedReads()

    async def fail() -> int:
        raise ValueError("as asked")

    for key in range(5):
        for failure in await asyncio.gather(*(reads.get(key, fail) for _ in range(3)), return_exceptions=True):
            assert isinstance(failure, ValueError)
    assert len(reads._batchers) <= 2


async def test_a_cancelled_call_cancels_its_requests_and_those_that_wait_for_it() -> None:
    """Nobody waits for ever, and later requests start anew."""
    flush = Flush(held=True)
    batcher = Batcher(flush, most=10)
    first = batcher.submit(1)
    await turns()
    queued = batcher.submit(2)
    assert batcher._worker is not None
    batcher._worker.cancel()
    await batcher.drained()
    assert (first.cancelled(), queued.cancelled(), len(batcher)) == (True, True, 0)
    flush.let_go()
    assert await batcher.submit(3) == 6


async def test_an_error_is_logged_if_no_request_waits_for_it() -> None:
    """All have been cancelled or released meanwhile. An expected failure has been logged where it came from."""
    for failure, logged in ((ValueError("as asked"), 1), (TableUnavailable(), 0)):
        flush = Flush(held=True)
        flush.failure = failure
        batcher = Batcher(flush, most=10)
        gone = batcher.submit(1)
        await turns()
        gone.cancel()
        flush.let_go()
        with capture_logs() as logs:
            await batcher.drained()
        assert [(line["event"], line["exc_info"]) for line in logs] == [("shared_call_failed", failure)] * logged
