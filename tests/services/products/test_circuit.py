"""The circuit breaker of the caches: who has a stale value waits for a slow table once, and who has none fails fast."""

import asyncio
from collections.abc import Sequence

import pytest

from vitrina import metrics
from vitrina.errors import TableUnavailable
from vitrina.services.products.read_through import ReadThrough

PATIENCE = 0.02


class Table:
    """A table that answers, hangs or refuses, and the clock of a cache before it."""

    def __init__(self) -> None:
        self.time = 1_000.0
        self.reads: list[str] = []
        self.fails = self.throttles = False
        self.answers = asyncio.Event()
        self.answers.set()
        limits = {"ttl": 1.0, "grace": 30.0, "patience": PATIENCE}
        self.cache = ReadThrough(self.read, size=100, lookups=metrics.CACHE_LOOKUPS, **limits)
        self.cache._time = self.cache._circuit._time = lambda: self.time

    async def read(self, keys: Sequence[str]) -> dict[str, str]:
        """Return a word for each key, as soon as the table answers."""
        self.reads += keys
        await self.answers.wait()
        if self.fails:
            raise TableUnavailable(throttled=self.throttles)
        return dict.fromkeys(keys, "word")

    async def get(self, key: str) -> float | None:
        """Return the age of a value, None if it is fresh."""
        found = await self.cache.get(key)
        assert found is not None
        assert found.value == "word"
        return found.age

    def hang(self) -> None:
        """Let the values expire, and the table not answer any more."""
        self.answers.clear()
        self.time += 2

    async def fail(self) -> None:
        """Let the reads that hang fail, and wait until they have."""
        self.fails = True
        self.answers.set()
        while self.cache._circuit._reads or self.cache._batcher:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0)


@pytest.fixture
async def table() -> Table:
    """A table that has been read: `a` and `b` are cached."""
    table = Table()
    await asyncio.gather(table.get("a"), table.get("b"))
    table.reads.clear()
    return table


async def test_requests_wait_for_a_hanging_table_once_and_are_then_served_stale_at_once(table: Table) -> None:
    """The read that hangs goes on, and no other begins meanwhile."""
    table.hang()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await asyncio.gather(*(table.get(key) for key in "aab")) == [2, 2, 2]
    assert PATIENCE <= loop.time() - began < 1
    began = loop.time()
    assert [await table.get(key) for key in "ab" * 50] == [2] * 100
    assert loop.time() - began < PATIENCE
    assert table.reads == ["a", "b"]
    table.answers.set()
    await asyncio.sleep(0.01)
    assert await table.get("a") is None


async def test_a_request_without_a_stale_value_waits_as_long_as_there_is_hope(table: Table) -> None:
    table.hang()
    assert await table.get("a") == 2
    cold = asyncio.create_task(table.get("c"))
    await asyncio.sleep(2 * PATIENCE)
    assert not cold.done()
    table.answers.set()
    assert await cold is None


async def test_after_two_failures_requests_without_a_stale_value_fail_at_once(table: Table) -> None:
    """Two failures in a row: one may be that of a partition. After a pause one read tries the table again."""
    table.hang()
    assert await table.get("a") == 2
    await table.fail()
    with pytest.raises(TableUnavailable):
        await table.get("c")
    table.reads.clear()
    for _ in range(100):
        with pytest.raises(TableUnavailable):
            await table.get("c")
        assert await table.get("a") == 2
    assert table.reads == []
    table.time += 0.5
    assert await table.get("a") == 2.5
    assert await table.get("b") == 2.5
    assert table.reads == ["a"]


async def test_a_throttled_partition_keeps_no_other_key_from_being_read(table: Table) -> None:
    """The table answers, so a request without a stale value is sent to it."""
    table.throttles = True
    table.hang()
    assert await table.get("a") == 2
    await table.fail()
    for _ in range(3):
        with pytest.raises(TableUnavailable):
            await table.get("hot")
    table.fails = False
    assert await table.get("cold") is None


async def test_the_first_read_that_succeeds_closes_the_circuit(table: Table) -> None:
    """Of any key; every other is then read again."""
    table.hang()
    assert await table.get("a") == 2
    await table.fail()
    table.fails = False
    assert await table.get("a") == 2
    table.time += 0.5
    assert [await table.get(key) for key in "abc"] == [None, None, None]


async def test_a_value_that_is_dropped_while_its_read_is_slow_is_read_again(table: Table) -> None:
    """The circuit is open, yet the table has not failed."""
    table.hang()
    waiting = asyncio.create_task(table.get("a"))
    await asyncio.sleep(0)
    table.cache.drop("a")
    await asyncio.sleep(2 * PATIENCE)
    assert not waiting.done()
    table.answers.set()
    assert await waiting is None
