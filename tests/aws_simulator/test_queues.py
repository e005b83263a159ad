"""FIFO queues behave as those of SQS; the queue behind is MiniStack's."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from tests.aws_simulator.conftest import Call, request
from tests.aws_simulator.proxy import Json, LostAnswer, ManualClock, Response, chain
from tests.aws_simulator.queues import Queues

OnQueue = Callable[..., Awaitable[Call]]


@pytest.fixture
async def on_queue(ministack: str, table_name: str, clock: ManualClock) -> AsyncIterator[OnQueue]:
    """Returns what calls a new queue: `await call("SendMessageBatch", Entries=…)`."""
    name = f"{table_name}.fifo"
    async with aiohttp.ClientSession() as http:

        async def on_queue(queues: Queues, *, wait: float = 1.0) -> Call:
            forward = chain(http, ministack, [queues])

            async def call(operation: str, /, **parameters: object) -> Response:
                body = (
                    parameters
                    if operation == "CreateQueue"
                    else {"QueueUrl": f"{ministack}/000000000000/{name}", **parameters}
                )
                return await forward(request(operation, body, host="sqs"))

            await call("CreateQueue", QueueName=name, Attributes={"FifoQueue": "true"})
            clock.advance(wait)
            return call

        yield on_queue


def queues(clock: ManualClock, *, in_flight: int = 120_000, **shares: float) -> Queues:
    """Return queues on which nothing happens by chance but what the shares name."""
    chosen = {"lost": 0.0, "missed": 0.0, "again": 0.0} | shares
    return Queues(clock, random.Random(1), in_flight=in_flight, **chosen)


def entry(number: int, deduplication_id: str = "") -> Json:
    """An entry of a batch, in a group of its own."""
    group, message = f"g{number}", deduplication_id or f"m{number}"
    return {"Id": str(number), "MessageBody": message, "MessageGroupId": group, "MessageDeduplicationId": message}


async def bodies(call: Call, **options: object) -> list[str]:
    """Receive, and return the bodies."""
    received = await call("ReceiveMessage", **{"MaxNumberOfMessages": 10, "WaitTimeSeconds": 1} | options)
    return sorted(message["Body"] for message in received.body.get("Messages", ()))


async def test_a_new_queue_is_usable_after_a_second(on_queue: OnQueue, clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html."""
    call = await on_queue(queues(clock), wait=0.9)
    assert (await call("GetQueueAttributes")).code == "QueueDoesNotExist"
    clock.advance(0.1)
    assert (await call("GetQueueAttributes")).ok


async def test_a_repeated_message_is_dropped_for_five_minutes(on_queue: OnQueue, clock: ManualClock) -> None:
    """Whatever became of the first one.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html
    """
    call = await on_queue(queues(clock))
    first = (await call("SendMessageBatch", Entries=[entry(1)])).body["Successful"][0]
    received = (await call("ReceiveMessage", WaitTimeSeconds=1)).body["Messages"]
    await call("DeleteMessageBatch", Entries=[{"Id": "0", "ReceiptHandle": received[0]["ReceiptHandle"]}])
    clock.advance(299)
    again = (await call("SendMessageBatch", Entries=[entry(1), entry(2)])).body["Successful"]
    assert again[0] == first
    assert await bodies(call) == ["m2"]
    clock.advance(1)
    await call("SendMessageBatch", Entries=[entry(1)])
    assert await bodies(call) == ["m1"]


async def test_a_lost_answer_hides_its_messages_but_not_from_its_attempt(on_queue: OnQueue, clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-receiverequestattemptid-request-parameter.html."""
    losing = queues(clock, lost=1)
    call = await on_queue(losing)
    await call("SendMessageBatch", Entries=[entry(1)])
    with pytest.raises(LostAnswer):
        await bodies(call, ReceiveRequestAttemptId="a")
    losing.lost = 0
    assert await bodies(call, ReceiveRequestAttemptId="b", WaitTimeSeconds=0) == []
    assert await bodies(call, ReceiveRequestAttemptId="a") == ["m1"]


async def test_a_short_poll_may_miss_messages(on_queue: OnQueue, clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html."""
    call = await on_queue(queues(clock, missed=1))
    await call("SendMessageBatch", Entries=[entry(1)])
    assert await bodies(call, WaitTimeSeconds=0) == []
    assert await bodies(call) == ["m1"]


async def test_no_more_messages_are_received_than_may_be_in_flight(on_queue: OnQueue, clock: ManualClock) -> None:
    """Without an error. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-fifo.html."""
    call = await on_queue(queues(clock, in_flight=2))
    await call("SendMessageBatch", Entries=[entry(number) for number in range(3)])
    assert len(await bodies(call, MaxNumberOfMessages=2)) == 2
    assert await bodies(call) == []


async def test_a_deleted_message_may_be_delivered_again(on_queue: OnQueue, clock: ManualClock) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html."""
    call = await on_queue(queues(clock, again=1))
    await call("SendMessageBatch", Entries=[entry(1)])
    received = (await call("ReceiveMessage", WaitTimeSeconds=1)).body["Messages"]
    entries = [{"Id": "0", "ReceiptHandle": received[0]["ReceiptHandle"]}]
    assert (await call("DeleteMessageBatch", Entries=entries)).body["Successful"] == [{"Id": "0"}]
    assert await bodies(call) == ["m1"]
