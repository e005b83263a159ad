"""Reads CSV and JSON, one record at a time, so that memory does not grow with the file."""

import codecs
import io
import json
import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, BinaryIO, Final, TextIO

from vitrina.services.imports.csv_rows import LONGEST_LINE, CsvRows
from vitrina.services.imports.rows import Record, RowResult, UnreadableFile, refused

_CHUNK: Final = 64 * 1024
_NOT_TEXT: Final = {
    codecs.BOM_UTF16_LE: "it is UTF-16: save it as UTF-8",
    codecs.BOM_UTF16_BE: "it is UTF-16: save it as UTF-8",
    b"PK\3\4": "it is a workbook or an archive: save the sheet as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "it is a workbook: save the sheet as CSV in UTF-8",
    b"\x1f\x8b": "it is compressed: unpack it first",
}
"""What files begin with that no profile reads."""
_REQUIRED: Final = frozenset(
    ("sku", "name", "brand", "price", "handle", "title", "variant price", "type", "regular price")
)
"""The columns, of all profiles, that a row must reach; without one of them it was probably cut off."""
_SHOWN_COLUMNS: Final = 10
_BEFORE_ELEMENTS: Final = re.compile(r"\s*\[\s*(?P<end>\])?")
_AFTER_ELEMENT: Final = re.compile(r"\s*(?:,\s*|(?P<end>\]))")


class FileFormat(StrEnum):
    """The format of a file of products."""

    CSV = "csv"
    JSONL = "jsonl"


EXTENSIONS: Final = {".csv": FileFormat.CSV} | dict.fromkeys((".jsonl", ".ndjson", ".json"), FileFormat.JSONL)
"""The extensions by which commands tell the format of a file."""


class Number(str):
    """The text of a JSON number, so that a price becomes a decimal without ever being a float."""

    __slots__ = ()


class ImportFile:
    """A seekable file of products, which can be read any number of times, one after the other.

    JSON is one object a line, or one array of objects. The constructor reads the header of a CSV and raises
    UnreadableFile.
    """

    def __init__(self, file: BinaryIO, file_format: FileFormat) -> None:
        self._file = file
        self.format = file_format
        self.size = file.seek(0, io.SEEK_END)
        file.seek(0)
        start = file.read(_CHUNK)
        for magic, reason in _NOT_TEXT.items():
            if start.startswith(magic):
                raise UnreadableFile(reason)
        if b"\0" in start.partition(b"\n")[0]:
            raise UnreadableFile("its first line holds the character U+0000: if it is UTF-16, save it as UTF-8")
        self._is_array = start.lstrip(codecs.BOM_UTF8 + b" \t\r\n").startswith(b"[")
        self._rows = CsvRows(file) if file_format is FileFormat.CSV else None
        self.header: Sequence[str] = [name.strip().casefold() for name in self._rows.header] if self._rows else ()
        """The columns of a CSV in lower case; empty for JSON."""
        if not _is_unicode("".join(self.header)):
            raise UnreadableFile("its header is not UTF-8: save the file as UTF-8")
        self.columns = self.header
        """The columns as in `header`, or by the names of a profile (`Layout.apply`)."""
        self.unread: Sequence[str] = ()
        """The columns that the profile does not read."""
        self._unnamed = [index for index, name in enumerate(self.columns) if not name]

    @property
    def delimiter(self) -> str | None:
        """The delimiter of a CSV, None for JSON."""
        return self._rows.delimiter if self._rows else None

    @property
    def position(self) -> int:
        """About how many bytes have been read."""
        return self._file.tell()

    def missing_column(self, name: str) -> str:
        """Return what to say if a CSV has no column of a name: perhaps its header is another line."""
        shown = ", ".join(repr(column[:40]) for column in self.header[:_SHOWN_COLUMNS])
        more = ", …" if len(self.header) > _SHOWN_COLUMNS else ""
        header = f"Its header, divided by {self.delimiter!r}, is {shown}{more}"
        return f"it has no column {name!r}; --map names another. {header}"

    def records(self) -> Iterator[Record | RowResult]:
        """Yield all records; one that cannot be read is refused and does not stop the others. Raises UnreadableFile."""
        if self._rows:
            return self._csv_records(self._rows)
        return self._array_records() if self._is_array else self._json_records()

    def _csv_records(self, rows: CsvRows) -> Iterator[Record | RowResult]:
        for line, cells in rows:
            if isinstance(cells, str):
                yield refused(line, cells)
            elif any(map(str.strip, cells)):
                fault = self._fault(cells)
                yield refused(line, fault) if fault else Record(line, dict(zip(self.columns, cells, strict=False)))

    def _fault(self, cells: Sequence[str]) -> str:
        """Return what is wrong with a row, empty if nothing is. A row may leave out optional cells at its end."""
        if len(cells) > len(self.columns):
            return (
                f"it has {len(cells)} cells, {cells[-1][:40]!r} the last, and the header {len(self.columns)}: "
                f"is a cell that holds {self.delimiter!r} not in quotes?"
            )
        if missing := [name for name in self.columns[len(cells) :] if name in _REQUIRED]:
            return f"it ends before {missing[0]!r}: it has {len(cells)} cells, and the header {len(self.columns)}"
        for index in self._unnamed:
            if cells[index : index + 1] and cells[index].strip():
                return f"its cell {index + 1}, {cells[index][:40]!r}, is in a column without a name: delete the column"
        if not _is_unicode("".join(cells)):
            name = next(name for name, cell in zip(self.columns, cells, strict=False) if not _is_unicode(cell))
            return f"its cell {name!r} is not UTF-8: save the file as UTF-8"
        return ""

    def _json_records(self) -> Iterator[Record | RowResult]:
        self._file.seek(0)
        line = 0
        while raw := self._file.readline(LONGEST_LINE + 1):
            line += 1
            if len(raw) > LONGEST_LINE:
                raise UnreadableFile(f"its line {line} has more than {LONGEST_LINE:,} bytes: is it JSON Lines?")
            while line == 1 and raw.startswith(codecs.BOM_UTF8):
                raw = raw.removeprefix(codecs.BOM_UTF8)
            if raw := raw.strip():
                if line == 1 and raw.endswith((b"{", b"[")):
                    raise UnreadableFile("its JSON object goes over several lines: write one a line, or an array")
                yield _json_record(line, raw)

    def _array_records(self) -> Iterator[Record | RowResult]:
        """Yield the objects of one array. What is not JSON ends the reading, because no line begins anew.

        An object that begins on the line of the one before it has the number of the next line: lines identify rows.
        """
        self._file.seek(0)
        number = 0
        text = io.TextIOWrapper(self._file, encoding="utf-8", newline="")
        try:
            for line, value in _elements(text):
                number = max(line, number + 1)
                yield Record(number, value) if isinstance(value, dict) else refused(number, "it is not a JSON object")
        except UnicodeDecodeError as error:
            raise UnreadableFile("it is not UTF-8") from error
        finally:
            text.detach()


