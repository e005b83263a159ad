"""The queue under what SQS does and no local engine (tests/aws_simulator)."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.aws_simulator.proxy import Behaviour, Forward, ManualClock, Request, Response, simulate
from tests.aws_simulator.queues import Queues
from tests.store.samples import price_changed
from vitrina.aws import connect_queue
from vitrina.backoff import Backoff
from vitrina.config import Settings
from vitrina.queue import provisioning
from vitrina.queue.notices import NoticeQueue
from vitrina.queue.provisioning import ensure

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient


@asynccontextmanager
async def client_on_aws(settings: Settings, *behaviours: Behaviour) -> "AsyncIterator[SQSClient]":
    """Yield a client of the queues behind what SQS does."""
    async with (
        simulate("", behaviours, queue=str(settings.queue_endpoint)) as urls,
        connect_queue(settings.model_copy(update={"queue_endpoint": urls.sqs})) as client,
    ):
        yield client


async def test_new_queues_can_be_used_once_they_are_made(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQS does not know them for a second after CreateQueue."""
    clock = ManualClock()
    monkeypatch.setattr(provisioning, "_CREATION", Backoff(first=0, longest=0))

    async def tick(request: Request, forward: Forward) -> Response:
        clock.advance(0.1)
        return await forward(request)

    async with client_on_aws(settings, tick, Queues(clock, random.Random(1), lost=0)) as client:
        name = settings.queue_name
        assert await ensure(client, settings) == [f"made {name}-dead.fifo", f"made {name}.fifo"]
        assert await NoticeQueue(client, name=name).send([price_changed()]) == []
        assert await ensure(client, settings) == []


async def test_a_receive_without_a_response_delays_no_message(queue: NoticeQueue, settings: Settings) -> None:
    """Without its attempt id the message would be hidden for the visibility timeout of a minute."""
    await queue.send([price_changed()])
    queues = Queues(ManualClock(), random.Random(1), lost=1, missed=1, again=0)
    async with client_on_aws(settings, queues) as client:
        channel = NoticeQueue(client, name=settings.queue_name).main
        assert len(await channel.receive(wait=1)) == 1
