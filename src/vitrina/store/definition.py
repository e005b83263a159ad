"""The required state of the table, and the differences of an existing one (R16). Pure functions, no calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from vitrina.config import Settings
from vitrina.store.keys import INDEXES, TTL_ATTRIBUTE, Index

UNSUPPORTED: Final = "not supported by this engine"
_KEY_SCHEMA: Final = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
KEY: Final = "pk, sk"
"""The table's primary key, as `TableDescription.key` gives it."""
END_STREAM: Final = {"StreamSpecification": {"StreamEnabled": False}}
_STREAM: Final = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


class WarmThroughput(NamedTuple):
    """Units a second that the table serves at once; DynamoDB raises them with the load and never lowers them."""

    read: int
    write: int


INITIAL_THROUGHPUT: Final = WarmThroughput(12_000, 4_000)
"""Of each new on-demand table, and the least that can be asked for ("Understanding DynamoDB warm throughput")."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference, and the call that removes it; `operation` is None if no call can."""

    what: str
    operation: str | None = None
    arguments: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TableDescription:
    """DynamoDB's description of the table: `table` is empty if none exists. `recovery`: of point in time."""

    table: Mapping[str, Any]
    ttl: Mapping[str, Any]
    recovery: str

    @property
    def key(self) -> str:
        """The attributes of the primary key, with the types of those that are no strings; empty without a table."""
        types = {each["AttributeName"]: each["AttributeType"] for each in self.table.get("AttributeDefinitions", ())}
        names = [part["AttributeName"] for part in self.table.get("KeySchema", ())]
        return ", ".join(name if types[name] == "S" else f"{name} of type {types[name]}" for name in names)

    @property
    def indexes(self) -> dict[str, Mapping[str, Any]]:
        """The indexes by name."""
        return {index["IndexName"]: index for index in self.table.get("GlobalSecondaryIndexes") or ()}

    @property
    def stream(self) -> str:
        """The images in the stream; `off` without a stream."""
        stream = self.table.get("StreamSpecification") or {}
        return str(stream["StreamViewType"]) if stream.get("StreamEnabled") else "off"

    @property
    def billing(self) -> str:
        """The billing mode. DynamoDB gives it only after a switch, so before that it follows from the throughput."""
        provisioned = (self.table.get("ProvisionedThroughput") or {}).get("ReadCapacityUnits")
        mode = (self.table.get("BillingModeSummary") or {}).get("BillingMode")
        return str(mode or ("PROVISIONED" if provisioned else "PAY_PER_REQUEST"))

    @property
    def warm_throughput(self) -> WarmThroughput | None:
        """What the table serves at once; None on an engine that does not say."""
        warm = self.table.get("WarmThroughput")
        return WarmThroughput(warm["ReadUnitsPerSecond"], warm["WriteUnitsPerSecond"]) if warm else None

    @property
    def activity(self) -> str:
        """The change in progress, during which DynamoDB rejects others; empty without one."""
        for name, index in self.indexes.items():
            state = index.get("IndexStatus", "ACTIVE")
            if state != "ACTIVE":
                return f"index {name}: {'filling' if index.get('Backfilling') else state.lower()}"
        state = self.table.get("TableStatus", "ACTIVE")
        return "" if state == "ACTIVE" else f"table: {state.lower()}"


def create_table_arguments(settings: Settings, warm: WarmThroughput | None = None) -> dict[str, Any]:
    """Return the arguments of CreateTable: in production the table is protected from its first second."""
    arguments: dict[str, Any] = {
        "TableName": settings.table_name,
        "KeySchema": _KEY_SCHEMA,
        "AttributeDefinitions": _attributes("pk", "sk", *(name for index in INDEXES for name in index[1:])),
        "GlobalSecondaryIndexes": [_index(index) for index in INDEXES],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": _STREAM,
    }
    if settings.environment == "production":
        arguments["DeletionProtectionEnabled"] = True
    return arguments if warm is None else arguments | _warm_arguments(warm)


