"""Exports of prices: each price that was in force, in three formats."""

import csv
import io
import json
from contextlib import aclosing
from datetime import date
from decimal import Decimal
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.services.exports.catalogue import Catalogue, period, products
from tests.services.exports.places import Out
from tests.store.samples import START, at
from vitrina.backoff import Backoff
from vitrina.bootstrap import open_place
from vitrina.clock import rfc3339
from vitrina.domain.money import DECIMALS
from vitrina.domain.pages import Page, Position
from vitrina.domain.products import Product
from vitrina.domain.reports import Format, Period
from vitrina.errors import TableUnavailable
from vitrina.files import FilesRefused
from vitrina.services.exports import prices as module
from vitrina.services.exports.prices import PRICES, PriceExporter
from vitrina.store.listings import ProductListings

Rows = list[dict[str, Any]]
NAMES = ["product_id", "sku", "price", "currency", "valid_from", "valid_to"]


def exporter(catalogue: Catalogue, *, tries: int = 1) -> PriceExporter:
    return PriceExporter(cast(ProductListings, catalogue), tries=tries)


async def stream(catalogue: Catalogue, form: Format, period: Period | None = None, *, tries: int = 1) -> bytes:
    """Return the file."""
    async with aclosing(exporter(catalogue, tries=tries).stream(form, period)) as pieces:
        return b"".join([bytes(piece) async for piece in pieces])


async def test_each_format_has_each_price_unchanged() -> None:
    """Decimals have those of their currency as text, and one scale in Parquet."""
    lamp, gone = products(2)
    gone = gone.deleted(by="ana", at=at(5))
    catalogue = Catalogue([lamp, gone])
    catalogue.prices = {
        lamp.id: [period("19.99", "USD", 0, 20), period("1.500", "KWD", 20, 30), period("1.500", "KWD", 40, None)],
        gone.id: [period("7", "JPY", 0, 5), period("999999999999.999", "KWD", 5, 5)],
    }
    wanted = [
        dict(zip(NAMES, row, strict=True))
        for row in [
            (lamp.id, "SKU-0", "19.99", "USD", rfc3339(at(0)), rfc3339(at(20))),
            (lamp.id, "SKU-0", "1.500", "KWD", rfc3339(at(20)), rfc3339(at(30))),
            (lamp.id, "SKU-0", "1.500", "KWD", rfc3339(at(40)), None),
            (gone.id, "SKU-1", "7", "JPY", rfc3339(at(0)), rfc3339(at(5))),
            (gone.id, "SKU-1", "999999999999.999", "KWD", rfc3339(at(5)), rfc3339(at(5))),
        ]
    ]
    assert [json.loads(line) for line in (await stream(catalogue, Format.JSONL)).splitlines()] == wanted
    text = io.StringIO((await stream(catalogue, Format.CSV)).decode(), newline="")
    rows = list(csv.DictReader(text, strict=True))
    assert [{name: value or None for name, value in row.items()} for row in rows] == wanted
    read = pq.read_table(io.BytesIO(await stream(catalogue, Format.PARQUET)))
    assert read.schema.names == NAMES
    assert read.schema.field("price").type == pa.decimal128(16, 4)
    assert max(DECIMALS.values()) <= 4
    assert read.schema.field("valid_to").type == pa.timestamp("ms", "UTC")
    for row, as_text in zip(read.to_pylist(), wanted, strict=True):
        times = {name: row[name] and rfc3339(row[name]) for name in ("valid_from", "valid_to")}
        assert row | times == as_text | {"price": Decimal(str(as_text["price"]))}


