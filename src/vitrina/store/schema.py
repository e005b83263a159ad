"""The table made, brought up to date and described (R16); `definition.py` says what it should be.

An older table gets what it lacks one change after the other, since DynamoDB takes one new index per UpdateTable and no
change while it works on another. Each step is found by comparing, so a run can be interrupted and started again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from vitrina.config import Settings
from vitrina.errors import TableUnavailable
from vitrina.store.definition import END_STREAM, UNSUPPORTED, Difference, Seen, differences

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

Report = Callable[[str], None]
"""Told, in a line for people, what is being done."""

_BUSY: Final = frozenset({"LimitExceededException", "ResourceInUseException"})
_DOWN: Final = frozenset({"RequestLimitExceeded", "ThrottlingException", "UnrecognizedClientException"})
_UNKNOWN: Final = frozenset({"UnknownOperation", "UnknownOperationException", "501"})
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 5.0


MISSING: Final = "MISSING"
"""The state of a table that is not there."""


class SchemaError(Exception):
    """The table is not what Vitrina needs and cannot be made so; the message says why and what to do."""


class _Refused(Exception):
    """DynamoDB refused a call, for the reason `code`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStatus:
    """What is there, and how it differs from what it should be.

    `items` and `size`, in bytes, are DynamoDB's own figures, up to six hours old.
    """

    name: str
    state: str
    items: int
    size: int
    billing: str
    indexes: dict[str, str]
    stream: str
    ttl: str
    point_in_time_recovery: str
    deletion_protection: str
    differences: tuple[str, ...]


async def ensure(client: "DynamoDBClient", settings: Settings, report: Report, *, seconds: float = 3600.0) -> bool:
    """Make the table, or bring an older one up to date; returns whether it is new. Running it again does no harm.

    Raises TableUnavailable, and SchemaError when the table is not Vitrina's or not ready within `seconds`: a new index
    over many items is filled for a while, and the next run goes on from there.
    """
    is_new = False
    doing = "looking at the table"
    applied: Difference | None = None
    pause = _FIRST_PAUSE
    try:
        async with asyncio.timeout(seconds):
            while True:
                seen = await _look(client, settings)
                pending = differences(seen, settings)
                if not seen.work and not pending:
                    return is_new
                if pending and pending[0].operation is None:
                    raise SchemaError(pending[0].what)
                now = seen.work or f"{pending[0].what}: putting that right"
                if now != doing:
                    doing, pause = now, _FIRST_PAUSE
                    report(now)
                # What has been applied is seen a moment later: DescribeTable is eventually consistent.
                if not seen.work and pending[0] != applied and await _apply(client, settings, report, pending[0]):
                    applied = pending[0]
                    is_new = is_new or applied.operation == "create_table"
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE)
    except TimeoutError as error:
        raise SchemaError(f"not ready within {seconds:g} s ({doing}): run this again to go on") from error


async def end_stream(client: "DynamoDBClient", settings: Settings, report: Report) -> None:
    """End the table's stream; `ensure` begins another, which does not contain what was written before.

    For a table that is new and is to be filled. Raises as `ensure`.
    """
    await _apply(client, settings, report, Difference("the table is to be filled", "update_table", END_STREAM))


async def status(client: "DynamoDBClient", settings: Settings) -> TableStatus:
    """Describe the table. Raises TableUnavailable, and SchemaError when this account may not look at it."""
    seen = await _look(client, settings)
    table = seen.table
    ttl = (seen.ttl.get("TimeToLiveStatus"), seen.ttl.get("AttributeName"))
    return TableStatus(
        name=settings.table_name,
        state=table.get("TableStatus", MISSING),
        items=table.get("ItemCount", 0),
        size=table.get("TableSizeBytes", 0),
        billing=seen.billing,
        indexes={name: index.get("IndexStatus", "ACTIVE") for name, index in seen.indexes.items()},
        stream=seen.stream,
        ttl=" on ".join(filter(None, ttl)) or "DISABLED",
        point_in_time_recovery=seen.recovery,
        deletion_protection="ENABLED" if table.get("DeletionProtectionEnabled") else "DISABLED",
        differences=tuple(difference.what for difference in differences(seen, settings)),
    )


async def _look(client: "DynamoDBClient", settings: Settings) -> Seen:
    name = settings.table_name
    try:
        described = await _ask(client.describe_table, TableName=name)
        ttl = await _ask(client.describe_time_to_live, TableName=name)
    except _Refused as refusal:
        if refusal.code == "ResourceNotFoundException":
            return Seen({}, {}, "DISABLED")
        raise SchemaError(f"table {name}: {refusal}") from refusal
    return Seen(described["Table"], ttl["TimeToLiveDescription"], await _recovery(client, name))


async def _recovery(client: "DynamoDBClient", name: str) -> str:
    try:
        backups = (await _ask(client.describe_continuous_backups, TableName=name))["ContinuousBackupsDescription"]
    except _Refused as refusal:
        if refusal.code in _UNKNOWN:
            return UNSUPPORTED
        # The backups of a table that has just been made are known a moment after it.
        if refusal.code in {"TableNotFoundException", "ContinuousBackupsUnavailableException"}:
            return "DISABLED"
        raise SchemaError(f"table {name}: {refusal}") from refusal
    return str(backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus", "DISABLED"))


async def _apply(client: "DynamoDBClient", settings: Settings, report: Report, difference: Difference) -> bool:
    """Take a difference away; False when DynamoDB is at something else and wants to be asked later."""
    arguments = {"TableName": settings.table_name} | dict(difference.arguments or {})
    try:
        await _ask(getattr(client, str(difference.operation)), **arguments)
    except _Refused as refusal:
        if refusal.code in _BUSY:
            report(f"not yet: {refusal}")
            return False
        # What another run has done meanwhile, DynamoDB calls an invalid request.
        if difference not in differences(await _look(client, settings), settings):
            return False
        raise SchemaError(f"{difference.what}, and cannot be changed: {refusal}") from refusal
    return True


async def _ask(method: Callable[..., Awaitable[Any]], **arguments: Any) -> Any:  # noqa: ANN401 - DynamoDB's answer
    """Make a call of the control plane. Raises TableUnavailable and _Refused."""
    try:
        return await method(**arguments)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        status_code = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if code in _DOWN or (status_code >= 500 and code not in _UNKNOWN):  # noqa: PLR2004
            raise TableUnavailable from error
        raise _Refused(code, error.response["Error"].get("Message", code)) from error
    except (BotoCoreError, OSError) as error:
        raise TableUnavailable from error
