"""The read-through cache: one read for concurrent requests, bounded age, and stale values only in an outage."""

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from vitrina import metrics
from vitrina.errors import TableUnavailable
from vitrina.services.products.read_through import SETTLING, Cached, ReadThrough, SharedReads


class Source:
    """A table of words that can be held up or fail, with the clock of the loop."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {"a": "1", "b": "2", "c": "3"}
        self.loads: list[list[str]] = []
        self.fails = False
        self.time = 1_000.0
        self.open = asyncio.Event()
        self.open.set()

    async def load(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the words of keys as they were when the call began."""
        self.loads.append(list(keys))
        found = {key: self.words[key] for key in keys if key in self.words}
        await self.open.wait()
        if self.fails:
            raise TableUnavailable
        return found

    def read_through(self, *, ttl: float = 1.0, grace: float = 30.0, size: int = 100) -> ReadThrough[str]:
        """Return a cache of the words that uses this clock."""
        cache = ReadThrough(self.load, ttl=ttl, grace=grace, size=size, lookups=metrics.CACHE_LOOKUPS)
        cache._time = cache._circuit._time = lambda: self.time
        return cache

    def shared(self, *, ttl: float = 1.0, size: int = 100, room: int = 100) -> SharedReads[str, str]:
        """Return a cache of words by keys of their own, which weigh as much as they have characters."""
        cache: SharedReads[str, str] = SharedReads(
            ttl=ttl, grace=30.0, size=size, room=room, weigh=len, lookups=metrics.PAGE_LOOKUPS
        )
        cache._time = cache._circuit._time = lambda: self.time
        return cache

    async def word(self, cache: SharedReads[str, str], key: str) -> str:
        """Read a key through a cache."""

        async def load() -> str:
            return (await self.load([key]))[key]

        return (await cache.get(key, load)).value


@pytest.fixture
def source() -> Source:
    """A source of three words."""
    return Source()


async def value(cache: ReadThrough[str], key: str) -> str | None:
    """Return the value of a key without its age."""
    kept = await cache.get(key)
    return None if kept is None else kept.value


async def test_concurrent_requests_for_a_key_share_one_read(source: Source) -> None:
    """Later requests use the value until it is too old."""
    cache = source.read_through()
    source.open.clear()
    asking = [asyncio.create_task(value(cache, "a")) for _ in range(100)]
    await asyncio.sleep(0.01)
    source.open.set()
    assert await asyncio.gather(*asking) == ["1"] * 100
    source.time += 0.99
    assert await value(cache, "a") == "1"
    assert source.loads == [["a"]]


async def test_concurrent_requests_for_several_keys_share_one_read(source: Source) -> None:
    cache = source.read_through()
    assert await asyncio.gather(*(value(cache, key) for key in "abcabc")) == ["1", "2", "3"] * 2
    assert source.loads == [["a", "b", "c"]]


async def test_an_expired_value_is_read_again(source: Source) -> None:
    """Its age counts from the start of the read."""
    cache = source.read_through()
    await value(cache, "a")
    source.words["a"] = "new"
    source.time += 1.0
    assert await value(cache, "a") == "new"


async def test_with_no_time_to_live_every_request_is_a_read(source: Source) -> None:
    """A read in flight began too early for a request that comes now."""
    cache = source.read_through(ttl=0)
    source.open.clear()
    early = asyncio.create_task(value(cache, "a"))
    await asyncio.sleep(0.01)
    source.words["a"] = "new"
    late = asyncio.create_task(value(cache, "a"))
    await asyncio.sleep(0.01)
    source.open.set()
    assert [await early, await late] == ["1", "new"]
    assert await value(cache, "a") == "new"
    assert len(source.loads) == 3


async def test_a_dropped_value_is_read_again_at_once(source: Source) -> None:
    cache = source.read_through()
    await asyncio.gather(value(cache, "a"), value(cache, "b"))
    source.words |= {"a": "new", "b": "new"}
    cache.drop("a")
    assert [await value(cache, "a"), await value(cache, "b")] == ["new", "2"]


async def test_a_read_in_flight_does_not_bring_back_a_dropped_value(source: Source) -> None:
    """It may have read before the write; a request after the drop gets what was written."""
    cache = source.read_through()
    source.open.clear()
    early = asyncio.create_task(value(cache, "a"))
    await asyncio.sleep(0.01)
    source.words["a"] = "new"
    cache.drop("a")
    late = asyncio.create_task(value(cache, "a"))
    await asyncio.sleep(0.01)
    source.open.set()
    assert [await early, await late] == ["1", "new"]
    assert await value(cache, "a") == "new"


async def test_a_missing_value_is_not_cached(source: Source) -> None:
    cache = source.read_through()
    assert await cache.get("z") is None
    source.words["z"] = "26"
    assert await value(cache, "z") == "26"


async def test_an_outage_serves_stale_values_with_their_age(source: Source) -> None:
    """Past the grace, or without a cached value, TableUnavailable is raised."""
    cache = source.read_through(ttl=1, grace=30)
    await cache.get("a")
    source.fails = True
    assert await cache.get("a") == Cached("1", 1_000.0)
    source.time += 30.5
    assert await cache.get("a") == Cached("1", 1_000.0, age=30.5)
    with pytest.raises(TableUnavailable):
        await cache.get("b")
    source.time += 0.5
    with pytest.raises(TableUnavailable):
        await cache.get("a")
    source.fails = False
    source.time += 0.5
    assert await cache.get("a") == Cached("1", source.time)


async def test_an_outage_does_not_serve_a_dropped_value(source: Source) -> None:
    """It is known to be outdated."""
    cache = source.read_through()
    await cache.get("a")
    cache.drop("a")
    source.fails = True
    with pytest.raises(TableUnavailable):
        await cache.get("a")


