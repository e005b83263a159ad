"""An account of Amazon SES: it sends nothing and keeps what it would send."""

import base64
from collections import deque
from collections.abc import Iterable
from typing import Final

from tests.aws_simulator.proxy import SES_API, Clock, Forward, Json, Request, Response, refusal

_DAY: Final = 86_400.0
_UNVERIFIED: Final = "Email address is not verified. The following identities failed the check in region {}: {}"


class MailAccount:
    """Sends for the `verified` addresses and domains; in the sandbox only to them, too. A test changes its attributes.

    `rate` is in messages a second, `quota` in messages in 24 hours.
    """

    def __init__(self, clock: Clock, *, verified: Iterable[str], sandbox: bool = False) -> None:
        self._clock = clock
        self.verified = frozenset(verified)
        self.sandbox = sandbox
        self.paused = False
        self.rate, self.quota = (1.0, 200.0) if sandbox else (14.0, 50_000.0)
        self.sent: list[tuple[str, bytes]] = []
        """Each message, with its recipient."""
        self._times: deque[float] = deque()
        """When the messages of the last 24 hours were sent."""
        self.attempts: list[tuple[float, str]] = []
        """When each message was to be sent, and its recipient."""

    async def __call__(self, request: Request, forward: Forward) -> Response:
        """Respond to the operations of SES, and forward the others."""
        if request.target != SES_API:
            return await forward(request)
        while self._times and self._times[0] <= self._clock.now() - _DAY:
            self._times.popleft()
        if request.operation == "GetAccount":
            return Response(200, self._description())
        recipient: str = request.body["Destination"]["ToAddresses"][0]
        self.attempts.append((self._clock.now(), recipient))
        if refused := self._refusal(request.body["FromEmailAddress"], recipient, request.endpoint.region):
            return refused
        self._times.append(self._clock.now())
        self.sent.append((recipient, base64.b64decode(request.body["Content"]["Raw"]["Data"])))
        return Response(200, {"MessageId": f"{len(self.sent):016x}"})

    def _description(self) -> Json:
        sent = float(len(self._times))
        quota = {"Max24HourSend": self.quota, "MaxSendRate": self.rate, "SentLast24Hours": sent}
        production = {"ProductionAccessEnabled": not self.sandbox, "SendingEnabled": not self.paused}
        return {"SendQuota": quota, "EnforcementStatus": "HEALTHY", **production}

    def _refusal(self, sender: str, recipient: str, region: str) -> Response | None:
        if self.paused:
            return refusal("SendingPausedException", "Email sending is paused for your AWS account.")
        needed = [sender, recipient] if self.sandbox else [sender]
        if failed := [one for one in needed if not {one, one.rpartition("@")[2]} & self.verified]:
            return refusal("MessageRejected", _UNVERIFIED.format(region.upper(), ", ".join(failed)))
        if len(self._times) >= self.quota:
            return refusal("LimitExceededException", "Daily message quota exceeded.")
        if sum(at > self._clock.now() - 1 for at in self._times) >= self.rate:
            return refusal("TooManyRequestsException", "Maximum sending rate exceeded.", status=429)
        return None
