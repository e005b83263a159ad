"""WooCommerce's product CSV: simple products, and variations that hang on a parent anywhere in the file."""

import re
from collections.abc import Iterator
from typing import Final

from vitrina.domain.spreadsheets import unescape
from vitrina.services.imports.entries import Entry, ParsedRow, Record, SkippedRow, refused, skipped
from vitrina.services.imports.html_text import html_text
from vitrina.services.imports.import_file import ImportFile, UnreadableFile
from vitrina.services.imports.plan import ImportPlan

_NEEDED: Final = ("type", "sku", "name", "regular price")
_PRODUCTS: Final = frozenset({"simple", "variation", "external"})
_FLAGS: Final = frozenset({"virtual", "downloadable"})
"""Written beside the type, in its cell."""
_NO_PRODUCTS: Final = {
    "variable": "is the parent of variations, which are the products",
    "grouped": "is a group of products, and has no price of its own",
}
_UNPUBLISHED: Final = {"0": "is private", "-1": "is a draft"}
_COMMA: Final = re.compile(r"(?<!\\),")
"""Between the values of a cell; a comma within a value has a backslash before it."""
_BREAKS: Final = re.compile(r"\\\\n|\\[nr]")
_ATTRIBUTE: Final = re.compile(r"attribute (\d+) value\(s\)")


def entries(source: ImportFile, book: ImportPlan, *, require_sku: bool, unpublished: bool) -> Iterator[Entry]:
    """Read what can be bought; parents and groups are skipped. Raises UnreadableFile.

    The price is the regular one: a sale ends, and its price would stay. A variation takes from its parent what it
    doesn't say itself. A missing SKU is `WC-` and the ID, or is refused if `require_sku`. What is private or a draft,
    or hangs on such a parent, is skipped unless `unpublished`.
    """
    if lacking := [name for name in _NEEDED if name not in source.columns]:
        raise UnreadableFile(f"it is no product CSV of WooCommerce: it has no column {lacking[0]!r}")
    for record in source.records():
        if isinstance(record, Record) and "variable" in _types(cells := _cells(record)):
            book.keep_parent(_keys(cells), _shared(cells))
    for record in source.records():
        yield (
            record
            if isinstance(record, SkippedRow)
            else _entry(record.line, _cells(record), book, require_sku=require_sku, unpublished=unpublished)
        )


def _entry(line: int, cells: dict[str, str], book: ImportPlan, *, require_sku: bool, unpublished: bool) -> Entry:
    kind = next((word for word in _types(cells) if word not in _FLAGS), "simple")
    if kind in _NO_PRODUCTS:
        return skipped(line, _NO_PRODUCTS[kind])
    if kind not in _PRODUCTS:
        return skipped(line, f"is of the type {kind!r}, which is none of this catalogue's")
    parent = (book.parent(_reference(cells.get("parent", ""))) if kind == "variation" else None) or {}
    hidden = _UNPUBLISHED.get(cells.get("published", "")) or parent.get("hidden")
    if hidden and not unpublished:
        return skipped(line, hidden)
    sku, number = cells["sku"].removeprefix("'"), cells.get("id", "")
    if not sku and (require_sku or not number):
        return refused(line, "it has no SKU" if require_sku else "it has neither a SKU nor an ID")
    own = _shared(cells)
    texts = {name: own[name] or parent.get(name, "") for name in ("brand", "description")}
    texts |= {
        "sku": sku or f"WC-{number}",
        "name": own["name"] or _variation_name(cells, parent.get("name", "")),
        "price": _price(cells["regular price"]),
    }
    return ParsedRow(line, texts)


def _cells(record: Record) -> dict[str, str]:
    return {name: unescape(cell.strip()) for name, cell in record.cells.items()}


def _types(cells: dict[str, str]) -> list[str]:
    words = (word.strip() for word in cells["type"].casefold().split(","))
    return [word for word in words if word]


def _shared(cells: dict[str, str]) -> dict[str, str]:
    """Return what a variation may take from a row; `hidden` is why it is not on sale, if it is not."""
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
    """Return the key of a parent that is named by `id:17`, or by its SKU."""
    return text if text.startswith("id:") else f"sku:{text.casefold()}"


def _variation_name(cells: dict[str, str], parent: str) -> str:
    numbers = sorted(int(match[1]) for name in cells if (match := _ATTRIBUTE.fullmatch(name)))
    named = (cells[f"attribute {number} value(s)"].replace("\\,", ",") for number in numbers)
    chosen = ", ".join(filter(None, named))
    return f"{parent} - {chosen}" if chosen and parent else parent


def _brand(text: str) -> str:
    """Return the first brand, without those that it is a part of: of `Acme > Kids, Other` it is `Kids`."""
    return _COMMA.split(text)[0].replace("\\,", ",").rpartition(">")[2].strip()


def _price(text: str) -> str:
    """Return a price with a point: shops write their own language's, and never a mark for thousands."""
    return text.replace(",", ".") if text.count(",") == 1 and "." not in text else text


def _break(match: re.Match[str]) -> str:
    return {r"\n": "\n", r"\r": "", r"\\n": r"\n"}[match[0]]
