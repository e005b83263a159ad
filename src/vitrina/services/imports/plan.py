"""The plan of an import in a temporary SQLite database, so that millions of rows take disk space and not memory."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Self

from vitrina.domain.product_rows import Fields
from vitrina.domain.text import fold
from vitrina.services.imports.rows import Outcome, RowResult

_BATCH: Final = 500
_SCHEMA: Final = """
CREATE TABLE rows (
    line INTEGER PRIMARY KEY, outcome TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', sku TEXT NOT NULL DEFAULT '',
    folded TEXT UNIQUE, fields TEXT NOT NULL DEFAULT '{}', product_id TEXT, version INTEGER
);
CREATE TABLE parents (key TEXT PRIMARY KEY, texts TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class ExistingProduct:
    """The product that holds a row's SKU, and the version that the row was compared with."""

    product_id: str
    version: int


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row that waits to be compared or written; `existing` is None if no product has its SKU."""

    line: int
    sku: str
    fields: Fields
    existing: ExistingProduct | None


class ImportPlan:
    """All rows of a file with their outcomes. A context; SQLite deletes the file even if the process is killed."""

    def __init__(self) -> None:
        # The empty name is a private database that SQLite moves to disk once it outgrows a small cache.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_SCHEMA}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, line: int, fields: Fields) -> None:
        """Add a row as WAITING; if another row has its SKU, in upper or lower case, both are refused."""
        sku = str(fields["sku"])
        texts = json.dumps(
            {name: str(value) if isinstance(value, Decimal) else value for name, value in fields.items()}
        )
        row = (line, Outcome.WAITING, sku, fold(sku), texts)
        try:
            self._database.execute("INSERT INTO rows (line, outcome, sku, folded, fields) VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            ((first,),) = self._database.execute("SELECT line FROM rows WHERE folded = ?", [fold(sku)])
            self.add_skipped(RowResult(line, Outcome.REFUSED, f"its SKU is on line {first} too", sku))
            self._database.execute(
                "UPDATE rows SET outcome = ?, reason = ? WHERE line = ? AND outcome = ?",
                (Outcome.REFUSED, f"its SKU is on line {line} too", first, Outcome.WAITING),
            )

    def add_skipped(self, skipped: RowResult) -> None:
        """Add a row that yields no product."""
        row = (skipped.line, skipped.outcome, skipped.reason, skipped.sku)
        self._database.execute("INSERT INTO rows (line, outcome, reason, sku) VALUES (?, ?, ?, ?)", row)

    def set_outcome(
        self, line: int, outcome: Outcome, reason: str = "", existing: ExistingProduct | None = None
    ) -> None:
        """Set what is to be done with a row, or what was done."""
        product_id, version = (existing.product_id, existing.version) if existing else (None, None)
        self._database.execute(
            "UPDATE rows SET outcome = ?, reason = ?, product_id = ?, version = ? WHERE line = ?",
            (outcome, reason, product_id, version, line),
        )

    def batches(self, *outcomes: Outcome, size: int = _BATCH) -> Iterator[Sequence[PlannedRow]]:
        """Yield the rows that have one of `outcomes`, in the order of the file; callers may change them meanwhile."""
        places = ", ".join("?" * len(outcomes))
        text = (
            "SELECT line, sku, fields, product_id, version FROM rows"  # noqa: S608 - the places are question marks
            f" WHERE outcome IN ({places}) AND line > ? ORDER BY line LIMIT ?"
        )
        last = 0
        while batch := [_planned(row) for row in self._database.execute(text, (*outcomes, last, size))]:
            yield batch
            last = batch[-1].line

    def results(self, *outcomes: Outcome) -> Iterator[RowResult]:
        """Yield the results that have one of `outcomes`, in the order of the file."""
        places = ", ".join("?" * len(outcomes))
        text = f"SELECT line, outcome, reason, sku FROM rows WHERE outcome IN ({places}) ORDER BY line"  # noqa: S608
        with closing(self._database.execute(text, outcomes)) as rows:
            for line, outcome, reason, sku in rows:
                yield RowResult(line, Outcome(outcome), reason, sku)

    def counts(self) -> dict[Outcome, int]:
        """Return the number of rows of each outcome."""
        counted = dict(self._database.execute("SELECT outcome, COUNT(*) FROM rows GROUP BY outcome"))
        return {outcome: counted.get(outcome, 0) for outcome in Outcome}

    def save_parent(self, keys: Iterable[str], texts: Mapping[str, str]) -> None:
        """Store under each of a product's keys the texts that its variations inherit."""
        rows = [(key, json.dumps(texts)) for key in keys]
        self._database.executemany("INSERT OR REPLACE INTO parents VALUES (?, ?)", rows)

    def parent(self, key: str) -> dict[str, str] | None:
        """Return the texts that were saved under a key."""
        for (texts,) in self._database.execute("SELECT texts FROM parents WHERE key = ?", [key]):
            parent: dict[str, str] = json.loads(texts)
            return parent
        return None


def _planned(row: tuple[Any, ...]) -> PlannedRow:
    line, sku, texts, product_id, version = row
    fields: dict[str, Any] = json.loads(texts)
    if "price" in fields:
        fields["price"] = Decimal(fields["price"])
    return PlannedRow(line, sku, fields, None if product_id is None else ExistingProduct(product_id, version))
