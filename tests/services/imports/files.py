"""Files to import, made in memory."""

import csv
import io
from collections.abc import Sequence

from vitrina.services.imports.entries import ParsedRow, SkippedRow
from vitrina.services.imports.import_file import FileFormat, ImportFile
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.profiles import ImportOptions, Profile, entries


def csv_file(*rows: dict[str, str]) -> bytes:
    """Return a CSV whose columns are all that any row has."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def source(content: bytes, file_format: FileFormat = FileFormat.CSV) -> ImportFile:
    """Return a file with this content."""
    return ImportFile(io.BytesIO(content), file_format)


def found(
    rows: Sequence[dict[str, str]], profile: Profile, *, require_sku: bool = False, unpublished: bool = False
) -> list[dict[str, str | None]]:
    """Read rows of another shop and return the products; anything else is an assertion's failure."""
    return [
        dict(entry.texts)
        for entry in read(rows, profile, require_sku=require_sku, unpublished=unpublished)
        if isinstance(entry, ParsedRow)
    ]


def left_out(
    rows: Sequence[dict[str, str]], profile: Profile, *, require_sku: bool = False, unpublished: bool = False
) -> list[tuple[int, str, str]]:
    """Read rows of another shop and return line, outcome and reason of what is no product."""
    read_entries = read(rows, profile, require_sku=require_sku, unpublished=unpublished)
    return [(entry.line, entry.outcome, entry.reason) for entry in read_entries if isinstance(entry, SkippedRow)]


def read(
    rows: Sequence[dict[str, str]], profile: Profile, *, require_sku: bool = False, unpublished: bool = False
) -> list[ParsedRow | SkippedRow]:
    """Read rows of another shop."""
    reading = ImportOptions(profile=profile, require_sku=require_sku, unpublished=unpublished)
    with ImportPlan() as book:
        return list(entries(source(csv_file(*rows)), reading, book))
