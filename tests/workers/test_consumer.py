"""The consumer deletes handled messages, retries during an outage, and leaves poison to the queue's redrive (R9)."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import REGISTRY

from tests.service import Clock
from vitrina.backoff import Backoff
from vitrina.errors import QueueUnavailable, TableUnavailable
from vitrina.queue.channel import Received
from vitrina.workers.consumer import Consumer, Outcome

AT = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)


def failures(work: str) -> float:
    """Return the number of failures that raise the alert `WorkerFails`."""
    return REGISTRY.get_sample_value("vitrina_worker_failures_total", {"work": work}) or 0.0


def message(message_id: str, *, receives: int = 1) -> Received:
    """A message sent a minute before AT."""
    return Received(
        id=message_id,
        receipt=f"receipt-{message_id}",
        group="g",
        body=f"body-{message_id}",
        receives=receives,
        sent_at=AT - timedelta(minutes=1),
    )


class Queue:
    """A queue that delivers `batches` and then sets `stop`. It records requests, and fails `failures` of them."""

    def __init__(self, *batches: list[Received]) -> None:
        self.batches = list(batches)
        self.stop = asyncio.Event()
        self.deleted: list[str] = []
        self.extended: list[tuple[list[str], int]] = []
        self.failures: dict[str, int] = {}
        self.waits: list[float] = []
        self.lost: list[Received] = []
        self.extended_twice = asyncio.Event()

    def _fail(self, call: str) -> None:
        if self.failures.get(call, 0):
            self.failures[call] -= 1
            raise QueueUnavailable

    async def receive(self, *, wait: float) -> list[Received]:
        self.waits.append(wait)
        self._fail("receive")
        if not self.batches:
            self.stop.set()
            return []
        return self.batches.pop(0)

    async def delete(self, received: list[Received]) -> list[Received]:
        self._fail("delete")
        self.deleted += [each.id for each in received]
        return []

    async def extend(self, received: list[Received], seconds: int) -> list[Received]:
        self._fail("extend")
        self.extended.append(([each.id for each in received], seconds))
        if len(self.extended) == 2:
            self.extended_twice.set()
        return self.lost


class FakeHandler:
    """A handler that returns `outcomes` in turn, the last one for ever."""

    def __init__(self, *outcomes: Outcome | Callable[[], Any]) -> None:
        self.outcomes = list(outcomes)
        self.asked: list[dict[str, str]] = []

    async def __call__(self, bodies: dict[str, str]) -> Outcome:
        self.asked.append(bodies)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        return outcome if isinstance(outcome, Outcome) else await outcome()


async def consume(
    queue: Queue,
    handler: FakeHandler,
    *,
    probe: Exception | None = None,
    **options: Any,  # noqa: ANN401 - each option has its own type
) -> list[str]:
    """Consume all batches; returns a list with one element for each time that the mailer was woken."""
    woken: list[str] = []

    async def probing() -> None:
        if probe:
            raise probe

    consumer = Consumer(
        queue,
        handler,
        probe=probing,
        on_mail=lambda: woken.append("woken"),
        clock=Clock(AT),
        backoff=Backoff(first=0.001, longest=0.002),
        **{"visibility": 60} | options,
    )
    await consumer.run(queue.stop)
    return woken


async def test_handled_messages_are_deleted_and_the_mailer_is_woken() -> None:
    """The age of the oldest message is recorded as a metric."""
    queue = Queue([message("a"), message("b")], [message("c")])
    woken = await consume(queue, FakeHandler(Outcome(done={"a", "b"}, mail_is_due=True), Outcome(done={"c"})))
    assert sorted(queue.deleted) == ["a", "b", "c"]
    assert queue.extended == []
    assert woken == ["woken"]
    assert REGISTRY.get_sample_value("vitrina_queue_age_seconds") == 60
    assert max(queue.waits) <= 2


async def test_poison_is_released_with_growing_delays() -> None:
    """Of at most the visibility timeout; the rest of the batch is deleted."""
    queue = Queue([message("a"), message("b"), message("p", receives=3), message("q", receives=30)])
    await consume(queue, FakeHandler(Outcome(done={"a", "b"}, poison={"p", "q"})))
    assert sorted(queue.deleted) == ["a", "b"]
    assert queue.extended == [(["p"], 4), (["q"], 60)]


async def test_failed_messages_are_retried_during_a_table_outage() -> None:
    """However long it lasts, so that no message becomes a dead letter because of it."""
    failing = [Outcome(done={"a"}, failed={"b"})] + [Outcome(failed={"b"})] * 20
    queue = Queue([message("a"), message("b")])
    handler = FakeHandler(*failing, Outcome(done={"b"}))
    before = failures("write notices")
    await consume(queue, handler, probe=TableUnavailable())
    assert failures("write notices") == before + 21
    assert queue.deleted == ["a", "b"]
    assert queue.extended == []
    assert handler.asked[1:] == [{"b": "body-b"}] * 21


async def test_a_message_that_keeps_failing_without_an_outage_is_released() -> None:
    """It does not block other messages, and becomes a dead letter eventually."""
    queue = Queue([message("a", receives=2)], [message("b")])
    handler = FakeHandler(*[Outcome(failed={"a"})] * 5, Outcome(done={"b"}))
    await consume(queue, handler)
    assert queue.extended == [(["a"], 2)]
    assert queue.deleted == ["b"]


async def test_a_stop_ends_the_retries() -> None:
    """The message is released, so that another consumer gets it."""
    queue = Queue([message("a")])

    async def fail() -> Outcome:
        queue.stop.set()
        return Outcome(failed={"a"})

    await consume(queue, FakeHandler(fail), probe=TableUnavailable())
    assert queue.extended == [(["a"], 1)]


async def test_messages_stay_hidden_while_they_are_handled() -> None:
    """Even if one extension fails and one message is lost."""
    queue = Queue([message("a"), message("b")])
    queue.failures["extend"] = 1
    queue.lost = [message("b")]

    async def slow() -> Outcome:
        await queue.extended_twice.wait()
        return Outcome(done={"a", "b"})

    await consume(queue, FakeHandler(slow), visibility=0.03)
    assert queue.extended[:2] == [(["a", "b"], 0.03)] * 2
    assert sorted(queue.deleted) == ["a", "b"]


async def test_queue_requests_are_retried() -> None:
    """A message that is not deleted is delivered again, which changes no existing entry."""
    queue = Queue([message("a")], [message("a", receives=2)])
    queue.failures = {"receive": 2, "delete": 1}
    before = failures("use the queue")
    await consume(queue, FakeHandler(Outcome(done={"a"})))
    assert queue.deleted == ["a"]
    assert len(queue.waits) == 5
    assert failures("use the queue") == before + 3
