"""Tables and indexes come about slowly: minutes on AWS, seconds here."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from tests.aws_simulator.proxy import Clock, Forward, Json, Request, Response, refusal

_PROTECTED: Final = (
    "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first."
)
_TOO_COLD: Final = "One or more parameter values were invalid: warm throughput cannot be decreased"
_STRIPPED: Final = {"DeletionProtectionEnabled", "WarmThroughput"}
"""Parameters that the engine does not know."""
_ONE_INDEX: Final = "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table"


@dataclass(slots=True)
class _Table:
    """What the proxy knows of a table: until when it is what, 0 if it existed before."""

    creating: float = 0.0
    without_backups: float = 0.0
    updating: float = 0.0
    filling: dict[str, float] = field(default_factory=dict)
    """By the names of new indexes."""
    protected: bool = False
    warm: Json = field(default_factory=lambda: {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000})
    recoverable: bool = False


class ControlPlane:
    """States of tables and indexes, deletion protection, warm throughput and backups, which DynamoDB Local lacks.

    The durations are in seconds: `creating` a table, then until its `backups` are available, `updating` it, and
    `filling` an index. The engine has table and index from the beginning; they are only not shown as such.
    """

    def __init__(
        self, clock: Clock, *, creating: float = 1.0, backups: float = 2.0, updating: float = 0.5, filling: float = 2.0
    ) -> None:
        self._clock = clock
        self._creating = creating
        self._backups = backups
        self._updating = updating
        self._filling = filling
        self._tables: defaultdict[str, _Table] = defaultdict(_Table)

    async def __call__(self, request: Request, forward: Forward) -> Response:
        """Respond to the control plane's operations, and refuse the use of what is not ready."""
        name = request.body.get("TableName", "")
        match request.operation:
            case "CreateTable":
                return await self._create(name, request, forward)
            case "DescribeTable":
                return self._shown(name, await forward(request))
            case "UpdateTable":
                return await self._update(name, request, forward)
            case "DeleteTable":
                return await self._delete(name, request, forward)
            case "DescribeContinuousBackups" | "UpdateContinuousBackups":
                return await self._recovery(name, request, forward)
        return self._unusable(request) or await forward(request)

    async def _create(self, name: str, request: Request, forward: Forward) -> Response:
        if _is_too_cold(request, _Table()):
            return refusal("ValidationException", _TOO_COLD)
        response = await forward(_stripped(request))
        if response.ok:
            active = self._clock.now() + self._creating
            protected = request.body.get("DeletionProtectionEnabled", False)
            table = _Table(creating=active, without_backups=active + self._backups, protected=protected)
            table.warm |= request.body.get("WarmThroughput", {})
            self._tables[name] = table
        return self._shown(name, response)

    async def _update(self, name: str, request: Request, forward: Forward) -> Response:
        table, now = self._tables[name], self._clock.now()
        changes = [change for change in request.body.get("GlobalSecondaryIndexUpdates", ()) if "Update" not in change]
        if len(changes) > 1 or (changes and any(until > now for until in table.filling.values())):
            return refusal("LimitExceededException", _ONE_INDEX)
        if max(table.creating, table.updating) > now:
            return _in_use(name)
        if _is_too_cold(request, table):
            return refusal("ValidationException", _TOO_COLD)
        stripped = _stripped(request)
        if stripped.body.keys() == {"TableName"}:
            stripped = request.other("DescribeTable", {"TableName": name})
        response = await forward(stripped)
        if response.ok:
            table.protected = request.body.get("DeletionProtectionEnabled", table.protected)
            table.warm |= request.body.get("WarmThroughput", {})
            table.updating = now + self._updating
            table.filling |= {each["Create"]["IndexName"]: now + self._filling for each in changes if "Create" in each}
            response = Response(200, {"TableDescription": next(iter(response.body.values()))})
        return self._shown(name, response)

    async def _delete(self, name: str, request: Request, forward: Forward) -> Response:
        if self._tables[name].protected:
            return refusal("ValidationException", _PROTECTED)
        if self._tables[name].creating > self._clock.now():
            return _in_use(name)
        response = await forward(request)
        if response.ok:
            del self._tables[name]
        return response

    async def _recovery(self, name: str, request: Request, forward: Forward) -> Response:
        table = self._tables[name]
        if not (await forward(request.other("DescribeTable", {"TableName": name}))).ok:
            return refusal("TableNotFoundException", f"Table not found: {name}")
        is_early = table.without_backups > self._clock.now()
        if request.operation == "UpdateContinuousBackups":
            if is_early:
                message = f"Backups are being enabled for the table: {name}. Please retry later"
                return refusal("ContinuousBackupsUnavailableException", message)
            table.recoverable = request.body["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
        description = {
            "ContinuousBackupsStatus": "DISABLED" if is_early else "ENABLED",
            "PointInTimeRecoveryDescription": {
                "PointInTimeRecoveryStatus": "ENABLED" if table.recoverable else "DISABLED"
            },
        }
        return Response(200, {"ContinuousBackupsDescription": description})

    def _unusable(self, request: Request) -> Response | None:
        """Return the refusal of a request for a table or an index that is being created."""
        now = self._clock.now()
        parts = request.body.get("TransactItems", ())
        names = {request.body.get("TableName"), *request.body.get("RequestItems", ())}
        names |= {action["TableName"] for part in parts for action in part.values()}
        tables = [self._tables[name] for name in names if name in self._tables]
        if any(table.creating > now for table in tables):
            return refusal("ResourceNotFoundException", "Requested resource not found")
        index = request.body.get("IndexName", "")
        if any(table.filling.get(index, 0) > now for table in tables):
            return refusal("ValidationException", f"Cannot read from backfilling global secondary index: {index}")
        return None

    def _shown(self, name: str, response: Response) -> Response:
        """Return a response whose one member describes the table, with the states that AWS would show."""
        if not response.ok:
            return response
        ((member, description),) = response.body.items()
        table, now = self._tables[name], self._clock.now()
        shown: Json = {**description, "DeletionProtectionEnabled": table.protected}
        shown["WarmThroughput"] = {**table.warm, "Status": "ACTIVE" if table.updating <= now else "UPDATING"}
        if max(table.creating, table.updating) > now:
            shown["TableStatus"] = "CREATING" if table.creating > now else "UPDATING"
        for index in shown.get("GlobalSecondaryIndexes", ()):
            if table.creating > now:
                index["IndexStatus"] = "CREATING"
            elif table.filling.get(index["IndexName"], 0) > now:
                index |= {"IndexStatus": "CREATING", "Backfilling": table.updating <= now}
        return Response(200, {member: shown})


def _in_use(name: str) -> Response:
    return refusal("ResourceInUseException", f"Attempt to change a resource which is still in use: Table: {name}")


def _is_too_cold(request: Request, table: _Table) -> bool:
    """Return whether a request would lower the warm throughput, which DynamoDB refuses."""
    return any(units < table.warm[name] for name, units in request.body.get("WarmThroughput", {}).items())


def _stripped(request: Request) -> Request:
    body = {name: value for name, value in request.body.items() if name not in _STRIPPED}
    return request.other(request.operation, body)
