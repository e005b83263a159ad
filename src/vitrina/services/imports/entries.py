"""What a file has, entry by entry, and what becomes of each."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vitrina.domain.product_rows import Texts


class Outcome(StrEnum):
    """What is to become of an entry, and what has."""

    WAITING = "waiting"
    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"
    REFUSED = "refused"
    CREATED = "created"
    UPDATED = "updated"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Record:
    """One row or object of a file, by column; `line` is where it begins."""

    line: int
    cells: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ParsedRow:
    """A product: what the file says of it."""

    line: int
    texts: Texts


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """What is no product, SKIPPED or REFUSED, and why."""

    line: int
    outcome: Outcome
    reason: str
    sku: str = ""


def skipped(line: int, reason: str) -> SkippedRow:
    """Return an entry that was not meant to be a product."""
    return SkippedRow(line, Outcome.SKIPPED, reason)


def refused(line: int, reason: str) -> SkippedRow:
    """Return an entry with a mistake."""
    return SkippedRow(line, Outcome.REFUSED, reason)


Entry = ParsedRow | SkippedRow
