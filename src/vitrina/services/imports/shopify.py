"""Shopify's product CSV: a row per variant; only a product's first row has its title, vendor and description."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vitrina.services.imports.columns import Layout
from vitrina.services.imports.html_text import decode_entities, html_text
from vitrina.services.imports.import_file import ImportFile
from vitrina.services.imports.rows import ImportOptions, ParsedRow, Row, RowResult, UnreadableFile, refused, skipped
from vitrina.services.imports.skus import Origin, chosen_sku

LAYOUT: Final = Layout(
    {
        "handle": ("URL handle",),
        "title": (),
        "vendor": (),
        "body (html)": ("Description",),
        "published": ("Published on online store",),
        "status": (),
        "option%d value": (),
        "variant sku": ("SKU",),
        "variant price": ("Price",),
        "currency": (),
    },
    {"name": "title", "brand": "vendor"},
)
"""The other names are those of Shopify's template since 2025."""
_REQUIRED: Final = ("handle", "title", "variant price")
_OPTIONS: Final = ("option1 value", "option2 value", "option3 value")
_ONLY_VARIANT: Final = "Default Title"
"""Shopify's option value for a product that has no options."""
_UNPUBLISHED: Final = {"draft": "is a draft", "archived": "is archived"}


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

    The origin of a variant is its handle and option values. Rows that hold only an image are skipped.
    """
    if missing := [name for name in _REQUIRED if name not in file.columns]:
        raise UnreadableFile(f"it is not a product CSV of Shopify: {file.missing_column(missing[0])}")
    product: _Product | None = None
    for record in file.records():
        if isinstance(record, RowResult):
            yield record
            continue
        cells = {name: cell.strip() for name, cell in record.cells.items()}
        handle, title = cells["handle"], cells["title"]
        values = [decode_entities(cells[name]) for name in _OPTIONS if cells.get(name)]
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


def _product(cells: dict[str, str]) -> _Product:
    hidden = _UNPUBLISHED.get(cells.get("status", "").casefold())
    if hidden is None and cells.get("published", "").casefold() == "false":
        hidden = "is not published"
    return _Product(
        handle=cells["handle"],
        title=decode_entities(cells["title"]),
        vendor=decode_entities(cells.get("vendor", "")),
        description=html_text(cells.get("body (html)", "")),
        hidden=hidden,
    )


def _variant(line: int, cells: dict[str, str], product: _Product, values: list[str], options: ImportOptions) -> Row:
    if product.hidden and not options.unpublished:
        return skipped(line, product.hidden)
    values = [] if values == [_ONLY_VARIANT] else values
    # Shopify writes an apostrophe before a number so that spreadsheets keep its leading zeros.
    own, origin = cells.get("variant sku", "").removeprefix("'"), Origin.of(product.handle, *values)
    try:
        sku, is_derived = chosen_sku(own, origin, derive=options.derive_skus, require=options.require_sku)
    except ValueError as error:
        return refused(line, str(error), own)
    texts = {
        "sku": sku,
        "name": f"{product.title} - {' / '.join(values)}" if values else product.title,
        "brand": product.vendor,
        "price": cells["variant price"],
        "description": product.description,
    }
    if "currency" in cells:
        texts["currency"] = cells["currency"]
    return ParsedRow(line, texts, origin, is_derived=is_derived)