def differences(seen: TableDescription, settings: Settings, warm: WarmThroughput | None = None) -> list[Difference]:
    """Return the differences, in the order in which they have to be removed; `warm` is the least warm throughput.

    Backups come last: those of a new table are unavailable for minutes.
    """
    name, table = settings.table_name, seen.table
    if not table:
        return [Difference(f"table {name} is missing", "create_table", create_table_arguments(settings, warm))]
    if seen.key != KEY:
        return [
            Difference(f"table {name} is not Vitrina's, its key is ({seen.key}): set VITRINA_TABLE_NAME to another")
        ]
    return [
        *_billing(seen),
        *(difference for index in INDEXES for difference in _index_differences(seen, index)),
        *_stream(seen),
        *_ttl(seen),
        *(_warmth(seen, warm) if warm else ()),
        *(_protection(seen) if settings.environment == "production" else ()),
    ]


def _billing(seen: TableDescription) -> list[Difference]:
    if seen.billing == "PAY_PER_REQUEST":
        return []
    return [Difference("billing is not on demand", "update_table", {"BillingMode": "PAY_PER_REQUEST"})]


def _index_differences(seen: TableDescription, index: Index) -> list[Difference]:
    there, wanted = seen.indexes.get(index.name), _index(index)
    if there is None:
        update = {
            "AttributeDefinitions": _attributes("pk", "sk", index.partition, index.sort),
            "GlobalSecondaryIndexUpdates": [{"Create": wanted}],
        }
        return [Difference(f"index {index.name} is missing", "update_table", update)]
    if _differs(there["KeySchema"], wanted["KeySchema"]) or there["Projection"] != wanted["Projection"]:
        return [Difference(f"index {index.name} has another key or projection: delete it, then run this again")]
    return []


def _stream(seen: TableDescription) -> list[Difference]:
    if seen.stream == _STREAM["StreamViewType"]:
        return []
    if seen.stream == "off":
        return [Difference("the stream is off", "update_table", {"StreamSpecification": _STREAM})]
    # A stream cannot be changed; it has to be turned off and on again.
    return [Difference(f"the stream has {seen.stream} alone", "update_table", END_STREAM)]


def _ttl(seen: TableDescription) -> list[Difference]:
    state, attribute = seen.ttl.get("TimeToLiveStatus"), seen.ttl.get("AttributeName")
    if state in {"ENABLED", "ENABLING"} and attribute == TTL_ATTRIBUTE:
        return []
    if state in {"ENABLED", "ENABLING", "DISABLING"}:
        return [Difference(f"TTL is {state} on {attribute}: turn it off, wait for an hour, then run this again")]
    enable = {"TimeToLiveSpecification": {"Enabled": True, "AttributeName": TTL_ATTRIBUTE}}
    return [Difference("TTL is off", "update_time_to_live", enable)]


def _warmth(seen: TableDescription, wanted: WarmThroughput) -> list[Difference]:
    there = seen.warm_throughput
    if there is None:
        return [Difference(f"warm throughput is {UNSUPPORTED}")]
    raised = WarmThroughput(*map(max, there, wanted))
    if raised == there:
        return []
    return [
        Difference(
            f"warm throughput is {there.read:,} read and {there.write:,} write units a second",
            "update_table",
            _warm_arguments(raised),
        )
    ]


def _warm_arguments(warm: WarmThroughput) -> dict[str, Any]:
    return {"WarmThroughput": {"ReadUnitsPerSecond": warm.read, "WriteUnitsPerSecond": warm.write}}


def _protection(seen: TableDescription) -> list[Difference]:
    if seen.recovery == UNSUPPORTED:
        return [Difference(f"point-in-time recovery is {UNSUPPORTED}, and production requires it")]
    found = []
    if not seen.table.get("DeletionProtectionEnabled"):
        found.append(Difference("deletion protection is off", "update_table", {"DeletionProtectionEnabled": True}))
    if seen.recovery != "ENABLED":
        enable = {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}
        found.append(Difference("point-in-time recovery is off", "update_continuous_backups", enable))
    return found


def _index(index: Index) -> dict[str, Any]:
    return {
        "IndexName": index.name,
        "KeySchema": [
            {"AttributeName": index.partition, "KeyType": "HASH"},
            {"AttributeName": index.sort, "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "ALL"},
    }


def _attributes(*names: str) -> list[dict[str, str]]:
    return [{"AttributeName": name, "AttributeType": "S"} for name in dict.fromkeys(names)]


def _differs(there: list[dict[str, str]], wanted: list[dict[str, str]]) -> bool:
    return {part["KeyType"]: part["AttributeName"] for part in there} != {
        part["KeyType"]: part["AttributeName"] for part in wanted
    }
