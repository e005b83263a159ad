"""When the recorder of views flushes."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from vitrina.aws import Clients
from vitrina.domain.views import View
from vitrina.errors import NotFound, Overloaded
from vitrina.ids import new_id
from vitrina.metrics import VIEWS_LATE, VIEWS_LOST
from vitrina.services.views.recorder import ViewRecorder
from vitrina.store.items import ViewSegmentItem
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


async def record(recorder: ViewRecorder) -> None:
    """Record a view of a product."""
    with recorder.reserve() as view:
        await view.record(new_id(), address="192.0.2.1", user_agent="test", referrer=None)


async def test_a_place_is_held_until_the_view_is_queued_or_the_read_ends() -> None:
    store = HeldStore()
    recorder = ViewRecorder(store, secret=b"secret", queue=2, commit_timeout=5)
    with recorder.reserve(), recorder.reserve(), pytest.raises(Overloaded):
        recorder.reserve()
    with pytest.raises(NotFound), recorder.reserve():
        raise NotFound
    reader = asyncio.create_task(record(recorder))
    await asyncio.sleep(0.01)
    with recorder.reserve(), pytest.raises(Overloaded):  # The queued view has one of the two places, and no more.
        recorder.reserve()
    await store.let_go()
    await reader
    with recorder.reserve(), recorder.reserve():
        pass


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
        await record(recorder)
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


async def test_a_view_that_the_table_refuses_for_good_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reader may have been answered already: then nobody else would know."""
    store = HeldStore()
    recorder = ViewRecorder(store, secret=b"secret", queue=100, commit_timeout=0.01)
    lost = VIEWS_LOST._value.get()

    async def refuse(_: Sequence[ViewSegmentItem]) -> None:
        await asyncio.sleep(0.05)
        raise KeyError("a fault of ours")

    monkeypatch.setattr(store, "put", refuse)
    with structlog.testing.capture_logs() as logs:
        await record(recorder)
        assert await recorder.drain(seconds=5) == 0
    assert VIEWS_LOST._value.get() == lost + 1
    assert [(log["event"], log["number"]) for log in logs] == [("views_lost", 1)]
