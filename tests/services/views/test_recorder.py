"""The recorder of views: admission, flushing and late views."""

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
import structlog
from botocore.exceptions import ClientError

from vitrina.aws import Clients
from vitrina.domain.views import DAY_MS, View
from vitrina.errors import NotFound, Overloaded, TableUnavailable
from vitrina.ids import new_id
from vitrina.metrics import VIEWS_LATE, VIEWS_LOST, VIEWS_UNANSWERED
from vitrina.services.views.recorder import ViewRecorder, referrer_host
from vitrina.store import keys
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
    """A view that is stored in time is not late. Late views are stored later."""
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
    async with asyncio.timeout(5):
        waited = await asyncio.gather(*readers)
    assert all(seconds >= 0.5 for seconds in waited)
    assert VIEWS_LATE._value.get() - late == 4
    while await recorder.drain(seconds=0.01):
        await store.let_go()
    assert sum(store.flushed) == 5


async def test_the_view_of_a_request_without_a_response_is_taken_back() -> None:
    """It is counted where that is too late, because its flush has begun."""
    store = HeldStore()
    recorder = ViewRecorder(store, secret=b"secret", queue=100, commit_timeout=5)
    unanswered = VIEWS_UNANSWERED._value.get()
    readers = [asyncio.create_task(record(recorder))]
    await asyncio.sleep(0.01)
    readers += [asyncio.create_task(record(recorder)) for _ in range(3)]
    await asyncio.sleep(0.01)
    for number, counted in ((2, 0), (0, 1)):
        readers[number].cancel()
        await asyncio.wait([readers[number]])
        assert VIEWS_UNANSWERED._value.get() - unanswered == counted
    while await recorder.drain(seconds=0.01):
        await store.let_go()
    assert store.flushed == [1, 2]


async def test_a_code_that_nobody_knows_loses_no_view() -> None:
    """AWS adds codes, and only an invalid request would fail again for ever. The code is logged as an error."""

    class Writer:
        """A client that refuses a flush four times, which is all of a call's tries, and then takes it."""

        def __init__(self) -> None:
            self.bodies: list[Any] = []

        async def batch_write_item(self, **body: Any) -> dict[str, Any]:  # noqa: ANN401 - of DynamoDB's API
            self.bodies.append(body)
            if len(self.bodies) > 4:
                return {}
            code, http = {"Code": "ReplicatedWriteConflictException", "Message": "no"}, {"HTTPStatusCode": 400}
            raise ClientError({"Error": code, "ResponseMetadata": http}, "BatchWriteItem")  # type: ignore[typeddict-item]

    writer: Any = Writer()
    lost, store = VIEWS_LOST._value.get(), ViewStore(Table(Clients(reader=NOBODY, writer=writer), name="views"))
    with structlog.testing.capture_logs() as logs:
        await record(ViewRecorder(store, secret=b"secret", queue=2, commit_timeout=60))
    assert VIEWS_LOST._value.get() == lost
    assert len(writer.bodies) == 5
    assert all(body == writer.bodies[0] for body in writer.bodies)
    levels = [entry["log_level"] for entry in logs if entry.get("code") == "ReplicatedWriteConflictException"]
    assert levels == ["error"] * 4


async def test_a_flush_of_an_ended_day_outdates_the_rollups_of_closed_days() -> None:
    """It is repeated until the table takes both."""
    done: list[str] = []

    class Store(HeldStore):
        """A store that fails twice."""

        async def put_late(self, segments: Sequence[ViewSegmentItem]) -> set[date]:
            done.append("put_late")
            if len(done) <= 2:
                raise TableUnavailable
            return {keys.day_and_shard(segments[0].pk)[0]}

    times = [1_763_640_000_000, *[1_763_640_000_000 + DAY_MS] * 3]
    recorder = ViewRecorder(Store(), secret=b"secret", queue=2, commit_timeout=60, now_ms=lambda: times.pop(0))
    with structlog.testing.capture_logs() as logs:
        await record(recorder)
    assert done == ["put_late"] * 3
    assert [line["day"] for line in logs if line["event"] == "rollup_outdated"] == ["2025-11-20"]


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
    assert [(log["event"], log.get("number")) for log in logs] == [("views_lost", 1), ("shared_call_failed", None)]


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("shop.example", True), ("a_b.example.", True), ("[2001:db8::1]", True), ("a" * 253, True),
        ("a" * 254, False), ("-1+1.example", False), ("=cmd.example", False), ("a;b.example", False),
        ("a|b", False), ('a"b', False), ("a'b", False), ("a b", False), ("<b>", False), ("a,b", False),
    ],
)  # fmt: skip
def test_a_referrer_has_the_characters_of_a_host_name_or_none(host: str, kept: bool) -> None:  # noqa: FBT001
    """Reports and exports show it, and any client can send it."""
    assert referrer_host(f"https://{host}/path") == (host.strip("[]") if kept else None)
