"""Calls of DynamoDB clients: counted, limited in time, tried again, and with outages mapped to TableUnavailable."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final

import orjson
import structlog
from botocore.exceptions import BotoCoreError, ClientError
from botocore.retries.quota import RetryQuota

from vitrina import metrics, tracing, usage
from vitrina.backoff import Backoff
from vitrina.errors import TableUnavailable
from vitrina.store.operations import Arguments
from vitrina.store.pace import Pace

log = structlog.get_logger(__name__)

Method = Callable[..., Awaitable[Any]]
"""A method of a DynamoDB client."""

_READS: Final = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})
_REFUSALS: Final = frozenset({
    "ConditionalCheckFailedException",
    "ExpiredIteratorException",
    "IdempotentParameterMismatchException",
    "SerializationException",
    "TransactionCanceledException",
    "TransactionConflictException",
    "TrimmedDataAccessException",
    "ValidationException",
})  # fmt: skip
"""Error codes that answer a request, or are its own fault. All others are outages, those that AWS adds too."""
_THROTTLING: Final = frozenset({
    "LimitExceededException", "ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException",
})  # fmt: skip
_IN_PROGRESS: Final = "TransactionInProgressException"
"""An earlier try of the same transaction, by its token, has not ended yet."""
_LASTING: Final = frozenset({"AccessDeniedException", "ResourceNotFoundException", "UnrecognizedClientException"})
"""Outages that last for longer than a call may: missing rights or tables, and revoked credentials."""
_KNOWN: Final = _THROTTLING | _LASTING | {
    _IN_PROGRESS, "ExpiredTokenException", "InternalServerError", "InvalidSignatureException", "ServiceUnavailable",
}  # fmt: skip
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
        pace = self._pace = None if self._policy.paces is None else self._policy.paces[_kind(operation)]
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
        self.repeats |= code not in _THROTTLING
        waits = self._pauses > 0 or self._policy.patience is not None
        if code == _IN_PROGRESS or (waits and code in _THROTTLING):
            await self.wait(cause, throttled=code in _THROTTLING)
            return
        self._failures += 1
        if code in _LASTING or self._failures >= _TRIES or not self._policy.quota.acquire(_COST):
            raise TableUnavailable(throttled=code in _THROTTLING) from cause
        otherwise = TableUnavailable(throttled=code in _THROTTLING)
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


async def client_call(
    operation: str,
    method: Method,
    arguments: Arguments,
    tries: Tries,
    *,
    has_units: bool = True,
    slot: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> Any:  # noqa: ANN401 - DynamoDB's own response
    """Call `method`, again while the `tries` allow it, and return its response.

    Each try waits for a `slot`, and holds it. Calls that are sent and capacity units (calls of a stream have none) are
    added to the metrics and to the usage of the current HTTP request. Within a trace the call with its tries is a span.
    Raises TableUnavailable, the ClientError of a refusal, and what the wait for a slot raises.
    """
    if tracing.trace_id() is None:
        return await _tried(operation, method, arguments, tries, has_units=has_units, slot=slot)
    with tracing.span(f"DynamoDB.{operation}", "CLIENT", _described(operation, arguments)) as span:
        response = await _tried(operation, method, arguments, tries, has_units=has_units, slot=slot)
        if span is not None:
            units = [orjson.dumps(each).decode() for each in _consumed(response)]
            span.set_attribute("aws.dynamodb.consumed_capacity", units)
            if request_id := response["ResponseMetadata"].get("RequestId"):
                span.set_attribute("aws.request_id", request_id)
        return response


async def _tried(
    operation: str,
    method: Method,
    arguments: Arguments,
    tries: Tries,
    *,
    has_units: bool,
    slot: Callable[[], AbstractAsyncContextManager[None]],
) -> Any:  # noqa: ANN401
    request = usage.current()
    if has_units:
        arguments = arguments | {"ReturnConsumedCapacity": "TOTAL"}
    while True:
        await tries.begin(operation)
        try:
            async with asyncio.timeout_at(tries.ends), slot():
                if request is not None:
                    request.calls += 1
                metrics.DYNAMODB_CALLS.labels(operation).inc()
                response = await method(**arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            metrics.DYNAMODB_ERRORS.labels(operation, code).inc()
            is_known = code in _KNOWN or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500  # noqa: PLR2004
            if code in _REFUSALS and not is_known:
                raise
            report = log.warning if is_known else log.error
            report("dynamodb_failed", operation=operation, code=code)
            await tries.failed(code, error)
        except (BotoCoreError, TimeoutError, OSError) as error:
            name = type(error).__name__
            metrics.DYNAMODB_ERRORS.labels(operation, name).inc()
            log.warning("dynamodb_unreachable", operation=operation, error=name)
            await tries.failed(name, error)
        else:
            tries.succeeded(operation, _count(operation, _consumed(response), request))
            return response


def _kind(operation: str) -> str:
    return "read" if operation in _READS else "write"


def _described(operation: str, arguments: Arguments) -> tracing.Attributes:
    """Return a call's attributes by OpenTelemetry's conventions for DynamoDB and AWS's SDKs; no key and no value."""
    found: dict[str, str | Sequence[str]] = {
        "db.system.name": "aws.dynamodb",
        "db.operation.name": operation,
        "rpc.system": "aws-api",
        "rpc.service": "DynamoDB",
        "rpc.method": operation,
    }
    if "RequestItems" in arguments:
        found["aws.dynamodb.table_names"] = list(arguments["RequestItems"])
    elif "TransactItems" in arguments:
        writes = (write for item in arguments["TransactItems"] for write in item.values())
        found["aws.dynamodb.table_names"] = sorted({write["TableName"] for write in writes})
    elif "TableName" in arguments:
        found["aws.dynamodb.table_names"] = [arguments["TableName"]]
    if "IndexName" in arguments:
        found["aws.dynamodb.index_name"] = arguments["IndexName"]
    return found


def _consumed(response: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - DynamoDB's own response
    """Return the capacity that a response reports, by table."""
    consumed = response.get("ConsumedCapacity")
    return consumed if isinstance(consumed, list) else [consumed] if consumed else []


def _count(operation: str, tables: list[dict[str, Any]], request: usage.Usage | None) -> float:
    """Add an operation's units to the metrics and to the usage of a request, and return them."""
    units: float = sum(table.get("CapacityUnits", 0.0) for table in tables)
    kind = _kind(operation)
    metrics.DYNAMODB_UNITS.labels(operation, kind).inc(units)
    if request is not None and kind == "read":
        request.read_units += units
    elif request is not None:
        request.write_units += units
    return units
