"""Creates, updates and describes the table (R16); `definition.py` defines its required state.

An older table is updated by one change after the other, since DynamoDB accepts one new index per UpdateTable and
rejects changes while another is in progress. Each step follows from a comparison, so a run can be interrupted and
started again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from vitrina.backoff import Backoff
from vitrina.config import Settings
from vitrina.errors import TableUnavailable
from vitrina.store.definition import (
    END_STREAM,
    UNSUPPORTED,
    Difference,
    TableDescription,
    WarmThroughput,
    differences,
)

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

Report = Callable[[str], None]
"""Receives progress messages for an operator, a line each."""

_BUSY: Final = frozenset({"ContinuousBackupsUnavailableException", "LimitExceededException", "ResourceInUseException"})
"""Codes that pass: another change is in progress, or the backups of a new table are not available for some minutes."""
_DOWN: Final = frozenset({"RequestLimitExceeded", "ThrottlingException", "UnrecognizedClientException"})
_UNKNOWN: Final = frozenset({"UnknownOperation", "UnknownOperationException", "501"})
_POLLING: Final = Backoff(first=0.05, longest=5.0, factor=1.5, jitter=0)
_REPEATED: Final = 60.0
"""Seconds after which a message is reported again while its cause lasts."""
MISSING: Final = "MISSING"
"""The state of a table that does not exist."""


class SchemaError(Exception):
    """The table cannot be brought to the required state. The message gives the reason and what to do."""


class _CallRejected(Exception):
    """DynamoDB rejected a call with the error `code`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStatus:
    """The state of the table, and its differences from the required state.

    `items` and `size`, in bytes, are DynamoDB's own figures, which are up to six hours old.
    """

    name: str
    key: str
    state: str
    items: int
    size: int
    billing: str
    warm_throughput: str
    indexes: dict[str, str]
    stream: str
    ttl: str
    point_in_time_recovery: str
    deletion_protection: str
    differences: tuple[str, ...]


async def ensure(
    client: "DynamoDBClient",
    settings: Settings,
    report: Report,
    *,
    warm: WarmThroughput | None = None,
    before_change: Callable[[], Awaitable[None]] | None = None,
    seconds: float = 3600.0,
) -> bool:
    """Create the table or update an older one, and return whether it is new. Idempotent, and can be interrupted.

    `warm` is the least warm throughput; DynamoDB prepares a higher one in the background. `before_change` is awaited
    once before a table that exists is changed, and what it raises is propagated. Raises TableUnavailable, and
    SchemaError if the table is not Vitrina's or not ready within `seconds`: filling a new index over many items takes
    time, and the next run continues from there.
    """
    is_new = False
    doing = "looking at the table"
    applied: Difference | None = None
    polls = 0
    report = _once_a_minute(report)
    try:
        async with asyncio.timeout(seconds):
            while True:
                seen = await _describe(client, settings)
                pending = differences(seen, settings, warm)
                if not seen.activity and not pending:
                    return is_new
                if not seen.activity and pending[0].operation is None:
                    raise SchemaError(pending[0].what)
                if not seen.activity and seen.table and before_change is not None:
                    await before_change()
                    before_change = None
                now = seen.activity or f"{pending[0].what}: putting that right"
                if now != doing:
                    doing, polls = now, 0
                report(now)
                # DescribeTable is eventually consistent: an applied change becomes visible a moment later.
                if (
                    not seen.activity
                    and pending[0] != applied
                    and await _apply(client, settings, report, pending[0], warm)
                ):
                    applied = pending[0]
                    if applied.operation == "create_table":
                        is_new, before_change = True, None
                polls += 1
                await _POLLING.sleep(polls)
    except TimeoutError as error:
        raise SchemaError(f"not ready within {seconds:g} s ({doing}): run this again to go on") from error


async def end_stream(client: "DynamoDBClient", settings: Settings, report: Report) -> None:
    """Turn the table's stream off; `ensure` turns on a new one, without the records of earlier writes.

    For filling a new table with sample data. Raises as `ensure` does.
    """
    await _apply(client, settings, report, Difference("the table is to be filled", "update_table", END_STREAM))


