"""The recorder of views: admission, flushing and late views."""

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
    """A store that takes one flush each time `let_go` is called."""

    def __init__(self) -> None:
        super().__init__(Table(Clients(reader=NOBODY, writer=NOBODY), name="views"))
        self.flushed: list[int] = []
        self._free = asyncio.Semaphore(0)

    def segments(self, views: Sequence[View]) -> list[ViewSegmentItem]:
        """Record how many views a flush has."""
        self.flushed.append(len(views))
        return super().segments(views)

    async def put(self, segments: Sequence[ViewSegmentItem]) -> None:  # noqa: ARG002
        """Wait for `let_go`."""
        await self._free.acquire()

    async def let_go(self) -> None:
        """Take one flush, and return when the flush after it has begun."""
        self._free.release()
        await asyncio.sleep(0.01)


async def record(recorder: ViewRecorder) -> None:
    """Record a view of a product."""
    with recorder.reserve() as view:
        await view.record(new_id(), address="192.0.2.1", user_agent="test", referrer=None)


async def test_a_reservation_ends_when_its_view_is_queued_or_its_context_ends() -> None:
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
    with recorder.reserve(), recorder.reserve() as left:
        pass
    with pytest.raises(RuntimeError):
        await left.record(new_id(), address="192.0.2.1", user_agent="test", referrer=None)


async def test_each_request_waits_for_the_commit_timeout_at_most() -> None:
    """A view that is stored in time is not late, nor is that of a cancelled request. Late views are stored later."""
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


async def test_a_lost_view_is_logged_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its request may have got its response already, so no client would notice."""
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
