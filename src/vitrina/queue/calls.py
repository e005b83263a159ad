"""A call to SQS: bounded in time, and an outage under its name."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from vitrina.errors import QueueUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

_MISSING: Final = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
"""The same by SQS's older protocol and by its newer one."""
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
"""Nothing that the caller did wrong: a queue that is not there (yet) and revoked credentials are outages as well."""


async def make(operation: str, call: Awaitable[T], *, timeout: float) -> T:  # noqa: ASYNC109 - a call's, beside its retries
    """Await a call and return its answer within `timeout` seconds, with the client's own retries.

    Raises QueueUnavailable, and the ClientError of a call that SQS refused.
    """
    try:
        async with asyncio.timeout(timeout):
            return await call
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _UNAVAILABLE or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:  # noqa: PLR2004
            log.warning("queue_failed", operation=operation, code=code)
            raise QueueUnavailable from error
        raise
    except (BotoCoreError, TimeoutError, OSError) as error:
        log.warning("queue_unreachable", operation=operation, error=type(error).__name__)
        raise QueueUnavailable from error


def is_missing(error: QueueUnavailable) -> bool:
    """Say whether the queue does not answer because there is none of that name."""
    cause = error.__cause__
    return isinstance(cause, ClientError) and cause.response["Error"]["Code"] in _MISSING