async def status(client: "DynamoDBClient", settings: Settings) -> TableStatus:
    """Describe the table. Raises TableUnavailable, and SchemaError without permission to describe it."""
    seen = await _describe(client, settings)
    table = seen.table
    ttl = (seen.ttl.get("TimeToLiveStatus"), seen.ttl.get("AttributeName"))
    return TableStatus(
        name=settings.table_name,
        key=seen.key,
        state=table.get("TableStatus", MISSING),
        items=table.get("ItemCount", 0),
        size=table.get("TableSizeBytes", 0),
        billing=seen.billing,
        warm_throughput=_warm_throughput(seen),
        indexes={name: index.get("IndexStatus", "ACTIVE") for name, index in seen.indexes.items()},
        stream=seen.stream,
        ttl=" on ".join(filter(None, ttl)) or "DISABLED",
        point_in_time_recovery=seen.recovery,
        deletion_protection="ENABLED" if table.get("DeletionProtectionEnabled") else "DISABLED",
        differences=tuple(difference.what for difference in differences(seen, settings)),
    )


def _once_a_minute(report: Report) -> Report:
    reported: dict[str, float] = {}

    def report_unless_recent(text: str) -> None:
        if time.monotonic() - reported.get(text, -_REPEATED) >= _REPEATED:
            reported[text] = time.monotonic()
            report(text)

    return report_unless_recent


def _warm_throughput(seen: TableDescription) -> str:
    if (warm := seen.warm_throughput) is None:
        return UNSUPPORTED if seen.table else MISSING
    text = f"{warm.read:,} read and {warm.write:,} write units a second"
    return text if seen.table["WarmThroughput"].get("Status", "ACTIVE") == "ACTIVE" else f"{text}, being prepared"


async def _describe(client: "DynamoDBClient", settings: Settings) -> TableDescription:
    name = settings.table_name
    try:
        described = await _control(client.describe_table, TableName=name)
        ttl = await _control(client.describe_time_to_live, TableName=name)
    except _CallRejected as rejection:
        if rejection.code == "ResourceNotFoundException":
            return TableDescription({}, {}, "DISABLED")
        raise SchemaError(f"table {name}: {rejection}") from rejection
    return TableDescription(described["Table"], ttl["TimeToLiveDescription"], await _recovery(client, name))


async def _recovery(client: "DynamoDBClient", name: str) -> str:
    try:
        backups = (await _control(client.describe_continuous_backups, TableName=name))["ContinuousBackupsDescription"]
    except _CallRejected as rejection:
        if rejection.code in _UNKNOWN:
            return UNSUPPORTED
        # The backups of a new table become known a moment later.
        if rejection.code in {"TableNotFoundException", "ContinuousBackupsUnavailableException"}:
            return "DISABLED"
        raise SchemaError(f"table {name}: {rejection}") from rejection
    return str(backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus", "DISABLED"))


async def _apply(
    client: "DynamoDBClient",
    settings: Settings,
    report: Report,
    difference: Difference,
    warm: WarmThroughput | None = None,
) -> bool:
    """Apply the change for a difference; False if DynamoDB is busy and the call must be repeated later."""
    arguments = {"TableName": settings.table_name} | dict(difference.arguments or {})
    try:
        await _control(getattr(client, str(difference.operation)), **arguments)
    except _CallRejected as rejection:
        if rejection.code in _BUSY:
            report(f"not yet: {rejection}")
            return False
        # DynamoDB rejects a change that another run has made in the meantime.
        if difference not in differences(await _describe(client, settings), settings, warm):
            return False
        raise SchemaError(f"{difference.what}, and cannot be changed: {rejection}") from rejection
    return True


async def _control(method: Callable[..., Awaitable[Any]], **arguments: Any) -> Any:  # noqa: ANN401 - DynamoDB's response
    """Call the control plane. Raises TableUnavailable and _CallRejected."""
    try:
        return await method(**arguments)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        status_code = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if code in _DOWN or (status_code >= 500 and code not in _UNKNOWN):  # noqa: PLR2004
            raise TableUnavailable from error
        raise _CallRejected(code, error.response["Error"].get("Message", code)) from error
    except (BotoCoreError, OSError) as error:
        raise TableUnavailable from error
