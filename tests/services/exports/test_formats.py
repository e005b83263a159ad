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
from vitrina.domain.reports import Format
from vitrina.domain.views import View, midnight_ms
from vitrina.files import Folder
from vitrina.services.exports.dataset import VIEWS, Dataset
from vitrina.services.exports.formats import Encoder, new_encoder
from vitrina.services.exports.stream import Exporter

Rows = list[dict[str, Any]]
HOSTS = st.one_of(st.none(), st.sampled_from(["www.google.com", "=cmd", "a,b", 'say "hi"', "ñandú.example"]))
SOME_VIEWS = st.lists(
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
    return [in_text(row) for row in pq.read_table(io.BytesIO(data)).to_pylist()]


def in_text(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of Parquet with times and days as the other formats have them."""
    return row | {"event_time": rfc3339(row["event_time"]), "day": f"{row['day']}"}


def from_jsonl(data: bytes) -> Rows:
    return [json.loads(line) for line in data.decode().split("\n") if line]


def from_csv(data: bytes) -> Rows:
    """Return the rows of a CSV file: None for an empty cell, and without the apostrophe of an escaped one."""
    rows = csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True)
    return [
        {name: value.removeprefix("'") or None for name, value in row.items()} | {"is_bot": row["is_bot"] == "true"}
        for row in rows
    ]


READERS: dict[Format, Callable[[bytes], Rows]] = {
    Format.PARQUET: from_parquet,
    Format.CSV: from_csv,
    Format.JSONL: from_jsonl,
}


@settings(max_examples=40, deadline=None)
@given(views=SOME_VIEWS, rows=st.integers(1, 50), page=st.integers(1, 4))
@pytest.mark.parametrize("form", Format)
def test_an_export_has_every_event_once_and_in_order(form: Format, views: list[View], rows: int, page: int) -> None:
    """However they are packed, paged and batched; two products may have had the same SKU."""
    history = History([], skus={LAMP: "-LAMP", KETTLE: "-LAMP"}, page=page)
    for first in range(0, len(views), 7):
        history.add(views[first : first + 7])
    encoder = new_encoder(form)
    encoder.rows = rows
    assert READERS[form](exported(history, encoder)) == history.rows(DAY)


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
    assert READERS[form](first) == [*history.rows(DAY), *history.rows(next_day)]


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


COLUMNS = {
    "event_id": "VARCHAR",
    "event_time": "TIMESTAMP WITH TIME ZONE",
    "product_id": "VARCHAR",
    "sku": "VARCHAR",
    "visitor_id": "VARCHAR",
    "referrer_host": "VARCHAR",
    "is_bot": "BOOLEAN",
    "day": "DATE",
}
"""The columns with DuckDB's types, the one from the path last."""
READ = {Format.PARQUET: "read_parquet", Format.CSV: "read_csv", Format.JSONL: "read_json"}


@pytest.mark.parametrize("form", Format)
def test_duckdb_reads_the_folders_with_their_types(tmp_path: Path, form: Format) -> None:
    """No column is named as a keyword is: `at` is one of DuckDB's."""
    asyncio.run(export_day(tmp_path, form))
    files = f"{READ[form]}('{tmp_path}/views/*/*.{form}', hive_partitioning = true)"
    database = duckdb.connect()
    described = {name: kind for name, kind, *_ in database.execute(f"DESCRIBE FROM {files}").fetchall()}
    if form is Format.PARQUET:
        assert described == COLUMNS
    assert list(described) == list(COLUMNS)
    wanted = f"SELECT day, epoch_ms(event_time), visitor_id, referrer_host, is_bot FROM {files} WHERE day = '{DAY}'"
    rows = database.execute(wanted.replace("event_time", "event_time::TIMESTAMPTZ")).fetchall()
    assert rows == [(DAY, midnight_ms(DAY) + 1_001, "ab" * 12, None, True)]


@pytest.mark.parametrize("form", Format)
def test_pyarrow_reads_the_folders(tmp_path: Path, form: Format) -> None:
    """Of each format: it refuses a column that is both in a file and in its path, and a foreign file in a folder."""
    asyncio.run(export_day(tmp_path, form))
    partitioning = ds.partitioning(pa.schema([("day", pa.date32())]), flavor="hive")
    kind = "json" if form is Format.JSONL else str(form)
    dataset = ds.dataset(tmp_path / "views", format=kind, partitioning=partitioning)
    assert dataset.schema.names == list(COLUMNS)
    (row,) = dataset.to_table().to_pylist()
    assert (row["day"], row["sku"], row["is_bot"]) == (DAY, "LAMP", True)
    if form is Format.PARQUET:
        assert dataset.schema.field("event_time").type == pa.timestamp("ms", "UTC")
        assert dataset.schema.field("sku").type == pa.string()
        assert pq.read_table(tmp_path / "views").num_rows == 1
        (file,) = tmp_path.glob("views/*/*.parquet")
        assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"


async def export_day(folder: Path, form: Format) -> None:
    """Export a day with one view."""
    history = History([View(LAMP, midnight_ms(DAY) + 1_001, b"\xab" * 12, None, bot=True)], skus={LAMP: "LAMP"})
    with Folder.open(folder, VIEWS) as place, Exporter(history) as exporter:
        async with Dataset.open(place, form) as dataset:
            await dataset.export(exporter, [DAY], at=datetime(2026, 11, 24, tzinfo=UTC), generations={})
