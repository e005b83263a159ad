"""Transactions whose failures have names: each step says what its failed condition means."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vitrina.store.items import Item
from vitrina.store.table import Table, TransactionFailed
from vitrina.store.writes import Write

T = TypeVar("T")
Explain = Callable[[Item | None], Exception]


def _impossible(item: Item | None) -> Exception:
    # What an item holds must not reach a log.
    return AssertionError(f"a write without a condition failed on {type(item).__name__} {item and item.pk}")


@dataclass(frozen=True, slots=True)
class Step:
    """A write of a transaction, and the error that its failed condition becomes, told what was there instead."""

    write: Write
    otherwise: Explain = _impossible


AlsoWrite = Callable[[T], Sequence[Step]]
"""Returns further steps for the transaction that creates a value, given that value."""


def nothing_else(_: object) -> Sequence[Step]:
    """Return no further steps."""
    return ()


async def commit(table: Table, steps: Sequence[Step]) -> None:
    """Do all steps or none. Where several conditions failed, the first step's error is raised."""
    try:
        await table.transact([step.write for step in steps])
    except TransactionFailed as failure:
        position = min(failure.failed)
        raise steps[position].otherwise(failure.failed[position]) from failure
