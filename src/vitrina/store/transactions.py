"""Transactions whose steps define the errors of their failed conditions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vitrina.store.items import Item
from vitrina.store.operations import Write
from vitrina.store.table import Table, TransactionFailed

T = TypeVar("T")
Explain = Callable[[Item | None], Exception]


def _impossible(item: Item | None) -> Exception:
    # Only type and key: attributes may be personal data, which must not reach a log.
    return AssertionError(f"a write without a condition failed on {type(item).__name__} {item and item.pk}")


@dataclass(frozen=True, slots=True)
class Step:
    """A write of a transaction; `otherwise` makes the error for a failed condition from the existing item, if any."""

    write: Write
    otherwise: Explain = _impossible


AlsoWrite = Callable[[T], Sequence[Step]]
"""Returns further steps for the transaction that creates a value, given that value."""


def nothing_else(_: object) -> Sequence[Step]:
    """Return no further steps."""
    return ()


async def commit(table: Table, steps: Sequence[Step]) -> None:
    """Write all steps or none. If several conditions fail, raises the error of the first such step."""
    try:
        await table.transact([step.write for step in steps])
    except TransactionFailed as failure:
        position = min(failure.failed)
        raise steps[position].otherwise(failure.failed[position]) from failure
