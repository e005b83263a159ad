"""What is read through: one read for all who ask at once, never older than allowed, stale only in an outage."""

import asyncio
from collections.abc import Sequence

import pytest

from vitrina.errors import TableUnavailable
from vitrina.services.products.cache import Cached, ReadThrough


class Source:
    """A table of words that can be held up or fail, and the loop's clock."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {"a": "1", "b": "2", "c": "3"}
        self.loads: list[list[str]] = []
        self.fails = False
        self.time = 1_000.0
        self.open = asyncio.Event()
        self.open.set()

    async def load(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the words of keys as they were when the call came in."""
        self.loads.append(list(keys))
        found = {key: self.words[key] for key in keys if key in self.words}
        await self.open.wait()
        if self.fails:
            raise TableUnavailable
        return found

    def read_through(self, *, ttl: float = 1.0, grace: float = 30.0, size: int = 100) -> ReadThrough[str]:
        """Return a cache of the words by the clock."""
        cache = ReadThrough(self.load, ttl=ttl, grace=grace, size=size)
        cache._time = lambda: self.time
        return cache


@pytest.fixture
def source() -> Source:
    """Three words."""
    return Source()


async def value(cache: ReadThrough[str], key: str) -> str | None:
    """Return the value of a key alone."""
    kept = await cache.get(key)
    return None if kept is None else kept.value


async def test_a_hundred_who_ask_at_once_share_one_read(source: Source) -> None:
    """And all later ones until it is too old."""
    cache = source.read_through()
    source.open.clear()
    asking = [asyncio.create_task(value(cache, "a")) for _ in range(100)]
    await asyncio.sleep(0.01)
    source.open.set()
    assert await asyncio.gather(*asking) == ["1"] * 100
    source.time += 0.99
    assert await value(cache, "a") == "1"
    assert source.loads == [["a"]]


async def test_those_who_ask_for_different_keys_share_one_read(source: Source) -> None:
    """Of each key once."""
    cache = source.read_through()
    assert await asyncio.gather(*(value(cache, key) for key in "abcabc")) == ["1", "2", "3"] * 2
    assert source.loads == [["a", "b", "c"]]


async def test_what_is_too_old_is_read_again(source: Source) -> None:
    """The age counts from when the read began."""
    cache = source.read_through()
    await value(cache, "a")
    source.words["a"] = "new"
    source.time += 1.0
    assert await value(cache, "a") == "new"


async def test_with_no_time_to_live_every_question_is_a_read(source: Source) -> None:
    """Of its own time: one that is under way began too early for who comes now."""
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


async def test_what_is_dropped_is_read_again_at_once(source: Source) -> None:
    """By the next who asks."""
    cache = source.read_through()
    await asyncio.gather(value(cache, "a"), value(cache, "b"))
    source.words |= {"a": "new", "b": "new"}
    cache.drop("a")
    assert [await value(cache, "a"), await value(cache, "b")] == ["new", "2"]


async def test_a_read_under_way_does_not_bring_back_what_was_dropped(source: Source) -> None:
    """It may have read before the write; who asks after the drop gets what was written."""
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


async def test_what_does_not_exist_is_not_kept(source: Source) -> None:
    """It may exist the next moment."""
    cache = source.read_through()
    assert await cache.get("z") is None
    source.words["z"] = "26"
    assert await value(cache, "z") == "26"


async def test_in_an_outage_what_is_stale_will_do_for_a_while(source: Source) -> None:
    """It says how old it is; past the grace, or where nothing is kept, the outage is told."""
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
    assert await cache.get("a") == Cached("1", source.time)


async def test_what_was_dropped_is_not_served_in_an_outage(source: Source) -> None:
    """It is known to be wrong."""
    cache = source.read_through()
    await cache.get("a")
    cache.drop("a")
    source.fails = True
    with pytest.raises(TableUnavailable):
        await cache.get("a")


async def test_what_is_known_to_be_gone_is_not_served_in_an_outage(source: Source) -> None:
    """Another process deleted it, and a read of this one has seen so."""
    cache = source.read_through()
    await cache.get("a")
    del source.words["a"]
    source.time += 1
    assert await cache.get("a") is None
    source.fails = True
    with pytest.raises(TableUnavailable):
        await cache.get("a")


async def test_the_oldest_go_first(source: Source) -> None:
    """What is read again is not old."""
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
