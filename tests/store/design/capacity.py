"""What DynamoDB charges, computed by its rules: no local engine counts the units of a transaction correctly.

Sizes are those of "DynamoDB item sizes and formats", index copies those of "Using Global Secondary Indexes" (AWS's
developer guide). In a transaction only the table's part costs double; copies in the indexes cost what they always do
(measured on AWS: https://github.com/nubo-db/dynoxide/pull/188).
"""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from vitrina.store.items import RawItem
from vitrina.store.keys import INDEXES, Index

_WRITE_UNIT = 1024
_TRANSACTION = 2


class WriteUnits(NamedTuple):
    """Write units of one item: for the table, and for its copies in the indexes."""

    table: int
    indexes: int


def item_size(item: RawItem) -> int:
    """Return an item's bytes: the names and values of its attributes."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def write_units(before: RawItem | None, after: RawItem | None, *, transaction: bool) -> WriteUnits:
    """Return the cost of replacing an item by another; None is a missing item.

    A condition check in a transaction leaves the item unchanged and costs the table what a write would.
    """
    table = _units(max(item_size(before or {}), item_size(after or {})))
    copies = sum(copy_units(index, before or {}, after or {}) for index in INDEXES)
    return WriteUnits(table * _TRANSACTION if transaction else table, copies)


def copy_units(index: Index, before: RawItem, after: RawItem) -> int:
    """Return the cost in an index that projects all attributes: nothing if the copy does not change."""
    old, new = _copy_key(index, before), _copy_key(index, after)
    if old == new:
        return 0 if old is None or before == after else _units(max(item_size(before), item_size(after)))
    # A copy is never moved: it is deleted in one place and put in the other.
    return sum(_units(item_size(item)) for item, key in ((before, old), (after, new)) if key is not None)


def _copy_key(index: Index, item: RawItem) -> tuple[str, str] | None:
    if index.partition not in item or index.sort not in item:
        return None
    return item[index.partition]["S"], item[index.sort]["S"]


def _units(size: int) -> int:
    return max(1, math.ceil(size / _WRITE_UNIT))


def _value_size(typed: Mapping[str, Any]) -> int:
    ((kind, value),) = typed.items()
    match kind:
        case "S":
            return len(value.encode())
        case "B":
            return len(value)
        case "N":
            number = Decimal(value)
            digits = len(number.normalize().as_tuple().digits) if number else 0
            return (digits + 1) // 2 + 1
        case "BOOL" | "NULL":
            return 1
        case _:
            raise ValueError(f"no item has a value of the type {kind}")
