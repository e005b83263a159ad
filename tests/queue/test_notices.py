"""The queue of price changes, on MiniStack: order, deduplication and dead letters."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.events import price_changed
from vitrina.aws import connect_queue
from vitrina.config import Settings
from vitrina.errors import QueueUnavailable
from vitrina.queue.channel import Depth, Received
from vitrina.queue.messages import ChangeUnread
from vitrina.queue.notices import NoticeQueue
from vitrina.queue.provisioning import ensure

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient


async def everything(queue: NoticeQueue) -> list[Received]:
    """Receive and delete all messages."""
    found: list[Received] = []
    while more := await queue.main.receive(wait=0):
        found += more
        assert await queue.main.delete(more) == []
    return found


async def test_events_arrive_in_order_for_each_product(queue: NoticeQueue) -> None:
    """A batch holds ten messages of ten products."""
    sent = [price_changed(product_id=f"p{number % 13}", version=2 + number // 13) for number in range(60)]
    assert await queue.send(sent) == []
    found = [message.event for message in await everything(queue)]
    assert sorted(event.id for event in found) == sorted(event.id for event in sent)
    for product in {event.product_id for event in sent}:
        assert [each for each in found if each.product_id == product] == [
            each for each in sent if each.product_id == product
        ]


async def test_a_change_arrives_once(queue: NoticeQueue) -> None:
    """Within five minutes, even if the first message was deleted or is in the same request."""
    event = price_changed()
    await queue.send([event, event])
    assert len(await everything(queue)) == 1
    await queue.send([event])
    assert await everything(queue) == []


async def test_a_message_has_its_group_receive_count_and_time(queue: NoticeQueue) -> None:
    """Its repr does not contain the body."""
    event = price_changed()
    await queue.send([event])
    [message] = await queue.main.receive(wait=1)
    assert (message.group, message.receives) == (event.product_id, 1)
    assert abs(datetime.now(UTC) - message.sent_at) < timedelta(minutes=5)
    assert event.name not in repr(message)
    assert await queue.main.extend([message], 0) == []
    [again] = await queue.main.receive(wait=1)
    assert again.receives == 2


async def test_a_received_message_blocks_only_its_product(queue: NoticeQueue) -> None:
    await queue.send([price_changed(product_id="p", version=2)])
    [first] = await queue.main.receive(wait=1)
    await queue.send([price_changed(product_id="p", version=3), price_changed(product_id="q")])
    [other] = await queue.main.receive(wait=0)
    assert other.group == "q"
    assert await queue.main.extend([first, other], 30) == []
    assert await queue.main.depth() == Depth(visible=1, in_flight=2, delayed=0)


async def test_invalid_receipts_are_returned(queue: NoticeQueue) -> None:
    """A deleted message can be neither deleted nor extended again."""
    await queue.send([price_changed()])
    taken = await queue.main.receive(wait=1)
    await queue.main.delete(taken)
    assert await queue.main.delete(taken) == taken
    assert await queue.main.extend(taken, 5) == taken


async def test_a_missing_queue_is_an_outage(sqs: "SQSClient", settings: Settings) -> None:
    """The same client works as soon as the queue exists."""
    queue = NoticeQueue(sqs, name=settings.queue_name)
    with pytest.raises(QueueUnavailable):
        await queue.send([price_changed()])
    await ensure(sqs, settings)
    await queue.send([price_changed()])
    assert len(await everything(queue)) == 1


async def test_an_unreachable_endpoint_is_an_outage(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"queue_endpoint": "http://127.0.0.1:9", "connect_timeout": 1.0})
    async with connect_queue(nowhere) as client:
        with pytest.raises(QueueUnavailable):
            await NoticeQueue(client, name="q").main.receive(wait=0)
        with pytest.raises(QueueUnavailable):
            await ensure(client, nowhere)


async def test_queues_are_created_and_updated(sqs: "SQSClient", settings: Settings) -> None:
    """A second run changes nothing; a changed setting is applied to the existing queue."""
    name = settings.queue_name
    assert await ensure(sqs, settings) == [f"made {name}-dead.fifo", f"made {name}.fifo"]
    assert await ensure(sqs, settings) == []
    more = settings.model_copy(update={"queue_max_receives": 9, "queue_visibility_timeout": 70})
    assert await ensure(sqs, more) == [f"set RedrivePolicy, VisibilityTimeout of {name}.fifo"]
    assert await ensure(sqs, more) == []
    wanted = {
        "FifoQueue": "true",
        "MessageRetentionPeriod": "1209600",
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
        "SqsManagedSseEnabled": "true",
    }
    for queue in (f"{name}.fifo", f"{name}-dead.fifo"):
        url = (await sqs.get_queue_url(QueueName=queue))["QueueUrl"]
        found = (await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))["Attributes"]
        assert wanted.items() <= dict(found).items()


async def test_a_message_that_keeps_failing_becomes_a_dead_letter(queue: NoticeQueue) -> None:
    """After `queue_max_receives`; other groups are not blocked."""
    poison, fine = price_changed(), price_changed()
    await queue.send([poison])
    for _ in range(2):
        await queue.main.extend(await queue.main.receive(wait=1), 0)
    await queue.send([fine])
    assert [message.event for message in await everything(queue)] == [fine]
    [letter] = await queue.dead_letters()
    assert letter.event == poison
    assert [message.id for message in await queue.dead_letters()] == [letter.id], "looking takes nothing away"


async def test_dead_letters_are_replayed(queue: NoticeQueue) -> None:
    """At once, although their original deduplication ids are still known to the queue, and in order."""
    events = [price_changed(product_id=f"p{number % 3}", version=2 + number // 3) for number in range(45)]
    await queue.send(events)
    while await queue.main.depth() != Depth(visible=0, in_flight=0, delayed=0):
        await queue.main.extend(await queue.main.receive(wait=0), 0)
    assert len(await queue.replay()) == 45
    assert await queue.dead_letters() == []
    found = [message.event for message in await everything(queue)]
    for product in ("p0", "p1", "p2"):
        versions = [event.version for event in found if event.product_id == product]
        assert versions == list(range(2, 17))


async def test_one_dead_letter_is_replayed(queue: NoticeQueue) -> None:
    """The others stay visible."""
    for version in (2, 3):
        await queue.dead_letter(ChangeUnread(product_id=f"p{version}", version=version, reason="test"))
    first, second = await queue.dead_letters()
    assert await queue.replay(letter_id="nobody") == []
    assert [letter.id for letter in await queue.replay(letter_id=second.id)] == [second.id]
    assert [letter.id for letter in await queue.dead_letters()] == [first.id]
    [message] = await everything(queue)
    assert message.event == second.event


async def test_dead_letters_are_purged(queue: NoticeQueue) -> None:
    await queue.dead_letter(ChangeUnread(product_id="p", version=2, reason="test"))
    await queue.dead.purge()
    assert await queue.dead_letters() == []
