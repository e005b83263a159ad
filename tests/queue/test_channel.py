# ruff: noqa: N803 - SQS's own names
"""Responses that SQS may give and no local engine does, from a fake client."""

import asyncio
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from vitrina.backoff import Backoff
from vitrina.errors import QueueUnavailable
from vitrina.queue.channel import Channel, Message, Received
from vitrina.queue.notices import NoticeQueue

Answer = dict[str, Any] | Exception


class Sqs:
    """A client that gives `answers` in turn, then success; records the batches."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.batches: list[list[str]] = []
        self.attempts: list[str] = []

    async def get_queue_url(self, **_: object) -> dict[str, str]:
        return {"QueueUrl": "url"}

    async def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: ARG002
        return self._answer([entry["MessageBody"] for entry in Entries])

    async def delete_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: ARG002
        return self._answer([entry["ReceiptHandle"] for entry in Entries])

    async def receive_message(
        self,
        *,
        WaitTimeSeconds: int,
        ReceiveRequestAttemptId: str,
        **_: object,
    ) -> dict[str, Any]:
        """Return nothing to a receive that does not wait, as some of SQS's servers do."""
        self.attempts.append(ReceiveRequestAttemptId)
        return self._answer([]) if WaitTimeSeconds else {}

    async def change_message_visibility_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: ARG002
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
    return Message(body=body, group=group, deduplication_id=body)


def received(receipt: str) -> Received:
    return Received(id=receipt, receipt=receipt, group="g", body="", receives=1, sent_at=cast("Any", None))


async def test_only_failed_entries_are_sent_again() -> None:
    """Before the next message of their group, which never shares a request with them."""
    sqs = Sqs(failed(0))
    sent = [message("a1", "a"), message("a2", "a"), message("b1", "b"), message("c1", "c")]
    assert await channel_on(sqs).send(sent) == []
    assert sqs.batches == [["a1", "b1", "c1"], ["a1"], ["a2"]]


async def test_sender_faults_are_returned_and_block_nothing() -> None:
    sqs = Sqs(failed(0, fault=True))
    sent = [message("a1", "a"), message("a2", "a")]
    assert await channel_on(sqs).send(sent) == [sent[0]]
    assert sqs.batches == [["a1"], ["a2"]]


async def test_five_failures_in_a_row_are_an_outage() -> None:
    sqs = Sqs(*[failed(0)] * 9)
    with pytest.raises(QueueUnavailable):
        await channel_on(sqs).send([message("a1", "a")])
    assert len(sqs.batches) == 5


async def test_requests_respect_the_quotas() -> None:
    """10 messages and 256 KiB; a longer message is sent alone."""
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
    """It is called before each request."""
    sqs = Sqs()
    asked = iter([None, None, KeyError("enough")])

    def check() -> None:
        if problem := next(asked):
            raise problem

    with pytest.raises(KeyError):
        await channel_on(sqs).send([message(str(number), "a") for number in range(5)], check=check)
    assert sqs.batches == [["0"], ["1"]]


async def test_only_failed_deletions_are_repeated() -> None:
    """Those with a `SenderFault` are returned: their receipts are no longer valid."""
    mixed = {"Failed": [*failed(1)["Failed"], *failed(2, fault=True)["Failed"]]}
    sqs = Sqs(mixed)
    messages = [received(receipt) for receipt in ("r0", "r1", "r2")]
    assert await channel_on(sqs).delete(messages) == [messages[2]]
    assert sqs.batches == [["r0", "r1", "r2"], ["r1"]]


@pytest.mark.parametrize(
    "problem",
    [
        error("RequestThrottled"),
        error("QueueDoesNotExist"),
        error("KmsOptInRequired"),
        error("RequestExpired", 403),
        error("AddedLater"),
        error("Anything", 503),
        TimeoutError(),
        OSError(),
    ],
)
async def test_every_outage_raises_queue_unavailable(problem: Exception) -> None:
    with pytest.raises(QueueUnavailable) as raised:
        await channel_on(Sqs(problem)).send([message("a1", "a")])
    assert raised.value.__cause__ is problem


async def test_an_invalid_request_raises_client_error() -> None:
    """It is a programming error, so it must not be hidden as an outage."""
    for code in ("UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation"):
        with pytest.raises(ClientError):
            await channel_on(Sqs(error(code))).send([message("a1", "a")])


async def test_a_receive_without_a_response_is_repeated_under_its_id() -> None:
    """SQS then returns the same messages; without it their groups would be hidden for the visibility timeout.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-receiverequestattemptid-request-parameter.html
    """
    sqs = Sqs(TimeoutError(), error("InternalError", 500), {}, {})
    channel = channel_on(sqs)
    for _ in range(2):
        with pytest.raises(QueueUnavailable):
            await channel.receive(wait=1)
    for _ in range(2):
        assert await channel.receive(wait=1) == []
    lost, again, answered, new = sqs.attempts
    assert lost == again == answered != new


async def test_concurrent_receives_have_ids_of_their_own() -> None:
    """Two under one id would get the same messages."""
    sqs = Sqs()
    channel = channel_on(sqs)
    await asyncio.gather(channel.receive(wait=1), channel.receive(wait=1))
    assert len(set(sqs.attempts)) == 2


async def test_dead_letters_are_all_found_by_receives_that_wait() -> None:
    """One that does not wait asks some of the servers, and may find nothing."""
    attributes = {"ApproximateReceiveCount": "3", "MessageGroupId": "g", "SentTimestamp": "0"}
    letters = [{"MessageId": name, "ReceiptHandle": name, "Body": "", "Attributes": attributes} for name in "ab"]
    sqs = Sqs(*({"Messages": [letter]} for letter in letters), {})
    queue = NoticeQueue(cast("Any", sqs), name="q")
    assert [letter.id for letter in await queue.dead_letters()] == ["a", "b"]
