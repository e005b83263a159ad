"""Import files in memory, and what parsing them yields."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from vitrina.services.imports.import_file import FileFormat, ImportFile
from vitrina.services.imports.parsing import parse_rows
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import ImportOptions, ParsedRow, Profile, Row, RowResult


def csv_file(*rows: dict[str, str]) -> bytes:
    """Return a CSV with the columns of all rows."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def case(name: str) -> bytes:
    """Return a file as a shop exported it."""
    return Path(__file__).with_name("cases").joinpath(f"{name}.csv").read_bytes()


def parsed_file(
    content: bytes | ImportFile,
    profile: Profile,
    file_format: FileFormat = FileFormat.CSV,
    *,
    columns: Mapping[str, str] | None = None,
    derive_skus: bool = False,
) -> list[Row]:
    """Parse a file of a profile."""
    file = content if isinstance(content, ImportFile) else import_file(content, file_format)
    options = ImportOptions(profile=profile, columns=dict(columns or {}), derive_skus=derive_skus)
    with ImportPlan() as plan:
        return list(parse_rows(file, options, plan))


def import_file(content: bytes, file_format: FileFormat = FileFormat.CSV) -> ImportFile:
    return ImportFile(io.BytesIO(content), file_format)


def products_in(
    rows: Sequence[dict[str, str]], profile: Profile, *, require_sku: bool = False, unpublished: bool = False
) -> list[dict[str, str | None]]:
    """Parse another shop's rows and return the texts of those that describe a product."""
    return [
        dict(row.texts)
        for row in parsed(rows, profile, require_sku=require_sku, unpublished=unpublished)
        if isinstance(row, ParsedRow)
    ]


def skipped_in(
    rows: Sequence[dict[str, str]], profile: Profile, *, require_sku: bool = False, unpublished: bool = False
) -> list[tuple[int, str, str]]:
    """Parse another shop's rows and return line, outcome and reason of those that yield no product."""
    all_rows = parsed(rows, profile, require_sku=require_sku, unpublished=unpublished)
    return [(row.line, row.outcome, row.reason) for row in all_rows if isinstance(row, RowResult)]


def parsed(
    rows: Sequence[dict[str, str]], profile: Profile, *, require_sku: bool = False, unpublished: bool = False
) -> list[Row]:
    """Parse another shop's rows."""
    options = ImportOptions(profile=profile, require_sku=require_sku, unpublished=unpublished)
    with ImportPlan() as plan:
        return list(parse_rows(import_file(csv_file(*rows)), options, plan))
