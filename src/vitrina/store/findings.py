"""What the check of the table finds, and how it is repaired."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from vitrina.store.operations import Step


class Problem(StrEnum):
    """Kinds of violations. A disputed item is claimed by two owners, and an operator has to decide between them."""

    MISSING = "missing"
    ORPHAN = "orphan"
    DISPUTED = "disputed"
    MISCOUNTED = "miscounted"
    MISPLACED = "misplaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A violation of the constraint `what`, described for an operator, and whether it was repaired."""

    what: str
    problem: Problem
    detail: str
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A finding, and the transaction that repairs it; empty if it cannot be repaired automatically."""

    finding: Finding
    repair: Sequence[Step] = ()
