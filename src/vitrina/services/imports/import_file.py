"""Reads CSV (RFC 4180) and JSON Lines, one record at a time, so that memory does not grow with the file."""

import codecs
import csv
import io
import json
from collections.abc import Generator, Iterator, Sequence
from enum import StrEnum
from typing import Any, BinaryIO, Final

from vitrina.services.imports.rows import Record, RowResult, refused

LONGEST_LINE: Final = 1024 * 1024
"""Bytes of a line of JSON Lines, and of a CSV header."""
_LONGEST_CELL: Final = 8 * 1024 * 1024
"""Characters of a cell: shops embed pictures in descriptions. A longer cell means that a quote is never closed."""
_DELIMITERS: Final = ",;\t"
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class FileFormat(StrEnum):
    """The format of a file of products."""

    CSV = "csv"
    JSONL = "jsonl"


class UnreadableFile(Exception):
    """The file as a whole cannot be read; the message says why."""


class Number(str):
    """The text of a JSON number, so that a price becomes a decimal without ever being a float."""

    __slots__ = ()


class ImportFile:
    """A seekable file of products, which can be read any number of times, one after the other.

    The constructor reads the header of a CSV and raises UnreadableFile.
    """

    def __init__(self, file: BinaryIO, file_format: FileFormat) -> None:
        self._file = file
        self.format = file_format
        self.size = file.seek(0, io.SEEK_END)
        self.columns: Sequence[str] = ()
        """The columns of a CSV, as in `header` or by the names of a profile (`Layout.apply`); empty for JSON."""
        self.header: Sequence[str] = ()
        """The columns of a CSV in lower case."""
        self.unread: Sequence[str] = ()
        """The columns that the profile does not read."""
        self._delimiter = ","
        if file_format is FileFormat.CSV:
            self._read_header()

    @property
    def position(self) -> int:
        """About how many bytes have been read."""
        return self._file.tell()

    def records(self) -> Iterator[Record | RowResult]:
        """Yield all records; one that cannot be read is refused and does not stop the others. Raises UnreadableFile."""
        return self._csv_records() if self.format is FileFormat.CSV else self._json_records()

    def _read_header(self) -> None:
        self._file.seek(0)
        start = self._file.readline(LONGEST_LINE)
        if start.startswith(_UTF16):
            raise UnreadableFile("it is UTF-16: save it as UTF-8")
        line = start.decode("utf-8-sig", errors="surrogateescape")
        # Spreadsheets write semicolons in countries that have commas in numbers.
        self._delimiter = max(_DELIMITERS, key=line.count)
        rows = self._rows()
        _, header = next(rows, (1, []))
        rows.close()
        if isinstance(header, str) or not any(header):
            raise UnreadableFile("it has no header")
        self.columns = self.header = [name.strip().casefold() for name in header]

    def _csv_records(self) -> Iterator[Record | RowResult]:
        rows = self._rows()
        next(rows)
        for line, cells in rows:
            if isinstance(cells, str):
                yield refused(line, cells)
            elif not any(cells):
                continue
            elif len(cells) != len(self.columns):
                yield refused(line, f"it has {len(cells)} cells, and the header {len(self.columns)}")
            elif not _is_unicode(cells):
                yield refused(line, "it is not UTF-8")
            else:
                yield Record(line, dict(zip(self.columns, cells, strict=True)))

    def _rows(self) -> Generator[tuple[int, list[str] | str], None, None]:
        """Yield the line on which each row begins, with its cells or with what is wrong with it."""
        self._file.seek(0)
        csv.field_size_limit(_LONGEST_CELL)
        text = io.TextIOWrapper(self._file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        try:
            reader = csv.reader(text, delimiter=self._delimiter, strict=True)
            while True:
                line = reader.line_num + 1
                try:
                    yield line, next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    if "field limit" in str(error):  # The reader would go on in the middle of the cell.
                        raise UnreadableFile(f"a cell of line {line} is too long: is its quote closed?") from error
                    yield line, f"it is not CSV, down to line {reader.line_num}: {error}"
        finally:
            text.detach()

    def _json_records(self) -> Iterator[Record | RowResult]:
        self._file.seek(0)
        line = 0
        while raw := self._file.readline(LONGEST_LINE + 1):
            line += 1
            if len(raw) > LONGEST_LINE:
                raise UnreadableFile(f"its line {line} has more than {LONGEST_LINE:,} bytes: is it JSON Lines?")
            if line == 1:
                raw = raw.removeprefix(codecs.BOM_UTF8)
            if raw.strip():
                yield _json_record(line, raw.strip())


def _json_record(line: int, raw: bytes) -> Record | RowResult:
    try:
        value = json.loads(
            raw.decode(), parse_float=Number, parse_int=Number, parse_constant=_no_constant, object_pairs_hook=_unique
        )
    except UnicodeDecodeError:
        return refused(line, "it is not UTF-8")
    except (ValueError, RecursionError) as error:
        return refused(line, f"it is not JSON: {error}")
    if not isinstance(value, dict):
        return refused(line, "it is not a JSON object")
    return Record(line, value)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name occurs twice")
    return value


def _is_unicode(cells: list[str]) -> bool:
    """Whether all cells were UTF-8: other bytes were decoded to lone surrogates (PEP 383)."""
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True
