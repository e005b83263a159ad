"""Calls of DynamoDB clients: counted, limited in time, tried again, and with outages mapped to TableUnavailable."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final

import orjson
import structlog
from botocore.exceptions import BotoCoreError, ClientError

from vitrina import metrics, tracing, usage
from vitrina.store.operations import Arguments
from vitrina.store.retries import IN_PROGRESS, LASTING, THROTTLING, Tries, kind_of

log = structlog.get_logger(__name__)

Method = Callable[..., Awaitable[Any]]
"""A method of a DynamoDB client."""

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
_KNOWN: Final = THROTTLING | LASTING | {
    IN_PROGRESS, "ExpiredTokenException", "InternalServerError", "InvalidSignatureException", "ServiceUnavailable",
}  # fmt: skip


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
    kind = kind_of(operation)
    metrics.DYNAMODB_UNITS.labels(operation, kind).inc(units)
    if request is not None and kind == "read":
        request.read_units += units
    elif request is not None:
        request.write_units += units
    return units
