"""Shopify's product CSV: a row a variant, of which only a product's first has its title, vendor and description."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vitrina.services.imports.derived_sku import derived_sku
from vitrina.services.imports.entries import Entry, ParsedRow, Record, SkippedRow, refused, skipped
from vitrina.services.imports.html_text import html_text
from vitrina.services.imports.import_file import ImportFile, UnreadableFile

_NEWER_NAMES: Final = {
    "url handle": "handle",
    "description": "body (html)",
    "published on online store": "published",
    "sku": "variant sku",
    "price": "variant price",
}
"""What Shopify's template calls these columns since 2025."""
_NEEDED: Final = ("handle", "title", "variant price")
_OPTIONS: Final = ("option1 value", "option2 value", "option3 value")
_ONLY_VARIANT: Final = "Default Title"
"""What Shopify calls the option of a product that has none."""
_UNPUBLISHED: Final = {"draft": "is a draft", "archived": "is archived"}


@dataclass(frozen=True, slots=True)
class _Product:
    """What a handle's first row says for all of them; `hidden` is why it is not on sale, if it is not."""

    handle: str
    title: str
    vendor: str
    description: str
    hidden: str | None


def entries(source: ImportFile, *, require_sku: bool, unpublished: bool) -> Iterator[Entry]:
    """Read variants as products, named after title and options. Raises UnreadableFile.

    A variant without a SKU gets one derived from handle and options, or is refused if `require_sku`; what is a draft,
    archived or not published is skipped unless `unpublished`; rows that hold only an image are skipped.
    """
    names = {_NEWER_NAMES.get(name, name) for name in source.columns}
    if lacking := [name for name in _NEEDED if name not in names]:
        raise UnreadableFile(f"it is no product CSV of Shopify: it has no column {lacking[0]!r}")
    product: _Product | None = None
    for record in source.records():
        if isinstance(record, SkippedRow):
            yield record
            continue
        cells = _cells(record)
        handle, title = cells["handle"], cells["title"]
        options = [cells[name] for name in _OPTIONS if cells.get(name)]
        if not (title or options or cells.get("variant sku") or cells["variant price"]):
            yield skipped(record.line, "holds only an image")
        elif not handle:
            yield refused(record.line, "it has no handle")
        elif not title and (product is None or product.handle != handle):
            yield refused(record.line, "it has no title, and the row above it is of another handle")
        else:
            if product is None or product.handle != handle:
                product = _first(cells)
            yield _variant(record.line, cells, product, options, require_sku=require_sku, unpublished=unpublished)


def _cells(record: Record) -> dict[str, str]:
    return {_NEWER_NAMES.get(name, name): cell.strip() for name, cell in record.cells.items()}


def _first(cells: dict[str, str]) -> _Product:
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


def _variant(
    line: int, cells: dict[str, str], product: _Product, options: list[str], *, require_sku: bool, unpublished: bool
) -> Entry:
    if product.hidden and not unpublished:
        return skipped(line, product.hidden)
    options = [] if options == [_ONLY_VARIANT] else options
    # Shopify writes an apostrophe before a number, so that spreadsheets leave its zeros alone.
    sku = cells.get("variant sku", "").removeprefix("'")
    if not sku and require_sku:
        return refused(line, "it has no SKU")
    texts = {
        "sku": sku or derived_sku([product.handle, *options]),
        "name": f"{product.title} - {' / '.join(options)}" if options else product.title,
        "brand": product.vendor,
        "price": cells["variant price"],
        "description": product.description,
    }
    return ParsedRow(line, texts)
