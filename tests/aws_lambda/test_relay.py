"""The relay as a Lambda function, on records as Lambda and as DynamoDB Local give them."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tests.store.samples import create, edit
from tests.workers.fakes import change, noise
from vitrina.aws import connect, connect_queue, connect_streams
from vitrina.aws_lambda.relay import CONTAINER, handler
from vitrina.config import Settings
from vitrina.domain.notices import PriceChanged
from vitrina.queue.messages import Event
from vitrina.queue.notices import NoticeQueue
from vitrina.queue.provisioning import ensure
from vitrina.store.definition import create_table_arguments
from vitrina.store.products import ProductStore
from vitrina.store.stream import Record, find_stream
from vitrina.store.table import Table

CONTEXT = cast("Any", None)


@pytest.fixture
def settings(ministack: str, table_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The environment of a function; its container is a new one."""
    chosen = {"QUEUE_NAME": table_name, "QUEUE_ENDPOINT": ministack, "TABLE_NAME": table_name}
    chosen |= {"CONNECT_TIMEOUT": "10", "READ_TIMEOUT": "20", "LOG_LEVEL": "error"}
    for name, value in chosen.items():
        monkeypatch.setenv(f"VITRINA_{name}", value)
    yield Settings()
    CONTAINER.close()


async def make_queue(settings: Settings) -> None:
    async with connect_queue(settings) as client:
        await ensure(client, settings)


async def received(settings: Settings) -> list[Event]:
    """Receive all messages of the queue, then the dead letters."""
    async with connect_queue(settings) as client:
        queue = NoticeQueue(client, name=settings.queue_name)
        messages = await queue.main.receive(wait=1)
        return [message.event for message in [*messages, *await queue.dead_letters()]]


def lambda_event(*records: Record) -> dict[str, Any]:
    """An event of a table's stream, as the Lambda developer guide shows it."""
    around = {
        "eventID": "c4ca4238a0b923820dcc509a6f75849b",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/vitrina/stream/2026-11-24T07:00:00.000",
    }
    within = {"ApproximateCreationDateTime": 1479499740, "SizeBytes": 59, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    whole = [around | {**record, "dynamodb": within | record["dynamodb"]} for record in records]
    event: dict[str, Any] = json.loads(json.dumps({"Records": whole}))
    return event


def test_price_changes_are_sent_and_other_records_skipped(settings: Settings) -> None:
    """A change that cannot be decoded becomes a dead letter and does not block the shard."""
    asyncio.run(make_queue(settings))
    event = lambda_event(noise(1), change(2), change(3, at={"S": "yesterday"}), noise(4), change(5))
    assert handler(event, CONTEXT) == {"batchItemFailures": []}
    assert [each.version for each in asyncio.run(received(settings))] == [2, 5, 3]


def test_a_failure_names_the_first_record_to_redeliver(settings: Settings) -> None:
    """The container survives the failure and handles the next invocation."""
    event = lambda_event(noise(1), change(2), change(3))
    assert handler(event, CONTEXT) == {"batchItemFailures": [{"itemIdentifier": f"{2:021d}"}]}
    asyncio.run(make_queue(settings))
    assert handler(event, CONTEXT) == {"batchItemFailures": []}
    assert handler(event, CONTEXT) == {"batchItemFailures": []}
    assert [each.version for each in asyncio.run(received(settings))] == [2, 3]


def test_records_of_a_real_stream_are_understood(settings: Settings, dynamodb_local: str) -> None:
    async def records() -> list[Record]:
        local = settings.model_copy(update={"writer_endpoint": dynamodb_local, "environment": "development"})
        async with connect(local) as clients, connect_streams(local) as streams:
            await clients.writer.create_table(**create_table_arguments(local))
            store = ProductStore(Table(clients, name=local.table_name, deadline=30))
            made = await create(store)
            await edit(store, made, price=made.price + 1)
            stream = await find_stream(clients, streams, local.table_name)
            assert stream is not None
            [shard] = (await stream.shards()).values()
            page = await stream.page(await stream.iterator(shard.id, after=None))
            await clients.writer.delete_table(TableName=local.table_name)
            return list(page.records)

    asyncio.run(make_queue(settings))
    assert handler({"Records": asyncio.run(records())}, CONTEXT) == {"batchItemFailures": []}
    [event] = asyncio.run(received(settings))
    assert isinstance(event, PriceChanged)
    assert (event.old_price, event.price) == ("19.99", "20.99")
