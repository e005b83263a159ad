"""What an import says of its rows: lines and totals for people, and a file of JSON Lines."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import orjson

from vitrina.cli.running import output_file
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import Outcome, RowResult

_SHOWN: Final = 100
"""Rows printed per outcome; `--report` holds all."""
_SHOWN_TEXT: Final = 60
"""Characters printed of a value."""
_LEFT_ALONE: Final = {outcome: str(outcome) for outcome in (Outcome.UNCHANGED, Outcome.SKIPPED, Outcome.REFUSED)}
PLANNED: Final = {Outcome.CREATE: "to create", Outcome.UPDATE: "to update"} | _LEFT_ALONE
WRITTEN: Final = {Outcome.CREATED: "created", Outcome.UPDATED: "updated"} | _LEFT_ALONE | {Outcome.FAILED: "failed"}


def show(plan: ImportPlan, say: Callable[[str], None], *outcomes: Outcome) -> None:
    """Print a line for each row with these outcomes: what the import did or would do. A hundred of each at most."""
    for outcome in outcomes:
        for number, row in enumerate(plan.results(outcome)):
            if number == _SHOWN:
                say(f"... and {plan.counts()[outcome] - _SHOWN:,} more {outcome}: --report FILE writes all")
                break
            # Control characters from the file must not reach the terminal.
            sku = row.sku[:80] if row.sku.isprintable() else ascii(row.sku[:80])
            say(f"line {row.line}{sku and f' ({sku})'}: {row.outcome}: {row.reason or _changes(row)}")


def totals(counts: Mapping[Outcome, int], outcomes: Mapping[Outcome, str]) -> str:
    """Return the numbers of rows with these outcomes in one line."""
    return ", ".join(f"{counts[outcome]:,} {words}" for outcome, words in outcomes.items())


def write_report(path: Path, plan: ImportPlan) -> None:
    """Write what became of every row as JSON Lines. Raises CommandFailed."""
    with output_file(path) as file:
        for row in plan.results(*Outcome):
            entry = {
                "line": row.line,
                "outcome": row.outcome,
                "sku": row.sku,
                "reason": row.reason or None,
                "changes": {name: {"from": one.before, "to": one.after} for name, one in row.changes.items()},
            }
            file.write(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE))


def _changes(row: RowResult) -> str:
    return ", ".join(
        f"{name} {_value(change.before)} -> {_value(change.after)}"
        if row.outcome is Outcome.UPDATE
        else f"{name} {_value(change.after)}"
        for name, change in row.changes.items()
    )


def _value(text: str | None) -> str:
    if text is None:
        return "none"
    return repr(text if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT]}…")
