"""Whose file it is: how the rows of each kind become products."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from vitrina.domain.product_rows import COLUMNS, RULES
from vitrina.domain.spreadsheets import unescape
from vitrina.services.imports import shopify, woocommerce
from vitrina.services.imports.entries import Entry, ParsedRow, Record, SkippedRow, refused
from vitrina.services.imports.import_file import FileFormat, ImportFile, Number, UnreadableFile
from vitrina.services.imports.plan import ImportPlan


class Profile(StrEnum):
    """Who wrote the file."""

    VITRINA = "vitrina"
    SHOPIFY = "shopify"
    WOOCOMMERCE = "woocommerce"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How a file is to be read. `filling` is what a row says of fields that it leaves empty."""

    profile: Profile = Profile.VITRINA
    require_sku: bool = False
    unpublished: bool = False
    filling: dict[str, str] = field(default_factory=dict)


def entries(source: ImportFile, reading: ImportOptions, book: ImportPlan) -> Iterator[Entry]:
    """Read all entries of a file. Raises UnreadableFile."""
    if reading.profile is Profile.VITRINA:
        return _own(source)
    if source.format is not FileFormat.CSV:
        raise UnreadableFile(f"the profile {reading.profile} reads CSV")
    if reading.profile is Profile.SHOPIFY:
        return shopify.entries(source, require_sku=reading.require_sku, unpublished=reading.unpublished)
    return woocommerce.entries(source, book, require_sku=reading.require_sku, unpublished=reading.unpublished)


def _own(source: ImportFile) -> Iterator[Entry]:
    """Read our own columns, in any order; only `sku` must be there, and a column that we don't know is a mistake."""
    if unknown := set(source.columns).difference(COLUMNS):
        raise UnreadableFile(f"it has columns that no product has: {', '.join(map(repr, sorted(unknown)))}")
    if source.format is FileFormat.CSV and "sku" not in source.columns:
        raise UnreadableFile("it has no column 'sku'")
    convert: Final[Callable[[Record], Entry]] = _from_csv if source.format is FileFormat.CSV else _from_json
    for record in source.records():
        yield record if isinstance(record, SkippedRow) else convert(record)


def _from_csv(record: Record) -> ParsedRow:
    return ParsedRow(record.line, {name: unescape(record.cells[name]) for name in RULES if name in record.cells})


def _from_json(record: Record) -> Entry:
    if unknown := record.cells.keys() - set(COLUMNS):
        return refused(record.line, f"no product has {', '.join(map(repr, sorted(unknown)))}")
    texts = {name: record.cells[name] for name in RULES if name in record.cells}
    for name, value in texts.items():
        if not (value is None or type(value) is str or (name == "price" and type(value) is Number)):
            return refused(record.line, f"{name} is not text")
    return ParsedRow(record.line, texts)
