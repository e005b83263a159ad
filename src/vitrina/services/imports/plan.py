"""The plan of an import, in a temporary SQLite database: a file of millions of rows takes disk and not memory."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Self

from vitrina.domain.product_rows import Fields
from vitrina.domain.text import fold
from vitrina.services.imports.entries import Outcome, SkippedRow

_BATCH: Final = 500
_SCHEMA: Final = """
CREATE TABLE rows (
    line INTEGER PRIMARY KEY, outcome TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', sku TEXT NOT NULL DEFAULT '',
    folded TEXT UNIQUE, fields TEXT NOT NULL DEFAULT '{}', product_id TEXT, version INTEGER
);
CREATE TABLE parents (key TEXT PRIMARY KEY, texts TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Known:
    """The product that holds a row's SKU, and the version that the row was compared with."""

    product_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Planned:
    """A row that is to become a product, or that is waiting to be compared."""

    line: int
    sku: str
    fields: Fields
    known: Known | None


class ImportPlan:
    """Rows by line, each with its outcome. SQLite deletes the file itself, whatever becomes of the process."""

    def __init__(self) -> None:
        # SQLite's name for a database of one connection that is on disk as soon as it outgrows a small cache.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_SCHEMA}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, line: int, fields: Fields) -> None:
        """Add a row that waits to be compared; if its SKU is there already, in whatever case, both are refused."""
        sku = str(fields["sku"])
        texts = json.dumps(
            {name: str(value) if isinstance(value, Decimal) else value for name, value in fields.items()}
        )
        row = (line, Outcome.WAITING, sku, fold(sku), texts)
        try:
            self._database.execute("INSERT INTO rows (line, outcome, sku, folded, fields) VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            ((first,),) = self._database.execute("SELECT line FROM rows WHERE folded = ?", [fold(sku)])
            self.leave_out(SkippedRow(line, Outcome.REFUSED, f"its SKU is on line {first} too", sku))
            self._database.execute(
                "UPDATE rows SET outcome = ?, reason = ? WHERE line = ? AND outcome = ?",
                (Outcome.REFUSED, f"its SKU is on line {line} too", first, Outcome.WAITING),
            )

    def leave_out(self, entry: SkippedRow) -> None:
        """Add a row that is no product."""
        row = (entry.line, entry.outcome, entry.reason, entry.sku)
        self._database.execute("INSERT INTO rows (line, outcome, reason, sku) VALUES (?, ?, ?, ?)", row)

    def plan(self, line: int, outcome: Outcome, known: Known | None, reason: str = "") -> None:
        """Say what is to become of a row."""
        product_id, version = (known.product_id, known.version) if known else (None, None)
        self._database.execute(
            "UPDATE rows SET outcome = ?, reason = ?, product_id = ?, version = ? WHERE line = ?",
            (outcome, reason, product_id, version, line),
        )

    def settle(self, line: int, outcome: Outcome, reason: str = "") -> None:
        """Say what has become of a row."""
        self._database.execute("UPDATE rows SET outcome = ?, reason = ? WHERE line = ?", (outcome, reason, line))

    def batches(self, *outcomes: Outcome, size: int = _BATCH) -> Iterator[Sequence[Planned]]:
        """Yield the rows of some outcomes in the order of the file; they may be settled meanwhile."""
        places = ", ".join("?" * len(outcomes))
        text = (
            "SELECT line, sku, fields, product_id, version FROM rows"  # noqa: S608 - the places are question marks
            f" WHERE outcome IN ({places}) AND line > ? ORDER BY line LIMIT ?"
        )
        last = 0
        while batch := [_planned(row) for row in self._database.execute(text, (*outcomes, last, size))]:
            yield batch
            last = batch[-1].line

    def left_out(self, *outcomes: Outcome) -> Iterator[SkippedRow]:
        """Yield line, outcome, reason and SKU of rows, in the order of the file."""
        places = ", ".join("?" * len(outcomes))
        text = f"SELECT line, outcome, reason, sku FROM rows WHERE outcome IN ({places}) ORDER BY line"  # noqa: S608
        with closing(self._database.execute(text, outcomes)) as found:
            for line, outcome, reason, sku in found:
                yield SkippedRow(line, Outcome(outcome), reason, sku)

    def counts(self) -> dict[Outcome, int]:
        """Count the rows of each outcome."""
        found = dict(self._database.execute("SELECT outcome, COUNT(*) FROM rows GROUP BY outcome"))
        return {outcome: found.get(outcome, 0) for outcome in Outcome}

    def keep_parent(self, keys: Iterable[str], texts: Mapping[str, str]) -> None:
        """Remember what a product's variations take from it, under each of its keys."""
        rows = [(key, json.dumps(texts)) for key in keys]
        self._database.executemany("INSERT OR REPLACE INTO parents VALUES (?, ?)", rows)

    def parent(self, key: str) -> dict[str, str] | None:
        """Return what was remembered under a key."""
        for (texts,) in self._database.execute("SELECT texts FROM parents WHERE key = ?", [key]):
            found: dict[str, str] = json.loads(texts)
            return found
        return None


def _planned(row: tuple[Any, ...]) -> Planned:
    line, sku, texts, product_id, version = row
    fields: dict[str, Any] = json.loads(texts)
    if "price" in fields:
        fields["price"] = Decimal(fields["price"])
    return Planned(line, sku, fields, None if product_id is None else Known(product_id, version))
