"""The plan of an import in a temporary SQLite database, so that millions of rows take disk space and not memory."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, astuple, dataclass
from decimal import Decimal
from typing import Any, Final, Self

from vitrina.domain.product_rows import Fields
from vitrina.domain.products import FieldChange
from vitrina.domain.text import fold
from vitrina.services.imports.rows import Outcome, RowResult
from vitrina.services.imports.skus import Origin

_BATCH: Final = 500
_SCHEMA: Final = """
CREATE TABLE rows (
    line INTEGER PRIMARY KEY, outcome TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', sku TEXT NOT NULL DEFAULT '',
    folded TEXT, fields TEXT NOT NULL DEFAULT '{}', changes TEXT NOT NULL DEFAULT '{}', product_id TEXT,
    version INTEGER,
    is_derived INTEGER NOT NULL DEFAULT 0, derived TEXT, distinct_sku TEXT, readable TEXT, digest INTEGER
);
CREATE INDEX skus ON rows (folded);
CREATE TABLE parents (key TEXT PRIMARY KEY, texts TEXT NOT NULL);
"""
_REPEATED: Final = """
outcome = 'waiting'
AND folded IN (SELECT folded FROM rows WHERE outcome = 'waiting' GROUP BY folded HAVING COUNT(*) > 1)
"""
_DERIVE: Final = f"""
UPDATE rows SET is_derived = 1, sku = derived, folded = LOWER(derived)
WHERE NOT is_derived AND derived IS NOT NULL AND {_REPEATED}
"""  # noqa: S608 - SQL of constants, here and below
_DISTINGUISH: Final = f"""
UPDATE rows SET sku = distinct_sku, folded = LOWER(distinct_sku) WHERE is_derived AND {_REPEATED}
"""  # noqa: S608
_REFUSE: Final = f"""
UPDATE rows SET outcome = 'refused', reason = 'its SKU is on line '
    || (SELECT MIN(line) FROM rows other WHERE other.folded = rows.folded AND other.line <> rows.line) || ' too'
    || CASE WHEN derived IS NULL OR is_derived THEN '' ELSE ': --derive-skus derives others' END
WHERE {_REPEATED}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class ExistingProduct:
    """The product that holds a row's SKU, and the version that the row was compared with."""

    product_id: str
    version: int


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row that waits to be compared or written; `existing` is None if no product has its SKU.

    `origin` is what another shop made it from; `is_derived` says that its SKU comes from that. `product_id` is the id
    that the file gives it, until it is compared.
    """

    line: int
    fields: Fields
    existing: ExistingProduct | None
    origin: Origin | None
    is_derived: bool
    product_id: str | None

    @property
    def sku(self) -> str:
        """The SKU of the row."""
        return str(self.fields["sku"])


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

    def add(
        self,
        line: int,
        fields: Fields,
        *,
        origin: Origin | None = None,
        is_derived: bool = False,
        product_id: str | None = None,
    ) -> None:
        """Add a row as WAITING; `is_derived` says that its SKU comes from its origin, and `product_id` is its id."""
        sku = str(fields["sku"])
        texts = json.dumps(
            {name: str(value) if isinstance(value, Decimal) else value for name, value in fields.items()}
        )
        of_origin = astuple(origin) if origin else (None,) * 4
        self._database.execute(
            "INSERT INTO rows"
            " (line, outcome, sku, folded, fields, product_id, is_derived, derived, distinct_sku, readable, digest)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (line, Outcome.WAITING, sku, fold(sku), texts, product_id, is_derived, *of_origin),
        )

    def clear(self) -> None:
        """Remove all rows and parents."""
        self._database.executescript("DELETE FROM rows; DELETE FROM parents;")

    def resolve_repeats(self, *, derive: bool) -> None:
        """Refuse the rows whose SKU another row has too, in upper or lower case.

        With `derive`, rows that repeat a SKU of their own first get derived ones. Derived SKUs that are repeated become
        distinct ones.
        """
        for statement in (*([_DERIVE] if derive else []), _DISTINGUISH, _REFUSE):
            self._database.execute(statement)

    def add_skipped(self, skipped: RowResult) -> None:
        """Add a row that yields no product."""
        sku = skipped.sku.encode(errors="replace").decode()  # JSON can hold lone surrogates, and SQLite cannot.
        row = (skipped.line, skipped.outcome, skipped.reason, sku)
        self._database.execute("INSERT INTO rows (line, outcome, reason, sku) VALUES (?, ?, ?, ?)", row)

    def decide(
        self, row: PlannedRow, outcome: Outcome, reason: str = "", changes: Mapping[str, FieldChange] | None = None
    ) -> None:
        """Set what is to be done with a row, or what was done; `changes` is what it changes, None for as before."""
        product_id, version = (row.existing.product_id, row.existing.version) if row.existing else (None, None)
        texts = None if changes is None else json.dumps({name: asdict(change) for name, change in changes.items()})
        self._database.execute(
            "UPDATE rows SET outcome = ?, reason = ?, sku = ?, product_id = ?, version = ?,"
            " changes = COALESCE(?, changes) WHERE line = ?",
            (outcome, reason, row.sku, product_id, version, texts, row.line),
        )

    def batches(self, *outcomes: Outcome, size: int = _BATCH) -> Iterator[Sequence[PlannedRow]]:
        """Yield the rows that have one of `outcomes`, in the order of the file; callers may change them meanwhile."""
        places = ", ".join("?" * len(outcomes))
        text = (
            "SELECT line, sku, fields, product_id, version, is_derived, derived, distinct_sku, readable, digest"  # noqa: S608
            " FROM rows"
            f" WHERE outcome IN ({places}) AND line > ? ORDER BY line LIMIT ?"
        )
        last = 0
        while batch := [_planned(row) for row in self._database.execute(text, (*outcomes, last, size))]:
            yield batch
            last = batch[-1].line

    def results(self, *outcomes: Outcome) -> Iterator[RowResult]:
        """Yield the results that have one of `outcomes`, in the order of the file."""
        places = ", ".join("?" * len(outcomes))
        text = f"SELECT line, outcome, reason, sku, changes FROM rows WHERE outcome IN ({places}) ORDER BY line"  # noqa: S608
        with closing(self._database.execute(text, outcomes)) as rows:
            for line, outcome, reason, sku, texts in rows:
                changes = {name: FieldChange(**change) for name, change in json.loads(texts).items()}
                yield RowResult(line, Outcome(outcome), reason, sku, changes)

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
    line, sku, texts, product_id, version, is_derived, *of_origin = row
    fields: dict[str, Any] = json.loads(texts) | {"sku": sku}
    if "price" in fields:
        fields["price"] = Decimal(fields["price"])
    existing = None if version is None else ExistingProduct(product_id, version)
    origin = None if of_origin[0] is None else Origin(*of_origin)
    return PlannedRow(line, fields, existing, origin, is_derived=bool(is_derived), product_id=product_id)
