"""How failed calls of DynamoDB are tried again: pauses, deadlines, and what they raise in the end."""

import asyncio
import math
from typing import Final

from botocore.retries.quota import RetryQuota

from vitrina.backoff import Backoff
from vitrina.errors import TableUnavailable
from vitrina.store.pace import Pace

_READS: Final = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})
THROTTLING: Final = frozenset({
    "LimitExceededException", "ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException",
})  # fmt: skip
IN_PROGRESS: Final = "TransactionInProgressException"
"""An earlier try of the same transaction, by its token, has not ended yet."""
LASTING: Final = frozenset({"AccessDeniedException", "ResourceNotFoundException", "UnrecognizedClientException"})
"""Outages that last for longer than a call may: missing rights or tables, and revoked credentials."""
_TRIES: Final = 4
_COST: Final = 5
"""What a retry takes from a quota of 500, which successes refill (as botocore's): a long outage leaves a call 1 try."""
_BACKOFF: Final = Backoff(first=0.05, longest=0.4)


class RetryPolicy:
    """How often and how long the operations of one owner are tried.

    A failed call is tried four times within `deadline` seconds. Until then a batch waits for the rest once DynamoDB has
    left items unprocessed, and a write for other transactions, throttled items or its own earlier try. With `patience`,
    in seconds and for work that no client waits for, all throttling is waited out so long, reads and writes keep the
    pace that DynamoDB admits, and each call between two pauses has the deadline.
    """

    def __init__(self, *, deadline: float, patience: float | None = None) -> None:
        self.deadline = deadline
        self.patience = patience
        self.quota = RetryQuota()
        self.paces = None if patience is None else {"read": Pace(), "write": Pace()}

    def start(self, *, within: float = math.inf) -> "Tries":
        """Begin an operation, of which no try is sent later than in `within` seconds."""
        return Tries(self, within)


class TimePassed(Exception):
    """No try was sent in time, or DynamoDB has refused all of them: nothing was written."""


class Tries:
    """The tries of one operation, which can consist of several calls."""

    __slots__ = ("_began", "_failures", "_latest", "_pace", "_pauses", "_policy", "_until", "ends", "repeats")

    def __init__(self, policy: RetryPolicy, within: float) -> None:
        now = asyncio.get_running_loop().time()
        self.ends = now + policy.deadline
        """When the current call must have ended, by the event loop's clock."""
        self.repeats = False
        """Whether an earlier call may have been carried out although it failed: perhaps only its response was lost."""
        self._until = self.ends if policy.patience is None else now + policy.patience
        self._latest = now + within
        self._policy = policy
        self._pace: Pace | None = None
        self._began = now
        self._failures = 0
        self._pauses = 0

    async def begin(self, operation: str) -> None:
        """Wait until a call of bulk work may begin. Raises TimePassed if it is too late to send a try.

        Raises TableUnavailable instead if an earlier try may have succeeded.
        """
        loop = asyncio.get_running_loop()
        pace = self._pace = None if self._policy.paces is None else self._policy.paces[kind_of(operation)]
        while True:
            self._began = loop.time()
            self.check_time()  # First, for what begins now is counted.
            pause = pace.pause(operation, at=self._began) if pace else 0.0
            if not pause:
                return
            await asyncio.sleep(pause)
            self.ends = loop.time() + self._policy.deadline

    def check_time(self) -> None:
        """Raise TimePassed if it is too late for a try, TableUnavailable if an earlier one may have succeeded."""
        if asyncio.get_running_loop().time() > self._latest:
            raise TableUnavailable if self.repeats else TimePassed

    def succeeded(self, operation: str, units: float) -> None:
        """Let the next call have all of its tries, and later ones of other operations too."""
        self._policy.quota.release(_COST if self._failures else 1)
        self._failures = 0
        if self._pace is not None:
            self._pace.admitted(operation, units, at=asyncio.get_running_loop().time())

    async def failed(self, code: str, cause: Exception) -> None:
        """Wait before the next try of a failed call. Raises TableUnavailable if there is none."""
        self.repeats |= code not in THROTTLING
        waits = self._pauses > 0 or self._policy.patience is not None
        if code == IN_PROGRESS or (waits and code in THROTTLING):
            await self.wait(cause, throttled=code in THROTTLING)
            return
        self._failures += 1
        if code in LASTING or self._failures >= _TRIES or not self._policy.quota.acquire(_COST):
            raise TableUnavailable(throttled=code in THROTTLING) from cause
        otherwise = TableUnavailable(throttled=code in THROTTLING)
        await self._pause(_BACKOFF.pause(self._failures), self.ends, cause, otherwise)

    async def wait(
        self,
        cause: Exception | None = None,
        *,
        throttled: bool = True,
        otherwise: type[Exception] = TableUnavailable,
    ) -> None:
        """Wait after an answer that asks for patience. Raises `otherwise` when it has been waited long enough."""
        if self._pace is not None and throttled:  # Its rate makes the next pause as long as need be.
            self._pace.throttled(began=self._began, at=asyncio.get_running_loop().time())
        else:
            self._pauses += 1
        error = TableUnavailable(throttled=throttled) if otherwise is TableUnavailable else otherwise()
        await self._pause(_BACKOFF.pause(max(self._pauses, 1)), self._until, cause, error)
        if self._pace is not None:
            self.ends = asyncio.get_running_loop().time() + self._policy.deadline

    @staticmethod
    async def _pause(seconds: float, until: float, cause: Exception | None, otherwise: Exception) -> None:
        if asyncio.get_running_loop().time() + seconds >= until:
            raise otherwise from cause
        await asyncio.sleep(seconds)


def kind_of(operation: str) -> str:
    """Return the kind of capacity units that an operation uses: "read" or "write"."""
    return "read" if operation in _READS else "write"
