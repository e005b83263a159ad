"""Calls of DynamoDB clients: counted, limited in time, and with outages mapped to TableUnavailable."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from vitrina import metrics, usage
from vitrina.errors import TableUnavailable
from vitrina.store.operations import Arguments

log = structlog.get_logger(__name__)

Method = Callable[..., Awaitable[Any]]
"""A method of a DynamoDB client."""

_READS: Final = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})
_UNAVAILABLE: Final = frozenset({
    "AccessDeniedException",
    "ExpiredTokenException",
    "InternalServerError",
    "InvalidSignatureException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ResourceNotFoundException",
    "ServiceUnavailable",
    "ThrottlingException",
    "TransactionInProgressException",
    "UnrecognizedClientException",
})  # fmt: skip
"""Error codes of outages; revoked credentials and a missing table are outages too."""


async def client_call(
    operation: str, method: Method, arguments: Arguments, *, deadline: float, has_units: bool = True
) -> Any:  # noqa: ANN401 - DynamoDB's own response
    """Call `method` and return its response. `deadline` is in seconds and includes the client's own retries.

    Calls and capacity units (calls of a stream have none) are added to the metrics and to the usage of the current
    HTTP request. Raises TableUnavailable, and the ClientError of any other rejection.
    """
    request = usage.current()
    if request is not None:
        request.calls += 1
    metrics.DYNAMODB_CALLS.labels(operation).inc()
    try:
        async with asyncio.timeout(deadline):
            response = await method(**arguments, **({"ReturnConsumedCapacity": "TOTAL"} if has_units else {}))
    except ClientError as error:
        code = error.response["Error"]["Code"]
        metrics.DYNAMODB_ERRORS.labels(operation, code).inc()
        if code in _UNAVAILABLE or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:  # noqa: PLR2004
            log.warning("dynamodb_failed", operation=operation, code=code)
            raise TableUnavailable from error
        raise
    except (BotoCoreError, TimeoutError, OSError) as error:
        metrics.DYNAMODB_ERRORS.labels(operation, type(error).__name__).inc()
        log.warning("dynamodb_unreachable", operation=operation, error=type(error).__name__)
        raise TableUnavailable from error
    _count(operation, response.get("ConsumedCapacity"), request)
    return response


def _count(operation: str, consumed: Any, request: usage.Usage | None) -> None:  # noqa: ANN401
    tables = consumed if isinstance(consumed, list) else [consumed] if consumed else []
    units = sum(table.get("CapacityUnits", 0.0) for table in tables)
    kind = "read" if operation in _READS else "write"
    metrics.DYNAMODB_UNITS.labels(operation, kind).inc(units)
    if request is not None and kind == "read":
        request.read_units += units
    elif request is not None:
        request.write_units += units