def _elements(text: TextIO) -> Iterator[tuple[int, Any]]:
    """Yield the elements of an array, each with the line on which it begins. Raises UnreadableFile."""
    buffer, at, line = text.read(_CHUNK).lstrip("\ufeff"), 0, 1
    before = _BEFORE_ELEMENTS
    while True:
        try:
            gap = before.match(buffer, at)
            if gap is None:
                raise ValueError("a comma or a bracket is missing")  # noqa: TRY301 - perhaps the next chunk has it
            if gap["end"]:
                break
            value, end = _DECODER.raw_decode(buffer, gap.end())
        except (ValueError, RecursionError) as error:
            size = len(buffer) - at
            if size <= LONGEST_LINE and (more := text.read(max(_CHUNK, size))):
                buffer, at = buffer[at:] + more, 0
                continue
            line += buffer.count("\n", at, getattr(error, "pos", at))
            raise UnreadableFile(
                f"its JSON array cannot be read from line {line} on: {getattr(error, 'msg', error)}"
            ) from error
        yield line + gap[0].count("\n"), value
        line += buffer.count("\n", at, end)
        at, before = end, _AFTER_ELEMENT
    if (buffer[gap.end() :] + text.read(_CHUNK)).strip():
        raise UnreadableFile("something follows its JSON array: write one array, or one object a line")


def _json_record(line: int, raw: bytes) -> Record | RowResult:
    try:
        value = _DECODER.decode(raw.decode())
    except UnicodeDecodeError:
        return refused(line, "it is not UTF-8")
    except (ValueError, RecursionError) as error:
        return refused(line, f"it is not JSON, one object a line: {error}")
    return Record(line, value) if isinstance(value, dict) else refused(line, "it is not a JSON object")


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name occurs twice")
    return value


_DECODER: Final = json.JSONDecoder(
    parse_float=Number, parse_int=Number, parse_constant=_no_constant, object_pairs_hook=_unique
)


def _is_unicode(text: str) -> bool:
    """Whether a text was UTF-8: other bytes were decoded to lone surrogates (PEP 383)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
