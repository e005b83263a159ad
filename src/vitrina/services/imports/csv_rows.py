"""Reads the rows of a CSV (RFC 4180) as spreadsheets and shops write it, with one row in memory."""

import csv
import io
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import chain, islice
from typing import BinaryIO, Final

from vitrina.services.imports.rows import UnreadableFile

LONGEST_LINE: Final = 1024 * 1024
"""Characters of a header, and bytes of a JSON object."""
_LONGEST_CELL: Final = 8 * 1024 * 1024
"""Characters of a cell: shops embed pictures in descriptions. A longer cell means that a quote is never closed."""
_REPAIRED_LINES: Final = 1_000
"""Lines of a row in which a backslash before a quote is taken for a second quote."""
_DELIMITERS: Final = ",;\t|"
_SEPARATOR_LINE: Final = re.compile(rf'"?sep=([^\w\s"]|\t)"?[{_DELIMITERS}\r\n]*', re.IGNORECASE)
"""Tells Excel the delimiter of the file."""


class CsvRows:
    """The rows of a seekable file, which can be read any number of times, one after the other.

    The delimiter is the one that divides the header into most cells, unless a line `sep=;` names it. Blank lines and
    byte order marks before the header are ignored, and so are spaces before cells. The constructor raises
    UnreadableFile.
    """

    def __init__(self, file: BinaryIO) -> None:
        csv.field_size_limit(_LONGEST_CELL)
        self._file = file
        self._header_line = 1
        self.delimiter = ""
        with closing(self._read_lines()) as lines:
            for line in lines:
                if match := _SEPARATOR_LINE.fullmatch(line):
                    self.delimiter = match[1]
                elif line.strip(f'{_DELIMITERS}" \r\n'):
                    self.header = self._read_header(line, lines)
                    return
                self._header_line += 1
        raise UnreadableFile("it has no header")

    def __iter__(self) -> Iterator[tuple[int, Sequence[str] | str]]:
        """Yield the line on which each row begins, with its cells or with what is wrong with it.

        Empty cells beyond those of the header are left out. Raises UnreadableFile.
        """
        with closing(self._read_lines()) as text:
            lines = _Lines(text)
            for _ in range(self._header_line - 1):
                next(lines, None)
            reader = _reader(lines, self.delimiter)
            next(reader, None)  # A file that was cut since has no header.
            while True:
                line = lines.number + 1
                lines.taken.clear()
                row: Sequence[str] | str
                try:
                    row = self._fitted(next(reader))
                except StopIteration:
                    return
                except csv.Error as error:
                    if "field limit" in str(error):  # The reader would go on in the middle of the cell.
                        raise UnreadableFile(f"a cell of line {line} is too long: is its quote closed?") from error
                    row = self._fault(lines)
                complete = not isinstance(row, str) and len(row) == len(self.header)
                if not complete and any('\\"' in each for each in lines.taken):
                    row = self._repaired(lines) or row
                yield line, row

    def _read_lines(self) -> Generator[str, None, None]:
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, encoding="utf-8", errors="surrogateescape", newline="")
        try:
            line = text.readline(2 * _LONGEST_CELL).lstrip("\ufeff")
            while line:
                if len(line) == 2 * _LONGEST_CELL:
                    raise UnreadableFile(f"it has a line of more than {2 * _LONGEST_CELL:,} characters: is it CSV?")
                yield line
                line = text.readline(2 * _LONGEST_CELL)
        finally:
            text.detach()

    def _read_header(self, line: str, following: Iterator[str]) -> Sequence[str]:
        lines, size, quotes = [line], len(line), line.count('"')
        while size <= LONGEST_LINE and quotes % 2:
            lines.append(next(following, ""))
            quotes += lines[-1].count('"')
            size = size + len(lines[-1]) if lines[-1] else LONGEST_LINE + 1
        header: list[str] = []
        for delimiter in self.delimiter or _DELIMITERS:
            with suppress(csv.Error):
                cells = next(_reader(lines, delimiter))
                if len(cells) > len(header):
                    header, self.delimiter = cells, delimiter
        if not any(map(str.strip, header)) or size > LONGEST_LINE:
            raise UnreadableFile("its header is not CSV: is a quote not closed?")
        return header[: max(index for index, name in enumerate(header, 1) if name.strip())]

    def _fitted(self, cells: list[str]) -> list[str]:
        while len(cells) > len(self.header) and not cells[-1].strip():
            cells.pop()
        return cells

    def _repaired(self, lines: "_Lines") -> Sequence[str] | None:
        r"""Read a row in which `\"` is a quote, as PHP writes it; None if the cells are not the header's."""
        first = list(lines.taken)
        following = islice(lines, _REPAIRED_LINES)
        try:
            doubled = (each.replace('\\"', '""') for each in chain(first, following))
            cells = self._fitted(next(_reader(doubled, self.delimiter)))
        except csv.Error:
            cells = []
        if len(cells) == len(self.header):
            return cells
        lines.give_back(len(lines.taken) - len(first))
        return None

    def _fault(self, lines: "_Lines") -> str:
        """Return which cell is not valid CSV: its quote is not closed, or text follows the closing quote."""
        text, delimiter = "".join(lines.taken), re.escape(self.delimiter)
        quoted = r'"(?:[^"]++|"")*+'
        cell = re.compile(rf' *+(?:{quoted}"|(?!")[^{delimiter}\r\n]*+)(?={delimiter}|[\r\n]|\Z)')
        index, start = 0, 0
        while start < len(text) and (match := cell.match(text, start)):
            index, start = index + 1, match.end() + 1
        name = repr(self.header[index].strip()) if index < len(self.header) else f"cell {index + 1}"
        if re.compile(rf" *+{quoted}\Z").match(text, start):
            return f"the quote that opens {name} is not closed before line {lines.number}, the last one"
        return (
            f'{name} goes on after its closing quote, on line {lines.number}: write a quote within a cell twice, as ""'
        )


class _Lines:
    """Lines that can be given back; `taken` are those since it was cleared, `number` is the last one's, from 1."""

    def __init__(self, text: Iterator[str]) -> None:
        self._text = text
        self._given_back: deque[str] = deque()
        self.taken: list[str] = []
        self.number = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._given_back.popleft() if self._given_back else next(self._text)
        self.taken.append(line)
        self.number += 1
        return line

    def give_back(self, count: int) -> None:
        """Make the last `count` lines the next ones again."""
        for _ in range(count):
            self._given_back.appendleft(self.taken.pop())
        self.number -= count


def _reader(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
