"""The rows of table_design.md about patterns, transactions and routes, parsed for its tests."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from tests.store.design.cells import NUMBER, TIMES, code, fits, links, number_of, numbers, rows
from tests.store.design.recorder import Call, Code, Written

NO_CALL = "none"
"""Stands in the place of calls where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A write of a transaction. `when` is empty if it is in every one; one of its keys and conditions applies."""

    when: str
    kind: str
    keys: tuple[str, ...]
    conditions: tuple[str, ...]
    errors: frozenset[str]
    units: str

    @classmethod
    def read(cls, cells: list[str]) -> Self:
        """Parse a row."""
        when, kind, key, condition, errors, units = cells
        return cls(
            when=when,
            kind=kind,
            keys=tuple(code(key)),
            conditions=tuple(code(condition)),
            errors=frozenset(code(errors)),
            units=units,
        )

    def does(self, write: Written) -> bool:
        """Say whether a sent write matches this one."""
        return (
            self.kind == write.kind
            and any(fits(key, write.key) for key in self.keys)
            and _agree(self.conditions, write.condition)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A numbered access pattern. `keys` are primary keys, of which a request names some, or a query's key condition."""

    number: str
    what: str
    operation: str
    index: str | None
    descending: bool
    keys: tuple[str, ...]
    limit: int | None
    conditions: tuple[str, ...]
    place: str
    read_units: str
    write_units: str
    links: tuple[Code, ...]

    @classmethod
    def read(cls, cells: list[str]) -> Self:
        """Read a row."""
        number, what, operation, key, condition, place, read_units, write_units, linked = cells
        name, *index = code(operation)
        return cls(
            number=number,
            what=what,
            operation=name,
            index=index[0] if index else None,
            descending=operation.endswith("↓"),
            keys=tuple(code(key)),
            limit=number_of(key) if name == "Scan" else None,
            conditions=tuple(code(condition)),
            place=place,
            read_units=read_units,
            write_units=write_units,
            links=tuple(links(linked)),
        )

    def is_of(self, call: Call) -> bool:
        """Say whether a sent request matches this pattern."""
        operations = {self.operation, "GetItem"} if self.operation == "BatchGetItem" else {self.operation}
        if call.operation not in operations or call.place not in self.place.split(", "):
            return False
        if call.code is not None and call.code not in self.links:
            return False
        match call.operation:
            case "TransactWriteItems":
                return steps_of(self.number, call.writes) is not None
            case "Query":
                return (
                    call.arguments.get("IndexName") == self.index
                    and call.arguments["ScanIndexForward"] is not self.descending
                    and fits(self.keys[0], call.expression("KeyConditionExpression") or "")
                    and _agree(self.conditions, call.expression("FilterExpression"))
                )
            case "Scan":
                return call.arguments["Limit"] == self.limit and _agree(
                    self.conditions, call.expression("FilterExpression")
                )
            case _:
                return all(any(fits(key, text) for key in self.keys) for text in call.keys) and _agree(
                    self.conditions, call.expression("ConditionExpression")
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The requests of a route or a command: sequential groups, each a count of concurrent patterns.

    `ordered` is False for work over the whole table, whose requests depend on its size; it has no figures.
    """

    what: str
    groups: tuple[Counter[str], ...]
    ordered: bool
    calls: str
    steps: str
    read_units: str
    write_units: str

    @classmethod
    def read(cls, cells: list[str]) -> Self:
        """Read a row."""
        what, calls, number, steps, read_units, write_units = cells
        groups = [] if calls == NO_CALL else [_group(text) for text in calls.split("→")]
        return cls(
            what=what.replace("`", ""),
            groups=tuple(groups),
            ordered="," not in calls,
            calls=number,
            steps=steps,
            read_units=read_units,
            write_units=write_units,
        )


def steps_of(number: str, writes: list[Written]) -> list[Step] | None:
    """Return the steps of a transaction that were sent, in order; None if the writes are not this transaction's."""
    taken: list[Step] = []
    rest: Iterator[Written] = iter(writes)
    write = next(rest, None)
    for step in TRANSACTIONS.get(number, ()):
        if write is not None and step.does(write):
            taken.append(step)
            write = next(rest, None)
        elif not step.when:
            return None
    return taken if write is None else None


def pattern_of(call: Call) -> str:
    """Return the number of the pattern that a request matches, none or several if the page is ambiguous."""
    return " ".join(number for number, pattern in PATTERNS.items() if pattern.is_of(call))


def _agree(templates: Sequence[str], text: str | None) -> bool:
    """Say whether a condition matches one of a pattern's, or neither has any."""
    return not templates if text is None else any(fits(template, text) for template in templates)


def _group(text: str) -> Counter[str]:
    group: Counter[str] = Counter()
    for part in re.split("[∥,]", text):
        times, _, number = part.strip().rpartition(f" {TIMES} ")
        assert NUMBER.fullmatch(number), part
        group[number] += int(times or 1)
    return group


def _transactions() -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {}
    for heading, cells in rows("when", "write", "key", "condition", "if it fails", "WCU"):
        (number,) = numbers(heading)
        found.setdefault(number, []).append(Step.read(cells))
    return found


_PATTERN_HEADER = ("no.", "what", "operation", "key", "condition or filter", "from", "RCU", "WCU", "code")
_ENTITY_HEADER = ("type", "class", "key", "key function", "index keys", "attributes", "written by", "expires")
_ROUTE_HEADER = ("route or command", "calls", "number", "steps", "RCU", "WCU")
ENTITIES = [cells for _, cells in rows(*_ENTITY_HEADER)]
PATTERNS = {cells[0]: Pattern.read(cells) for _, cells in rows(*_PATTERN_HEADER)}
ROUTES = {route.what: route for route in (Route.read(cells) for _, cells in rows(*_ROUTE_HEADER))}
TRANSACTIONS = _transactions()
