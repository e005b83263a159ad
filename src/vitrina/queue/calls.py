"""Requests to SQS: bounded in time, and every outage raised as QueueUnavailable."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from vitrina.errors import QueueUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

_MISSING: Final = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
"""The code of the query protocol and that of the JSON protocol."""
_UNAVAILABLE: Final = _MISSING | frozenset({
    "AccessDenied",
    "AccessDeniedException",
    "AWS.SimpleQueueService.PurgeQueueInProgress",
    "AWS.SimpleQueueService.QueueDeletedRecently",
    "ExpiredToken",
    "InvalidClientTokenId",
    "KmsAccessDenied",
    "KmsDisabled",
    "KmsInvalidState",
    "KmsNotFound",
    "KmsThrottled",
    "OverLimit",
    "PurgeQueueInProgress",
    "QueueDeletedRecently",
    "RequestThrottled",
    "SignatureDoesNotMatch",
    "Throttling",
    "ThrottlingException",
    "UnrecognizedClientException",
})  # fmt: skip
"""Codes that are no fault of the request. A missing queue and revoked credentials count as outages as well."""


async def client_call(operation: str, call: Awaitable[T], *, timeout: float) -> T:  # noqa: ASYNC109 - its own
    """Return the response of a request; `timeout` seconds include the client's own retries.

    Raises QueueUnavailable, or ClientError if SQS rejects the request itself.
    """
    try:
        async with asyncio.timeout(timeout):
            return await call
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _UNAVAILABLE or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:  # noqa: PLR2004
            log.warning("queue_call_failed", operation=operation, code=code)
            raise QueueUnavailable from error
        raise
    except (BotoCoreError, TimeoutError, OSError) as error:
        log.warning("queue_unreachable", operation=operation, error=type(error).__name__)
        raise QueueUnavailable from error


def is_missing(error: QueueUnavailable) -> bool:
    """Return whether the cause is that no queue has that name."""
    cause = error.__cause__
    return isinstance(cause, ClientError) and cause.response["Error"]["Code"] in _MISSING
