"""Parses a file into an import plan; each profile maps its own columns to those of a product."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from vitrina.domain.money import DECIMALS, DEFAULT_CURRENCY, parse_amount
from vitrina.domain.product_rows import COLUMNS, RULES, clean
from vitrina.domain.text import unescape_cell
from vitrina.ids import is_id
from vitrina.services.imports import shopify, woocommerce
from vitrina.services.imports.columns import Layout, folded
from vitrina.services.imports.import_file import FileFormat, ImportFile, Number
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.prices import PriceReader
from vitrina.services.imports.rows import (
    ImportOptions,
    Outcome,
    ParsedRow,
    Profile,
    Record,
    Row,
    RowResult,
    UnreadableFile,
    refused,
)

_SIGNATURES: Final = (
    ("Shopify", ("handle", "title", "variant price"), Profile.SHOPIFY),
    ("Shopify", ("url handle", "title", "price"), Profile.SHOPIFY),
    ("WooCommerce", ("type", "sku", "name", "regular price"), Profile.WOOCOMMERCE),
    ("Magento", ("sku", "attribute_set_code", "product_type"), None),
    ("Magento", ("sku", "_attribute_set", "_type"), None),
    ("Square", ("token", "item name", "variation name"), None),
    ("Google Merchant Center", ("id", "title", "link", "image link"), None),
    ("Google Merchant Center", ("id", "title", "link", "image_link"), None),
)
"""Columns by which the file of a shop is recognised, and the profile that reads it, if there is one."""
_BREAKS: Final = re.compile(" *[\t\n\v\f\r\u2028\u2029][\t\n\v\f\r\u2028\u2029 ]*")
_WINDOWS_1252: Final = {
    code: character for code in range(0x80, 0xA0) if (character := bytes([code]).decode("cp1252", errors="ignore"))
}
"""What programs mean by these control characters (WHATWG HTML, numeric character reference end state)."""
_OWN: Final = Layout(dict.fromkeys(COLUMNS, ()))
_LAYOUTS: Final = {
    Profile.VITRINA: _OWN,
    Profile.SHOPIFY: shopify.LAYOUT,
    Profile.WOOCOMMERCE: woocommerce.LAYOUT,
}


def parse(
    file: ImportFile, options: ImportOptions, plan: ImportPlan, advance: Callable[[int], object] = lambda _: None
) -> None:
    """Add every row of a file to the plan; calls `advance` with the number of bytes read since the last call.

    If a price depends on prices in later rows, the file is read again, and `advance` takes back what was read before.
    Raises UnreadableFile.
    """
    # An export, unless a spreadsheet has saved it again with semicolons.
    is_export = tuple(file.header) == COLUMNS and file.delimiter == ","
    prices = PriceReader(mark=options.decimal_mark, plain=file.format is FileFormat.JSONL or is_export)
    _add_rows(file, options, plan, prices, advance)
    if not prices.is_settled:
        plan.clear()
        advance(-file.position)
        _add_rows(file, options, plan, prices, advance, again=True)
    plan.resolve_repeats(derive=options.derive_skus)


def _add_rows(
    file: ImportFile,
    options: ImportOptions,
    plan: ImportPlan,
    prices: PriceReader,
    advance: Callable[[int], object],
    *,
    again: bool = False,
) -> None:
    """Add every row; those that are to be read `again` are only noted."""
    position = 0
    for row in parse_rows(file, options, plan):
        advance(file.position - position)
        position = file.position
        if isinstance(row, ParsedRow) and type(price := row.texts.get("price")) is str:
            prices.note(row.line, price)
        if not again and not prices.is_settled:
            continue
        if isinstance(row, RowResult):
            plan.add_skipped(row)
            continue
        texts = {name: _repaired(name, text) for name, text in row.texts.items()}
        for name, text in options.defaults.items():
            if not (texts.get(name) or "").strip():
                texts[name] = text
        currency = (texts.get("currency") or "").strip()
        read_price = partial(prices.read, currency=currency if currency in DECIMALS else DEFAULT_CURRENCY)
        is_number = type(row.texts.get("price")) is Number
        try:
            fields = clean(texts, price=parse_amount if is_number else read_price)
            plan.add(row.line, fields, origin=row.origin, is_derived=row.is_derived, product_id=row.product_id)
        except ValueError as error:
            plan.add_skipped(RowResult(row.line, Outcome.REFUSED, str(error), texts.get("sku") or ""))


def parse_rows(file: ImportFile, options: ImportOptions, plan: ImportPlan) -> Iterator[Row]:
    """Parse the rows of a file by its profile; `plan` stores the parents of WooCommerce. Raises UnreadableFile."""
    if file.format is FileFormat.CSV:
        if not options.columns:
            _check_layout(set(file.header), options.profile)
        file.unread = _LAYOUTS[options.profile].apply(file, options.columns)
    elif options.profile is not Profile.VITRINA:
        raise UnreadableFile(f"the profile {options.profile} reads CSV")
    if options.profile is Profile.VITRINA:
        return _own_rows(file, _OWN.targets(options.columns))
    if options.profile is Profile.SHOPIFY:
        return shopify.parse_rows(file, options)
    return woocommerce.parse_rows(file, options, plan)


def _check_layout(columns: set[str], profile: Profile) -> None:
    """Raise UnreadableFile for the layout of another shop, with the profile to use."""
    # WooCommerce's are translated; `price` is a spelling of one, and a column of own files too.
    names = columns | {woocommerce.LAYOUT.find(name) for name in columns if name != "price"}
    for shop, signature, reader in _SIGNATURES:
        if reader is not profile and names.issuperset(signature):
            advice = f"use --profile {reader}" if reader else "no profile reads it; name its columns with --map"
            raise UnreadableFile(f"it looks like {shop}'s: {advice}")
    if profile is not Profile.VITRINA and len(columns) > 1 and "sku" in columns and columns.issubset(COLUMNS):
        raise UnreadableFile("it looks like Vitrina's own: leave out --profile")


def _own_rows(file: ImportFile, names: Mapping[str, str]) -> Iterator[Row]:
    """Parse the columns of an export, in any order; only `sku` is required. `names` renames the names of JSON."""
    if file.format is FileFormat.CSV and "sku" not in file.columns:
        raise UnreadableFile(file.missing_column("sku"))
    for record in file.records():
        if isinstance(record, RowResult):
            yield record
        elif file.format is FileFormat.CSV:
            yield _from_csv(record)
        else:
            cells = {names.get(folded(name), name): cell for name, cell in record.cells.items()}
            yield _from_json(Record(record.line, cells))


def _from_csv(record: Record) -> Row:
    texts = {name: unescape_cell(record.cells[name]) for name in RULES if name in record.cells}
    return ParsedRow(record.line, texts, product_id=_id(record))


def _from_json(record: Record) -> Row:
    if unknown := record.cells.keys() - set(COLUMNS):
        return refused(record.line, f"no product has {', '.join(map(repr, sorted(unknown)))}")
    texts = {name: record.cells[name] for name in RULES if name in record.cells}
    for name, value in texts.items():
        if not (value is None or type(value) is str or (name == "price" and type(value) is Number)):
            return refused(record.line, f"{name} is not text")
    return ParsedRow(record.line, texts, product_id=_id(record))


def _id(record: Record) -> str | None:
    """Return the id of a row; None if it has none, or one of another system."""
    text = record.cells.get("id")
    return text.strip() if isinstance(text, str) and is_id(text.strip()) else None


def _repaired(name: str, text: str | None) -> str | None:
    """Return the text for people without other programs' line breaks and controls that mean a character."""
    if not text or text.isprintable() or name not in {"name", "brand", "description"}:
        return text
    text = text.translate(_WINDOWS_1252)
    return re.sub("[\v\f]", "\n", text) if name == "description" else _BREAKS.sub(" ", text)
