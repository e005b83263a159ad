"""Every format holds every event unchanged (R13), read back by DuckDB, pyarrow, csv and json."""

import asyncio
import csv
import io
import json
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from tests.services.exports.history import DAY, KETTLE, LAMP, History
from vitrina.clock import rfc3339
from vitrina.domain.views import View, midnight_ms
from vitrina.services.exports.directory import Directory, export_days
from vitrina.services.exports.formats import Encoder, Format, new_encoder
from vitrina.services.exports.stream import Exporter

Rows = list[dict[str, Any]]
HOSTS = st.one_of(st.none(), st.sampled_from(["www.google.com", "=cmd", "a,b", 'say "hi"', "ñandú.example"]))
VIEWS = st.lists(
    st.builds(
        View,
        st.sampled_from([LAMP, KETTLE]) | st.uuids().map(str),
        st.integers(0, 86_400_000 - 1).map(lambda ms: midnight_ms(DAY) + ms),
        st.binary(min_size=12, max_size=12),
        HOSTS,
        st.booleans(),
    ),
    max_size=60,
)


def exported(history: History, encoder: Encoder, days: Sequence[date] = (DAY,)) -> bytes:

    async def export() -> bytes:
        with Exporter(history) as exporter:
            async with aclosing(exporter.stream(days, encoder)) as pieces:
                return b"".join([bytes(piece) async for piece in pieces])

    return asyncio.run(export())


def from_parquet(data: bytes) -> Rows:
    rows: Rows = pq.read_table(io.BytesIO(data)).to_pylist()
    return [row | {"at": rfc3339(row["at"]), "day": f"{row['day']}"} for row in rows]


def from_jsonl(data: bytes) -> Rows:
    return [json.loads(line) for line in data.decode().split("\n") if line]


def from_csv(data: bytes) -> Rows:
    """Return the rows of a CSV file: None for an empty cell, and without the apostrophe of an escaped one."""
    rows = csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True)
    return [
        {name: value.removeprefix("'") or None for name, value in row.items()} | {"bot": row["bot"] == "true"}
        for row in rows
    ]


READERS: dict[Format, Callable[[bytes], Rows]] = {
    Format.PARQUET: from_parquet,
    Format.CSV: from_csv,
    Format.JSONL: from_jsonl,
}


def expected(history: History, day: date = DAY) -> Rows:
    """Return the rows that the file of a day should have."""
    rows = history.rows(day)
    for row in rows:
        row["day"] = f"{row['day']}"
        row["at"] = rfc3339(datetime.fromtimestamp(row.pop("at_ms") / 1000, UTC))
    return rows


@settings(max_examples=40, deadline=None)
@given(views=VIEWS, rows=st.integers(1, 50), page=st.integers(1, 4))
@pytest.mark.parametrize("form", Format)
def test_an_export_has_every_event_once_and_in_order(form: Format, views: list[View], rows: int, page: int) -> None:
    """However they are packed, paged and batched; two products may have had the same SKU."""
    history = History([], skus={LAMP: "-LAMP", KETTLE: "-LAMP"}, page=page)
    for first in range(0, len(views), 7):
        history.add(views[first : first + 7])
    encoder = new_encoder(form)
    encoder.rows = rows
    assert READERS[form](exported(history, encoder)) == expected(history)


@pytest.mark.parametrize("form", Format)
def test_the_same_days_are_the_same_bytes(form: Format) -> None:
    """Page boundaries do not matter."""
    next_day = DAY + timedelta(days=1)
    views = [
        View(LAMP, midnight_ms(day) + n, bytes(12), None, bot=False) for day in (DAY, next_day) for n in range(900)
    ]
    history = History(views, page=1)
    first = exported(history, new_encoder(form), [DAY, next_day])
    history._page = 100
    assert exported(history, new_encoder(form), [DAY, next_day]) == first
    assert READERS[form](first) == [*expected(history), *expected(history, next_day)]


def test_a_products_sku_is_read_once_while_the_cache_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it is not known."""
    views = [
        View(product, midnight_ms(DAY), bytes(12), None, bot=False) for product in (LAMP, KETTLE) for _ in range(900)
    ]
    encoder = new_encoder(Format.CSV)
    encoder.rows = 100
    history = History(views, skus={LAMP: "LAMP"})
    exported(history, encoder)
    assert sorted(history.skus_read) == [LAMP, KETTLE]
    monkeypatch.setattr("vitrina.services.exports.stream._MOST_SKUS", 1)
    forgetful = History(views, skus={LAMP: "LAMP"})
    assert exported(forgetful, encoder).count(b",LAMP,") == 900
    assert len(forgetful.skus_read) > 2


def test_duckdb_and_pyarrow_read_the_folders_with_their_types(tmp_path: Path) -> None:
    """The day is only in the path: readers fail on a column that is in the file as well."""
    views = [View(LAMP, midnight_ms(DAY) + 1_001, b"\xab" * 12, None, bot=True)]
    history = History(views, skus={LAMP: "LAMP"})

    async def export() -> None:
        with Directory.open(tmp_path, Format.PARQUET) as directory, Exporter(history) as exporter:
            await export_days(directory, exporter, [DAY], at=datetime(2026, 11, 24, tzinfo=UTC))

    asyncio.run(export())
    files = f"read_parquet('{tmp_path}/*/*.parquet')"
    described = duckdb.connect().execute(f"DESCRIBE FROM {files}").fetchall()
    assert {name: kind for name, kind, *_ in described} == {
        "event_id": "VARCHAR",
        "at": "TIMESTAMP WITH TIME ZONE",
        "product_id": "VARCHAR",
        "sku": "VARCHAR",
        "visitor": "VARCHAR",
        "referrer_host": "VARCHAR",
        "bot": "BOOLEAN",
        "day": "DATE",
    }
    wanted = f"SELECT day, epoch_ms(\"at\"), visitor, referrer_host, bot FROM {files} WHERE day = '{DAY}'"
    rows = duckdb.connect().execute(wanted).fetchall()
    assert rows == [(DAY, midnight_ms(DAY) + 1_001, "ab" * 12, None, True)]
    partitioning = ds.partitioning(pa.schema([("day", pa.date32())]), flavor="hive")
    dataset = ds.dataset(tmp_path, partitioning=partitioning)
    assert dataset.schema.field("at").type == pa.timestamp("ms", "UTC")
    assert dataset.schema.field("sku").type == pa.string()
    (row,) = dataset.to_table().to_pylist()
    assert (row["day"], row["sku"]) == (DAY, "LAMP")
    assert pq.read_table(tmp_path).num_rows == 1  # Readers ignore the manifest.
    (file,) = tmp_path.glob("*/*.parquet")
    assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"
