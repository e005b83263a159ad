"""What SQS does with FIFO queues and the local queue does not."""

import random
import uuid
from typing import Final

from tests.aws_simulator.proxy import Clock, Forward, Json, LostAnswer, Request, Response, refusal

_USABLE: Final = 1.0
"""Seconds from the creation of a queue until it can be used."""
_REMEMBERED: Final = 300.0
"""Seconds for which deduplication ids and receive attempts are remembered."""
_IN_FLIGHT: Final = 120_000


class Queues:
    """Queues whose messages are deduplicated by the message group, as Vitrina's are.

    `lost` is the share of receives whose response the client never gets, `missed` that of receives without a wait that
    ask servers without messages, and `again` that of deleted messages that are delivered once more.
    """

    def __init__(
        self,
        clock: Clock,
        dice: random.Random,
        *,
        in_flight: int = _IN_FLIGHT,
        lost: float = 0.02,
        missed: float = 0.3,
        again: float = 0.02,
    ) -> None:
        self._clock = clock
        self._dice = dice
        self._in_flight = in_flight
        self.lost = lost
        self.missed = missed
        self.again = again
        self._usable: dict[str, float] = {}
        """When a new queue can be used, by its name."""
        self._sent: dict[tuple[str, str, str], tuple[float, Json]] = {}
        """By queue, group and deduplication id: when a message was sent, and the response to that."""
        self._received: dict[str, tuple[float, Response]] = {}
        """By attempt id: when messages were received, and the response."""

    async def __call__(self, request: Request, forward: Forward) -> Response:  # noqa: PLR0911 - one for each operation
        """Respond to a request, or forward it."""
        if request.endpoint.service != "sqs":
            return await forward(request)
        name = queue_of(request)
        if self._usable.get(name, 0.0) > self._clock.now():
            return refusal("QueueDoesNotExist", "The specified queue does not exist.")
        match request.operation:
            case "CreateQueue":
                return await self._create(name, request, forward)
            case "SendMessageBatch":
                return await self._send(name, request, forward)
            case "ReceiveMessage":
                return await self._receive(request, forward)
            case "DeleteMessageBatch":
                return await self._delete(request, forward)
            case _:
                return await forward(request)

    async def _create(self, name: str, request: Request, forward: Forward) -> Response:
        exists = await forward(request.other("GetQueueUrl", {"QueueName": name}))
        response = await forward(request)
        if response.ok and not exists.ok:
            self._usable[name] = self._clock.now() + _USABLE
        return response

    async def _send(self, queue: str, request: Request, forward: Forward) -> Response:
        """Send the messages that were not sent in the last five minutes."""
        now, keys, done, new = self._clock.now(), {}, [], []
        self._sent = {key: kept for key, kept in self._sent.items() if now - kept[0] < _REMEMBERED}
        for entry in request.body["Entries"]:
            key = keys[entry["Id"]] = queue, entry["MessageGroupId"], entry["MessageDeduplicationId"]
            if key in self._sent:
                done.append(self._sent[key][1] | {"Id": entry["Id"]})
            else:  # The engine forgets by its own clock: it must not see a repeated id.
                new.append(entry | {"MessageDeduplicationId": uuid.uuid4().hex})
        if not new:
            return Response(200, {"Successful": done})
        response = await forward(request.changed(Entries=new))
        if response.ok:
            sent = response.body.get("Successful", [])
            self._sent |= {keys[each["Id"]]: (now, each) for each in sent}
            response = Response(200, response.body | {"Successful": done + sent})
        return response

    async def _receive(self, request: Request, forward: Forward) -> Response:
        now, attempt = self._clock.now(), request.body.get("ReceiveRequestAttemptId", "")
        received, response = self._received.get(attempt, (-_REMEMBERED, None))
        if response is not None and now - received < _REMEMBERED:
            return response
        if not request.body.get("WaitTimeSeconds") and self._dice.random() < self.missed:
            return Response(200, {})
        counted = {"QueueUrl": request.body["QueueUrl"], "AttributeNames": ["ApproximateNumberOfMessagesNotVisible"]}
        found = await forward(request.other("GetQueueAttributes", counted))
        if found.ok and int(found.body["Attributes"]["ApproximateNumberOfMessagesNotVisible"]) >= self._in_flight:
            return Response(200, {})
        response = await forward(request)
        if attempt and response.body.get("Messages"):
            self._received[attempt] = now, response
        if response.ok and self._dice.random() < self.lost:
            raise LostAnswer
        return response

    async def _delete(self, request: Request, forward: Forward) -> Response:
        """Delete most messages; the others are only shown again."""
        entries: dict[bool, list[Json]] = {True: [], False: []}
        for entry in request.body["Entries"]:
            entries[self._dice.random() < self.again].append(entry)
        successful = []
        if again := entries[True]:
            shown = [entry | {"VisibilityTimeout": 0} for entry in again]
            request_ = request.other("ChangeMessageVisibilityBatch", request.body | {"Entries": shown})
            successful = (await forward(request_)).body.get("Successful", [])
        if not entries[False]:
            return Response(200, {"Successful": successful})
        response = await forward(request.changed(Entries=entries[False]))
        if response.ok:
            response.body["Successful"] = response.body.get("Successful", []) + successful
        return response


def queue_of(request: Request) -> str:
    """Return the name of the queue that a request names."""
    name: str = request.body.get("QueueName") or request.body.get("QueueUrl", "").rpartition("/")[2]
    return name
