"""WooCommerce's product CSV: simple products, and variations whose parent may be anywhere in the file."""

import re
from collections.abc import Iterator
from typing import Final

from vitrina.domain.text import unescape_cell
from vitrina.services.imports.html_text import html_text
from vitrina.services.imports.import_file import ImportFile, UnreadableFile
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import ImportOptions, ParsedRow, Record, Row, RowResult, refused, skipped

_REQUIRED: Final = ("type", "sku", "name", "regular price")
_PRODUCTS: Final = frozenset({"simple", "variation", "external"})
_FLAGS: Final = frozenset({"virtual", "downloadable"})
"""Words that stand beside the type in its cell."""
_NOT_SOLD: Final = {
    "variable": "is the parent of variations, which are the products",
    "grouped": "is a group of products and has no price of its own",
}
_UNPUBLISHED: Final = {"0": "is private", "-1": "is a draft"}
_COMMA: Final = re.compile(r"(?<!\\),")
"""Separates the values of a cell; a comma within a value has a backslash before it."""
_BREAKS: Final = re.compile(r"\\\\n|\\[nr]")
_ATTRIBUTE: Final = re.compile(r"attribute (\d+) value\(s\)")


def parse_rows(file: ImportFile, options: ImportOptions, plan: ImportPlan) -> Iterator[Row]:
    """Parse the rows that can be bought; parents and groups are skipped. Raises UnreadableFile.

    The price is the regular one, because an imported sale price would outlast the sale. A variation inherits from its
    parent the fields that it leaves empty, and is hidden if its parent is. A missing SKU becomes `WC-` and the ID.
    """
    if missing := [name for name in _REQUIRED if name not in file.columns]:
        raise UnreadableFile(f"it is not a product CSV of WooCommerce: it has no column {missing[0]!r}")
    for record in file.records():
        if isinstance(record, Record) and "variable" in _types(cells := _cells(record)):
            plan.save_parent(_keys(cells), _inherited(cells))
    for record in file.records():
        yield record if isinstance(record, RowResult) else _row(record.line, _cells(record), options, plan)


def _row(line: int, cells: dict[str, str], options: ImportOptions, plan: ImportPlan) -> Row:
    kind = next((word for word in _types(cells) if word not in _FLAGS), "simple")
    if kind in _NOT_SOLD:
        return skipped(line, _NOT_SOLD[kind])
    if kind not in _PRODUCTS:
        return skipped(line, f"is of the type {kind!r}, which this catalogue does not have")
    parent = (plan.parent(_reference(cells.get("parent", ""))) if kind == "variation" else None) or {}
    hidden = _UNPUBLISHED.get(cells.get("published", "")) or parent.get("hidden")
    if hidden and not options.unpublished:
        return skipped(line, hidden)
    sku, number = cells["sku"].removeprefix("'"), cells.get("id", "")
    if not sku and (options.require_sku or not number):
        return refused(line, "it has no SKU" if options.require_sku else "it has neither a SKU nor an ID")
    own = _inherited(cells)
    texts = {name: own[name] or parent.get(name, "") for name in ("brand", "description")}
    texts |= {
        "sku": sku or f"WC-{number}",
        "name": own["name"] or _variation_name(cells, parent.get("name", "")),
        "price": _price(cells["regular price"]),
    }
    return ParsedRow(line, texts)


def _cells(record: Record) -> dict[str, str]:
    return {name: unescape_cell(cell.strip()) for name, cell in record.cells.items()}


def _types(cells: dict[str, str]) -> list[str]:
    words = (word.strip() for word in cells["type"].casefold().split(","))
    return [word for word in words if word]


def _inherited(cells: dict[str, str]) -> dict[str, str]:
    """Return the fields that a variation may inherit from a row; `hidden` is why it is not on sale, or empty."""
    description = cells.get("description") or cells.get("short description", "")
    return {
        "name": cells["name"],
        "brand": _brand(cells.get("brands", "")),
        "description": html_text(_BREAKS.sub(_break, description), keep_breaks=True),
        "hidden": _UNPUBLISHED.get(cells.get("published", ""), ""),
    }


def _keys(cells: dict[str, str]) -> list[str]:
    keys = {"id": cells.get("id", ""), "sku": cells["sku"].casefold()}
    return [f"{kind}:{value}" for kind, value in keys.items() if value]


def _reference(text: str) -> str:
    """Return the key of the parent that a variation names by `id:17` or by SKU."""
    return text if text.startswith("id:") else f"sku:{text.casefold()}"


def _variation_name(cells: dict[str, str], parent: str) -> str:
    numbers = sorted(int(match[1]) for name in cells if (match := _ATTRIBUTE.fullmatch(name)))
    named = (cells[f"attribute {number} value(s)"].replace("\\,", ",") for number in numbers)
    chosen = ", ".join(filter(None, named))
    return f"{parent} - {chosen}" if chosen and parent else parent


def _brand(text: str) -> str:
    """Return the first brand without its parent brands: `Kids` for `Acme > Kids, Other`."""
    return _COMMA.split(text)[0].replace("\\,", ",").rpartition(">")[2].strip()


def _price(text: str) -> str:
    """Return a price with a decimal point: shops write their language's own, and never a thousands separator."""
    return text.replace(",", ".") if text.count(",") == 1 and "." not in text else text


def _break(match: re.Match[str]) -> str:
    return {r"\n": "\n", r"\r": "", r"\\n": r"\n"}[match[0]]
