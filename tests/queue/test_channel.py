# ruff: noqa: N803 - SQS's own names
"""Responses that SQS may give and no local engine does, from a fake client."""

from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from vitrina.backoff import Backoff
from vitrina.errors import QueueUnavailable
from vitrina.queue.channel import Channel, Message, Received

Answer = dict[str, Any] | Exception


class Sqs:
    """A client that gives `answers` in turn, then success; records the batches."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.batches: list[list[str]] = []

    async def get_queue_url(self, **_: object) -> dict[str, str]:
        return {"QueueUrl": "url"}

    async def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: ARG002
        return self._answer([entry["MessageBody"] for entry in Entries])

    async def delete_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: ARG002
        return self._answer([entry["ReceiptHandle"] for entry in Entries])

    def _answer(self, asked: list[str]) -> dict[str, Any]:
        self.batches.append(asked)
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        return answer


def channel_on(sqs: Sqs) -> Channel:
    """A channel to the fake, without pauses."""
    return Channel(cast("Any", sqs), "q.fifo", backoff=Backoff(first=0, longest=0))


def failed(*numbers: int, fault: bool = False) -> dict[str, Any]:
    """A response in which these entries failed."""
    return {"Failed": [{"Id": str(number), "SenderFault": fault, "Code": "InternalError"} for number in numbers]}


def error(code: str, status: int = 400) -> ClientError:
    """An error response."""
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": cast("Any", {"HTTPStatusCode": status})}, "Send")


def message(body: str, group: str) -> Message:
    """A message."""
    return Message(body=body, group=group, deduplication_id=body)


def received(receipt: str) -> Received:
    """A message that was received."""
    return Received(id=receipt, receipt=receipt, group="g", body="", receives=1, sent_at=cast("Any", None))


async def test_only_what_failed_is_sent_again() -> None:
    """Before what stands behind it in its group, which is in no call with it."""
    sqs = Sqs(failed(0))
    sent = [message("a1", "a"), message("a2", "a"), message("b1", "b"), message("c1", "c")]
    assert await channel_on(sqs).send(sent) == []
    assert sqs.batches == [["a1", "b1", "c1"], ["a1"], ["a2"]]


async def test_what_is_at_fault_itself_is_refused_and_holds_nothing_up() -> None:
    """The others are sent."""
    sqs = Sqs(failed(0, fault=True))
    sent = [message("a1", "a"), message("a2", "a")]
    assert await channel_on(sqs).send(sent) == [sent[0]]
    assert sqs.batches == [["a1"], ["a2"]]


async def test_what_keeps_failing_is_an_outage() -> None:
    """After five calls in a row."""
    sqs = Sqs(*[failed(0)] * 9)
    with pytest.raises(QueueUnavailable):
        await channel_on(sqs).send([message("a1", "a")])
    assert len(sqs.batches) == 5


async def test_a_call_holds_no_more_than_it_may() -> None:
    """Ten messages, 256 KB; a message that is longer by itself goes by itself."""
    sqs = Sqs()
    await channel_on(sqs).send([message(f"{number:02d}", f"g{number}") for number in range(23)])
    assert [len(batch) for batch in sqs.batches] == [10, 10, 3]
    sqs.batches.clear()
    await channel_on(sqs).send([message(str(number) * 100_000, f"g{number}") for number in range(5)])
    assert [len(batch) for batch in sqs.batches] == [2, 2, 1]
    sqs.batches.clear()
    await channel_on(sqs).send([message("x" * 300_000, "a"), message("y", "b")])
    assert [len(batch) for batch in sqs.batches] == [1, 1]


async def test_a_check_can_end_the_sending() -> None:
    """It is asked before each call."""
    sqs = Sqs()
    asked = iter([None, None, KeyError("enough")])

    def check() -> None:
        if problem := next(asked):
            raise problem

    with pytest.raises(KeyError):
        await channel_on(sqs).send([message(str(number), "a") for number in range(5)], check=check)
    assert sqs.batches == [["0"], ["1"]]


async def test_only_what_was_not_deleted_is_deleted_again() -> None:
    """And what is another's by now is told."""
    mixed = {"Failed": [*failed(1)["Failed"], *failed(2, fault=True)["Failed"]]}
    sqs = Sqs(mixed)
    messages = [received(receipt) for receipt in ("r0", "r1", "r2")]
    assert await channel_on(sqs).delete(messages) == [messages[2]]
    assert sqs.batches == [["r0", "r1", "r2"], ["r1"]]


@pytest.mark.parametrize(
    "problem",
    [error("RequestThrottled"), error("QueueDoesNotExist"), error("Anything", 503), TimeoutError(), OSError()],
)
async def test_an_outage_has_one_name(problem: Exception) -> None:
    """Whatever it is in detail."""
    with pytest.raises(QueueUnavailable) as raised:
        await channel_on(Sqs(problem)).send([message("a1", "a")])
    assert raised.value.__cause__ is problem


async def test_what_is_wrong_with_the_call_itself_is_no_outage() -> None:
    """It is raised as it is, and loudly: nobody expects it."""
    with pytest.raises(ClientError):
        await channel_on(Sqs(error("UnsupportedOperation"))).send([message("a1", "a")])
