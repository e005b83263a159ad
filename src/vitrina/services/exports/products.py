"""The catalogue as a file that an import reads back: all live products, newest first."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import orjson

from vitrina.domain.pages import Position
from vitrina.domain.product_rows import COLUMNS, values
from vitrina.domain.products import Product, Sort
from vitrina.domain.spreadsheets import escape
from vitrina.services.imports.import_file import FileFormat
from vitrina.store.listings import ProductListings

_PAGE: Final = 1_000


async def live_products(listings: ProductListings) -> AsyncIterator[list[Product]]:
    """Read all live products, perhaps stale, a page at a time. One that is made meanwhile may not be among them."""
    start: Position | None = None
    while True:
        page = await listings.live(sort=Sort.NEWEST, brand=None, name_prefix=None, limit=_PAGE, start=start)
        yield page.items
        start = page.next
        if start is None:
            return


def csv_bytes(products: Iterable[Product]) -> bytes:
    """Write rows (RFC 4180, UTF-8); text that a spreadsheet would run is escaped, and read back by the import."""
    text = io.StringIO()
    writer = csv.writer(text)
    for product in products:
        cells = values(product).values()
        writer.writerow([escape(cell) if isinstance(cell, str) else cell for cell in cells])
    return text.getvalue().encode()


def jsonl_bytes(products: Iterable[Product]) -> bytes:
    """Write an object a line."""
    return b"".join(orjson.dumps(values(product), option=orjson.OPT_APPEND_NEWLINE) for product in products)


WRITERS: Final[dict[FileFormat, tuple[bytes, Callable[[Iterable[Product]], bytes]]]] = {
    FileFormat.CSV: (",".join(COLUMNS).encode() + b"\r\n", csv_bytes),
    FileFormat.JSONL: (b"", jsonl_bytes),
}
"""What comes before all products, and what writes them."""