async def test_an_outage_does_not_serve_a_value_that_a_read_found_deleted(source: Source) -> None:
    """Another process deleted it."""
    cache = source.read_through()
    await cache.get("a")
    del source.words["a"]
    source.time += 1
    assert await cache.get("a") is None
    source.fails = True
    with pytest.raises(TableUnavailable):
        await cache.get("a")


async def test_the_oldest_value_is_evicted_first(source: Source) -> None:
    """A value that is read again is new."""
    cache = source.read_through(size=2)
    for key in "ab":
        await value(cache, key)
    source.time += 1
    await value(cache, "a")
    await value(cache, "c")
    source.loads.clear()
    for key in "ac":
        await value(cache, key)
    assert source.loads == []
    await value(cache, "b")
    assert source.loads == [["b"]]


async def test_a_shared_read_serves_all_that_wait_and_other_keys_do_not_wait_for_it(source: Source) -> None:
    """A slow page holds up no other page, and a request that gives up does not end the read of others."""
    cache = source.shared()
    source.open.clear()
    asking = [asyncio.create_task(source.word(cache, key)) for key in "aab"]
    await asyncio.sleep(0.01)
    assert source.loads == [["a"], ["b"]]
    asking[0].cancel()
    source.open.set()
    assert await asyncio.gather(*asking[1:]) == ["1", "2"]
    assert await source.word(cache, "a") == "1"
    assert len(source.loads) == 2


async def test_a_failed_shared_read_fails_all_that_wait_and_the_next_request_reads_again(source: Source) -> None:
    """Nothing of it is kept."""
    cache = source.shared()
    with pytest.raises(KeyError):
        await source.word(cache, "z")
    source.words["z"] = "26"
    assert await source.word(cache, "z") == "26"


async def test_clearing_forgets_all_values_and_reads_in_flight(source: Source) -> None:
    """Until the write has arrived everywhere, what is read is kept for 50 ms only."""
    cache = source.shared()
    source.open.clear()
    early = asyncio.create_task(source.word(cache, "a"))
    await asyncio.sleep(0.01)
    source.words["a"] = "new"
    cache.clear()
    source.open.set()
    assert [await source.word(cache, "a"), await early] == ["new", "1"]
    source.words["a"] = "newer"
    assert await source.word(cache, "a") == "new"
    source.time += 0.06
    assert await source.word(cache, "a") == "newer"
    source.time += SETTLING
    assert cache.is_settled
    assert await source.word(cache, "a") == "newer"
    source.words["a"] = "newest"
    source.time += 0.9
    assert await source.word(cache, "a") == "newer"


async def test_without_a_time_to_live_reads_are_not_shared(source: Source) -> None:
    cache = source.shared(ttl=0)
    assert await asyncio.gather(*(source.word(cache, "a") for _ in range(3))) == ["1"] * 3
    assert len(source.loads) == 3


async def test_values_are_bounded_by_their_weight(source: Source) -> None:
    """The one that was read first goes first; a value that is too heavy alone is not kept and evicts nothing else."""
    source.words |= {"four": "4444", "five": "55555", "huge": "x" * 11}
    cache = source.shared(room=10)
    for key in ("a", "four", "five"):
        await source.word(cache, key)
    assert list(cache._cached) == ["a", "four", "five"]
    await source.word(cache, "b")
    assert list(cache._cached) == ["four", "five", "b"]
    assert cache._weight == 10
    await source.word(cache, "huge")
    assert list(cache._cached) == ["four", "five", "b"]
    source.time += 1
    await source.word(cache, "four")
    assert (list(cache._cached), cache._weight) == (["five", "b", "four"], 10)
    small = source.shared(size=2)
    for key in "abc":
        await source.word(small, key)
    assert list(small._cached) == ["b", "c"]


async def test_an_outage_serves_stale_shared_values_but_none_from_before_a_write(source: Source) -> None:
    cache = source.shared()
    await source.word(cache, "a")
    source.fails = True
    source.time += 2
    assert await source.word(cache, "a") == "1"
    cache.clear()
    with pytest.raises(TableUnavailable):
        await source.word(cache, "a")


async def test_an_outage_does_not_serve_a_shared_value_that_a_read_found_missing(source: Source) -> None:
    """Such as the prices of a product that another process has deleted."""
    cache = source.shared()
    assert await source.word(cache, "a") == "1"
    word, source.time = source.words.pop("a"), source.time + 2
    with pytest.raises(KeyError):
        await source.word(cache, "a")
    source.words["a"], source.fails = word, True
    with pytest.raises(TableUnavailable):
        await source.word(cache, "a")


async def test_a_cancelled_shared_read_cancels_its_requests(source: Source) -> None:
    """The next request for its key reads anew."""
    cache = source.shared()
    source.open.clear()
    waiting = [asyncio.create_task(source.word(cache, "a")) for _ in range(2)]
    await asyncio.sleep(0.01)
    for read in cache._reads:
        read.cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2
    source.open.set()
    assert await source.word(cache, "a") == "1"


async def test_the_error_of_a_shared_read_is_logged_if_no_request_waits_for_it(source: Source) -> None:
    """All have been cancelled, or got a stale value."""
    cache = source.shared()
    source.open.clear()
    waiting = asyncio.create_task(source.word(cache, "missing"))
    await asyncio.sleep(0.01)
    waiting.cancel()
    source.open.set()
    with capture_logs() as logs:
        await asyncio.gather(*cache._reads, waiting, return_exceptions=True)
    assert [(line["event"], type(line["exc_info"])) for line in logs] == [("shared_call_failed", KeyError)]
