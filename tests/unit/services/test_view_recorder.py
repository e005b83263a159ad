"""When the recorder of views flushes."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from vitrina.aws import Clients
from vitrina.domain.views import View, shard_of
from vitrina.ids import new_id
from vitrina.metrics import VIEWS_LATE
from vitrina.services import views
from vitrina.services.views import ViewRecorder
from vitrina.store.items import ViewSegmentItem
from vitrina.store.keys import VIEW_SHARDS
from vitrina.store.table import Table
from vitrina.store.views import ViewStore

NOBODY: Any = None
"""A client that is never asked."""


class HeldStore(ViewStore):
    """A store that takes segments when it is told to."""

    def __init__(self) -> None:
        super().__init__(Table(Clients(reader=NOBODY, writer=NOBODY), name="views"))
        self.flushed: list[int] = []
        self._free = asyncio.Semaphore(0)

    def segments(self, views: Sequence[View]) -> list[ViewSegmentItem]:
        """Note how many views a flush has."""
        self.flushed.append(len(views))
        return super().segments(views)

    async def put(self, segments: Sequence[ViewSegmentItem]) -> None:  # noqa: ARG002
        """Wait to be told."""
        await self._free.acquire()

    async def let_go(self) -> None:
        """Take one flush; returns when whatever follows at once has begun."""
        self._free.release()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("products", ["of one shard", "of two shards"])
async def test_only_flushes_into_several_segments_wait_for_company(
    products: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One segment costs the same per view however many flushes fill it; several, a unit each.

    Views of two shards are mixed in one segment until a unit does not hold them.
    """
    monkeypatch.setattr(views, "_LINGER", 1_000.0)
    store = HeldStore()
    recorder = ViewRecorder(store, secret=b"secret", queue=100, commit_timeout=30)
    one, other = _products_of_two_shards()
    apart = products == "of two shards"
    readers: list[asyncio.Task[Any]] = []

    async def read(*product_ids: str) -> None:
        for product_id in product_ids:
            recording = recorder.record(product_id, address="192.0.2.1", user_agent="test", referrer=None)
            readers.append(asyncio.create_task(recording))
        await asyncio.sleep(0)

    await read(one)
    await asyncio.sleep(0.01)
    await read(*[one] * 14, *[other if apart else one] * 14)
    await store.let_go()
    await read(one)
    await store.let_go()
    assert store.flushed == ([1, 28] if apart else [1, 28, 1])
    await read(*[one] * 28)
    for _ in range(2):
        await store.let_go()
    assert store.flushed == ([1, 28, 29] if apart else [1, 28, 1, 28])
    async with asyncio.timeout(5):
        await asyncio.gather(*readers)


async def test_each_reader_waits_as_long_as_the_setting_says_and_no_longer() -> None:
    """However many wait: one who came later is let go later, one whose view is stored is not late, one who left either.

    The views of those who were let go are stored all the same.
    """
    store = HeldStore()
    recorder = ViewRecorder(store, secret=b"secret", queue=100, commit_timeout=0.5)
    loop = asyncio.get_running_loop()
    late = VIEWS_LATE._value.get()

    async def read() -> float:
        began = loop.time()
        await recorder.record(new_id(), address="192.0.2.1", user_agent="test", referrer=None)
        return loop.time() - began

    stored = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    await store.let_go()
    await stored
    readers = []
    for _ in range(4):
        readers.append(asyncio.create_task(read()))
        await asyncio.sleep(0.03)
    readers.pop(2).cancel()
    async with asyncio.timeout(5):
        waited = await asyncio.gather(*readers)
    assert all(seconds >= 0.5 for seconds in waited)
    assert VIEWS_LATE._value.get() - late == 3
    while await recorder.drain(seconds=0.01):
        await store.let_go()
    assert sum(store.flushed) == 5


def _products_of_two_shards() -> tuple[str, str]:
    one = other = new_id()
    while shard_of(other, VIEW_SHARDS) == shard_of(one, VIEW_SHARDS):
        other = new_id()
    return one, other
