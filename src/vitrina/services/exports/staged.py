"""Reads DynamoDB's export of the table as a source of views: sorts its items on disk first, for they are in no order.

Memory is bounded by SQLite's cache. Until the export ends, the disk (`TMPDIR`) holds the segments of the requested
days, 41 bytes per event, and the SKU of each product.
"""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from datetime import date
from typing import Any, Final, Self

import orjson

from vitrina.domain.reports import Period
from vitrina.domain.views import PackedViews
from vitrina.services.exports.source import Day
from vitrina.store import keys
from vitrina.store.table_export import FoundSegment, FoundSku, TableExport, TableExportRefused
from vitrina.store.views import Segment

_PREPARE: Final = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE segments (day TEXT, shard INTEGER, sort TEXT, events BLOB, referrers BLOB);
    CREATE TABLE skus (product_id TEXT PRIMARY KEY, sku TEXT) WITHOUT ROWID;
"""
_ORDER: Final = "CREATE UNIQUE INDEX in_order ON segments (day, shard, sort)"
_PAGE: Final = """
    SELECT sort, events, referrers FROM segments WHERE day = ? AND shard = ? AND sort > ? ORDER BY sort LIMIT 64
"""


class StagedSource:
    """The segments of some days and all SKUs, from an export of the table; use `load`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._free = asyncio.Semaphore(1)

    @classmethod
    @asynccontextmanager
    async def load(
        cls, export: TableExport, period: Period, *, advance: Callable[[], object] = lambda: None
    ) -> AsyncIterator[Self]:
        """Load and sort the segments of a period; calls `advance` after each file. Raises TableExportRefused."""
        # The empty name is a private database, whose file SQLite deletes even if the process is killed.
        with closing(sqlite3.connect("", check_same_thread=False, isolation_level=None)) as database:
            database.executescript(_PREPARE)
            for found in export.read():
                await asyncio.to_thread(_insert, database, found, period)
                advance()
            try:
                await asyncio.to_thread(database.execute, _ORDER)
            except sqlite3.IntegrityError as error:
                raise TableExportRefused("it has the same items twice: is it more than one export?") from error
            yield cls(database)

    async def first_day(self) -> date | None:
        """Return the first day with views."""
        ((first,),) = await asyncio.to_thread(self._all, "SELECT min(day) FROM segments")
        return first and date.fromisoformat(first)

    async def generations(self, _: Period) -> Mapping[date, str]:
        """Return none: the rollups of the export are not read."""
        return {}

    def open(self, day: date) -> Day:
        """Start to read a day, in the same order as from the table."""
        return Day(day, [self._pages(day, shard) for shard in range(keys.VIEW_SHARDS)], free=self._free)

    async def skus(self, product_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the SKUs at the time of the table's export, by product id."""
        wanted = orjson.dumps(product_ids).decode()
        query = "SELECT product_id, sku FROM skus WHERE product_id IN (SELECT value FROM json_each(?))"
        async with self._free:
            return dict(await asyncio.to_thread(self._all, query, wanted))

    async def _pages(self, day: date, shard: int) -> AsyncGenerator[list[Segment], None]:
        last = ""
        while rows := await asyncio.to_thread(self._all, _PAGE, day.isoformat(), shard, last):
            yield [
                Segment(keys.segment_id(sort), PackedViews(events=events, referrers=orjson.loads(hosts)))
                for sort, events, hosts in rows
            ]
            last = rows[-1][0]

    def _all(self, query: str, *values: str | int) -> list[tuple[Any, ...]]:
        return self._database.execute(query, values).fetchall()


def _insert(database: sqlite3.Connection, found: Iterable[FoundSegment | FoundSku], period: Period) -> None:
    """Insert the SKUs, and the segments of the period, of one file in one transaction."""
    database.execute("BEGIN")
    for one in found:
        match one:
            case FoundSku():
                database.execute("INSERT OR REPLACE INTO skus VALUES (?, ?)", one)
            case FoundSegment(day, shard, sort, segment) if period.first <= day <= period.last:
                packed = segment.packed
                row = (day.isoformat(), shard, sort, packed.events, orjson.dumps(packed.referrers))
                database.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?)", row)
    database.execute("COMMIT")
