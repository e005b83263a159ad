"""Exports prices: one row for each price of a product and the time for which it was in force.

The rows come from the changes of each product, for a deletion ends a price and a restoration begins one, which the
items of prices do not show. Memory holds a thousand products and the ids of all.
"""

import asyncio
import io
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, time
from functools import partial
from typing import Final, NamedTuple, TypeVar

import orjson

from vitrina.backoff import Backoff
from vitrina.clock import rfc3339
from vitrina.domain.money import MAX_INTEGER_DIGITS
from vitrina.domain.pages import Page, Position
from vitrina.domain.products import Listing, PricePeriod, Product
from vitrina.domain.reports import Format, Period, product_key
from vitrina.domain.text import csv_row
from vitrina.errors import TableUnavailable
from vitrina.services.arrow import pa
from vitrina.services.concurrency import ahead, gather
from vitrina.services.exports.dataset import Place, copy, read_manifest, write_manifest
from vitrina.services.exports.formats import ParquetFile, csv_header
from vitrina.store.listings import ProductListings

T = TypeVar("T")
PRICES: Final = "prices"
_SCALE: Final = 4
"""Decimals of a price in Parquet: ISO 4217 has no currency with more."""
SCHEMA: Final = pa.schema(
    [
        pa.field("product_id", pa.string(), nullable=False),
        pa.field("sku", pa.string(), nullable=False),
        pa.field("price", pa.decimal128(MAX_INTEGER_DIGITS + _SCALE, _SCALE), nullable=False),
        pa.field("currency", pa.string(), nullable=False),
        pa.field("valid_from", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("valid_to", pa.timestamp("ms", "UTC")),
    ]
)
_PAGE: Final = 1_000
"""Products of one page of a list."""
_READS_AT_ONCE: Final = 32
"""Concurrent queries of the changes of a product."""
_BATCH: Final = 32_768
"""Rows that are encoded together: a row group of Parquet."""
_BACKOFF: Final = Backoff(first=1, longest=16, jitter=0.5)


class PriceRow(NamedTuple):
    """A row. `sku` is the product's current one, or its last one before it was deleted."""

    product_id: str
    sku: str
    price: PricePeriod


class PriceExporter:
    """Reads prices from the table; each call is tried `tries` times. `report` gets the number of products so far."""

    def __init__(
        self, listings: ProductListings, *, tries: int = 1, report: Callable[[int], object] = lambda _: None
    ) -> None:
        self._listings = listings
        self._tries = tries
        self._report = report
        self.products = 0
        self.rows = 0

    async def stream(self, form: Format, period: Period | None = None) -> AsyncGenerator[memoryview, None]:
        """Yield a file of the prices that were in force at some time of a period, of all without one.

        The first piece comes once the first page of products is read. Raises TableUnavailable. Close the iterator.
        """
        begin, encode, end = _new_encoder(form)
        began = False
        rows: list[PriceRow] = []
        async with aclosing(ahead(self._read(period))) as pages:
            async for page in pages:
                if not began:
                    yield memoryview(begin)
                    began = True
                rows += page
                if len(rows) >= _BATCH:
                    yield memoryview(await asyncio.to_thread(encode, rows))
                    rows = []
        if rows:
            yield memoryview(await asyncio.to_thread(encode, rows))
        yield memoryview(end())

    async def export(self, place: Place, form: Format, period: Period | None, *, at: datetime) -> None:
        """Write the file and the manifest of the dataset `prices`, whose state is that of `at` or later.

        Raises FilesRefused, and TableUnavailable.
        """
        await read_manifest(place, PRICES, form)
        name = f"{PRICES}/{PRICES}.{form}"
        async with place.writing(name) as file:
            size, sha256 = await copy(self.stream(form, period), file)
        written = {"file": name, "rows": self.rows, "bytes": size, "sha256": sha256, "tag": file.tag}
        days = {"from": period and period.first, "to": period and period.last}
        await write_manifest(place, PRICES, {"format": form, "at": rfc3339(at), **days, **written})

    async def _read(self, period: Period | None) -> AsyncGenerator[list[PriceRow], None]:
        """Yield the rows of each page of products."""
        live = partial(self._listings.live, Listing())
        seen: set[bytes] = set()
        # A product that is restored after the first list and before the second is in neither, so the first is repeated.
        for listing in (live, self._listings.deleted, live):
            start: Position | None = None
            while True:
                page: Page[Product] = await self._tried(partial(listing, limit=_PAGE, start=start))
                found = {product_key(product.id): product for product in page.items}
                yield await self._rows([product for key, product in found.items() if key not in seen], period)
                seen.update(found)
                start = page.next
                if start is None:
                    break

    async def _rows(self, products: Sequence[Product], period: Period | None) -> list[PriceRow]:
        reads = (self._tried(partial(self._listings.price_periods, product.id)) for product in products)
        rows = [
            PriceRow(product.id, product.original_sku or product.sku, price)
            for product, prices in zip(products, await gather(reads, at_once=_READS_AT_ONCE), strict=True)
            for price in prices
            if period is None or _in_force(price, period)
        ]
        self.products += len(products)
        self.rows += len(rows)
        self._report(self.products)
        return rows

    async def _tried(self, call: Callable[[], Awaitable[T]]) -> T:
        for failures in range(1, self._tries):
            try:
                return await call()
            except TableUnavailable:
                await _BACKOFF.sleep(failures)
        return await call()


def _in_force(price: PricePeriod, period: Period) -> bool:
    begin = datetime.combine(period.first, time.min, UTC)
    return price.since.date() <= period.last and (price.until is None or price.until > begin)


def _new_encoder(form: Format) -> tuple[bytes, Callable[[Sequence[PriceRow]], bytes], Callable[[], bytes]]:
    """Return the first bytes of a file, what encodes some rows, and what returns the last bytes."""
    match form:
        case Format.PARQUET:
            file = ParquetFile(SCHEMA, texts=["product_id", "sku", "currency"], times=["valid_from", "valid_to"])
            return file.begin(), partial(_row_group, file), file.end
        case Format.CSV:
            return csv_header(SCHEMA).encode(), _csv, bytes
        case Format.JSONL:
            return b"", _jsonl, bytes


def _row_group(file: ParquetFile, rows: Sequence[PriceRow]) -> bytes:
    values = ((id_, sku, it.price, it.currency, it.since, it.until) for id_, sku, it in rows)
    columns = zip(SCHEMA, zip(*values, strict=True), strict=True)
    return file.add({field.name: pa.array(column, field.type) for field, column in columns}, len(rows))


def _csv(rows: Sequence[PriceRow]) -> bytes:
    return "".join(csv_row(value or "" for value in _texts(row)) for row in rows).encode()


def _jsonl(rows: Sequence[PriceRow]) -> bytes:
    lines = io.BytesIO()
    for row in rows:
        lines.write(orjson.dumps(dict(zip(SCHEMA.names, _texts(row), strict=True)), option=orjson.OPT_APPEND_NEWLINE))
    return lines.getvalue()


def _texts(row: PriceRow) -> tuple[str | None, ...]:
    product_id, sku, price = row
    until = None if price.until is None else rfc3339(price.until)
    return product_id, sku, str(price.price), price.currency, rfc3339(price.since), until