async def test_a_period_has_the_prices_in_force_in_it() -> None:
    """Also those that began before it and those that end after it."""
    catalogue = Catalogue(products(1))
    minutes = 24 * 60 - 7 * 60  # From `START` to midnight.
    (product_id,) = catalogue.products
    catalogue.prices[product_id] = [
        period("1.00", "USD", 0, 1), period("2.00", "USD", 1, minutes), period("3.00", "USD", minutes, None)
    ]  # fmt: skip

    async def prices(first: date, last: date) -> list[str]:
        lines = (await stream(catalogue, Format.JSONL, Period(first, last))).splitlines()
        return [json.loads(line)["price"] for line in lines]

    day = START.date()
    after = date.fromordinal(day.toordinal() + 1)
    assert await prices(day, day) == ["1.00", "2.00"]
    assert await prices(after, after) == ["3.00"]
    assert await prices(day, date(2027, 1, 1)) == ["1.00", "2.00", "3.00"]
    assert await prices(date(2020, 1, 1), date.fromordinal(day.toordinal() - 1)) == []


@pytest.mark.parametrize("form", Format)
async def test_prices_of_many_products_are_encoded_in_batches(form: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, each product once."""
    monkeypatch.setattr(module, "_PAGE", 100)
    monkeypatch.setattr(module, "_BATCH", 250)
    catalogue = Catalogue(products(1_000))
    content = await stream(catalogue, form)
    assert catalogue.read == list(catalogue.products)
    if form is Format.PARQUET:
        assert pq.ParquetFile(io.BytesIO(content)).metadata.num_row_groups == 4
        skus = pq.read_table(io.BytesIO(content)).column("sku").to_pylist()
    elif form is Format.CSV:
        skus = [line.split(",")[1] for line in content.decode().splitlines()[1:]]
    else:
        skus = [json.loads(line)["sku"] for line in content.splitlines()]
    assert skus == [it.sku for it in catalogue.products.values()]


async def test_a_product_that_changes_lists_meanwhile_is_exported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is deleted is in both lists, and one that is restored may be in neither when it is read."""
    going, coming = products(2)
    coming = coming.deleted(by="ana", at=START)
    catalogue = Catalogue([going, coming])
    list_deleted = catalogue.deleted

    async def deleted(*, limit: int, start: Position | None) -> Page[Product]:
        catalogue.products = {
            going.id: going.deleted(by="ana", at=START),
            coming.id: coming.restored("SKU-1", by="ana", at=START),
        }
        return await list_deleted(limit=limit, start=start)

    monkeypatch.setattr(catalogue, "deleted", deleted)
    lines = (await stream(catalogue, Format.JSONL)).splitlines()
    assert [json.loads(line)["sku"] for line in lines] == ["SKU-0", "SKU-1"]


async def test_a_brief_outage_does_not_end_an_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BACKOFF", Backoff(first=0, longest=0))
    catalogue = Catalogue(products(1))
    catalogue.failures = 2
    assert len((await stream(catalogue, Format.JSONL, tries=3)).splitlines()) == 1
    catalogue.failures = 3
    with pytest.raises(TableUnavailable):  # The header waits for the first page.
        await anext(exporter(catalogue, tries=3).stream(Format.CSV))


async def test_a_place_has_the_whole_file_or_the_one_before(out: Out) -> None:
    """And a manifest with what it holds; another format needs another place."""
    catalogue = Catalogue(products(3))

    async def export(form: Format = Format.CSV, *, period: Period | None = None) -> None:
        async with open_place(out.settings, out.name, PRICES) as place:
            await exporter(catalogue).export(place, form, period, at=START)

    await export(period=Period(date(2026, 11, 1), date(2026, 11, 30)))
    before = out.files()
    assert sorted(before) == ["prices.manifest.json", "prices/prices.csv"]
    manifest = json.loads(before["prices.manifest.json"])
    assert (manifest["rows"], manifest["bytes"]) == (3, len(before["prices/prices.csv"]))
    assert (manifest["at"], manifest["from"], manifest["to"]) == (rfc3339(START), "2026-11-01", "2026-11-30")
    catalogue.failures = 1
    with pytest.raises(TableUnavailable):
        await export()
    assert out.files() == before
    with pytest.raises(FilesRefused, match="holds an export as csv: export parquet to another place"):
        await export(Format.PARQUET)
    catalogue.products.popitem()
    await export()
    assert len(out.files()["prices/prices.csv"].splitlines()) == 3
