"""Shopify's product CSV: a row per variant; only a product's first row has its title, vendor and description."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from vitrina.services.imports.html_text import html_text
from vitrina.services.imports.import_file import ImportFile, UnreadableFile
from vitrina.services.imports.rows import ImportOptions, ParsedRow, Record, Row, RowResult, refused, skipped

_NEWER_NAMES: Final = {
    "url handle": "handle",
    "description": "body (html)",
    "published on online store": "published",
    "sku": "variant sku",
    "price": "variant price",
}
"""The names of these columns in Shopify's template since 2025, and the older names that this module uses."""
_REQUIRED: Final = ("handle", "title", "variant price")
_OPTIONS: Final = ("option1 value", "option2 value", "option3 value")
_ONLY_VARIANT: Final = "Default Title"
"""Shopify's option value for a product that has no options."""
_UNPUBLISHED: Final = {"draft": "is a draft", "archived": "is archived"}
_SKU_LENGTH: Final = 64
_SKU_DIGITS: Final = 8


@dataclass(frozen=True, slots=True)
class _Product:
    """What the first row of a handle says for all its variants; `hidden` is why it is not on sale, None if it is."""

    handle: str
    title: str
    vendor: str
    description: str
    hidden: str | None


def parse_rows(file: ImportFile, options: ImportOptions) -> Iterator[Row]:
    """Parse each variant as a product whose name is its title and option values. Raises UnreadableFile.

    A variant without a SKU gets one derived from its handle and option values. Rows that hold only an image are
    skipped.
    """
    names = {_NEWER_NAMES.get(name, name) for name in file.columns}
    if missing := [name for name in _REQUIRED if name not in names]:
        raise UnreadableFile(f"it is not a product CSV of Shopify: it has no column {missing[0]!r}")
    product: _Product | None = None
    for record in file.records():
        if isinstance(record, RowResult):
            yield record
            continue
        cells = _cells(record)
        handle, title = cells["handle"], cells["title"]
        values = [cells[name] for name in _OPTIONS if cells.get(name)]
        if not (title or values or cells.get("variant sku") or cells["variant price"]):
            yield skipped(record.line, "holds only an image")
        elif not handle:
            yield refused(record.line, "it has no handle")
        elif not title and (product is None or product.handle != handle):
            yield refused(record.line, "it has no title, and the row above it has another handle")
        else:
            if product is None or product.handle != handle:
                product = _product(cells)
            yield _variant(record.line, cells, product, values, options)


def derived_sku(parts: Sequence[str]) -> str:
    """Join a handle and option values to a SKU: `wool-cap`, `Deep Red` and `M` become `WOOL-CAP-DEEP-RED-M`.

    The same parts always give the same SKU. Letters are upper-cased and lose their accents; each run of characters that
    a SKU cannot hold becomes one hyphen. If that loses information (letters without an ASCII equivalent, or more than
    64 characters), the SKU ends with eight digits of the parts' SHA-256. Two products that still get one SKU are both
    refused as duplicates.
    """
    decomposed = [unicodedata.normalize("NFKD", part.casefold()) for part in parts]
    folded = [re.sub(r"[^a-z0-9._]+", "-", _without_marks(part)).strip("-.") for part in decomposed]
    sku = "-".join(filter(None, folded)).upper()
    lossy = any(character.isalnum() and not character.isascii() for part in decomposed for character in part)
    if not sku or lossy or len(sku) > _SKU_LENGTH:
        digest = hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:_SKU_DIGITS].upper()
        sku = f"{sku[: _SKU_LENGTH - _SKU_DIGITS - 1].rstrip('-')}-{digest}".lstrip("-")
    return sku


def _without_marks(text: str) -> str:
    return "".join(character for character in text if not unicodedata.combining(character))


def _cells(record: Record) -> dict[str, str]:
    return {_NEWER_NAMES.get(name, name): cell.strip() for name, cell in record.cells.items()}


def _product(cells: dict[str, str]) -> _Product:
    hidden = _UNPUBLISHED.get(cells.get("status", "").casefold())
    if hidden is None and cells.get("published", "").casefold() == "false":
        hidden = "is not published"
    return _Product(
        handle=cells["handle"],
        title=cells["title"],
        vendor=cells.get("vendor", ""),
        description=html_text(cells.get("body (html)", "")),
        hidden=hidden,
    )


def _variant(line: int, cells: dict[str, str], product: _Product, values: list[str], options: ImportOptions) -> Row:
    if product.hidden and not options.unpublished:
        return skipped(line, product.hidden)
    values = [] if values == [_ONLY_VARIANT] else values
    # Shopify writes an apostrophe before a number so that spreadsheets keep its leading zeros.
    sku = cells.get("variant sku", "").removeprefix("'")
    if not sku and options.require_sku:
        return refused(line, "it has no SKU")
    texts = {
        "sku": sku or derived_sku([product.handle, *values]),
        "name": f"{product.title} - {' / '.join(values)}" if values else product.title,
        "brand": product.vendor,
        "price": cells["variant price"],
        "description": product.description,
    }
    return ParsedRow(line, texts)
