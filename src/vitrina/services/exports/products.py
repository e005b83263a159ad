"""Exports the catalogue, newest product first, in the files that an import reads back."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import orjson

from vitrina.domain.pages import Position
from vitrina.domain.product_rows import COLUMNS, values
from vitrina.domain.products import Listing, Product
from vitrina.domain.text import csv_row
from vitrina.services.imports.import_file import FileFormat
from vitrina.store.listings import ProductListings

_PAGE: Final = 1_000


async def live_products(listings: ProductListings) -> AsyncIterator[list[Product]]:
    """Yield all live products in pages of eventually consistent reads; products created meanwhile may be missing."""
    start: Position | None = None
    while True:
        page = await listings.live(Listing(), limit=_PAGE, start=start)
        yield page.items
        start = page.next
        if start is None:
            return


def _csv(products: Iterable[Product]) -> bytes:
    """Return CSV rows (RFC 4180, UTF-8); text that a spreadsheet would evaluate is escaped, as the import expects."""
    rows = (values(product).values() for product in products)
    return "".join(csv_row("" if cell is None else str(cell) for cell in cells) for cells in rows).encode()


def _jsonl(products: Iterable[Product]) -> bytes:
    """Return JSON Lines, one object per product."""
    return b"".join(orjson.dumps(values(product), option=orjson.OPT_APPEND_NEWLINE) for product in products)


WRITERS: Final[dict[FileFormat, tuple[bytes, Callable[[Iterable[Product]], bytes]]]] = {
    FileFormat.CSV: (",".join(COLUMNS).encode() + b"\r\n", _csv),
    FileFormat.JSONL: (b"", _jsonl),
}
"""The header of a file, and the function that encodes products."""
