"""Reads of many items as values."""

from dataclasses import dataclass

from pynamodb.expressions.condition import Condition

from vitrina.store.keys import Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query of the table or of an index.

    No index can be read consistently: one that is `fresh` is at least the writer's own, never a replica's.
    """

    condition: Condition
    index: Index | None = None
    filter: Condition | None = None
    descending: bool = False
    consistent: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A pass over the whole table, or over one of the `segments` parts of it that can be read beside each other."""

    filter: Condition | None = None
    segment: int = 0
    segments: int = 1
    consistent: bool = False
