"""CSV and JSON Lines as records, in the variants that spreadsheets and shops write."""

import csv
import io
from typing import Literal

import pytest
from hypothesis import given, strategies as st

from tests.services.imports.files import import_file
from vitrina.services.imports.csv_rows import LONGEST_LINE
from vitrina.services.imports.import_file import FileFormat, Number
from vitrina.services.imports.rows import Record, RowResult, UnreadableFile


def read(content: bytes, file_format: FileFormat = FileFormat.CSV) -> list[tuple[int, object]]:
    """Return the line of each record with its cells, or with the reason why it is refused."""
    records = import_file(content, file_format).records()
    return [(record.line, record.cells if isinstance(record, Record) else record.reason) for record in records]


@pytest.mark.parametrize(
    "content",
    [
        b"SKU,Name\nA,Lamp\n",
        b"\xef\xbb\xbfsku,name\r\nA,Lamp\r\n",
        b'"sku"; "name"\nA;Lamp'.replace(b"; ", b";"),
        b"sku\tname\n\nA\tLamp\n\t\n",
        b"sku,name\rA,Lamp\r",
    ],
)
def test_a_csv_may_come_from_any_spreadsheet(content: bytes) -> None:
    """Byte order mark, any line break, semicolons or tabs, a header in capitals, blank rows."""
    ((_, cells),) = read(content)
    assert cells == {"sku": "A", "name": "Lamp"}


def test_line_breaks_within_cells_are_kept_and_counted() -> None:
    assert read(b'sku,name\nA,"one\r\ntwo\rthree\n""four"""\nB,x\n') == [
        (2, {"sku": "A", "name": 'one\r\ntwo\rthree\n"four"'}),
        (6, {"sku": "B", "name": "x"}),
    ]


def test_a_bad_row_does_not_stop_the_others() -> None:
    """Each reason names the cell, and what to do where that is not plain."""
    rows = read(b'sku,name,\nA,1,2\nA,1,,2\nB\nC,\xe9\n"D\n","x, ""y""\n"z\nE,fine,\n')
    assert rows == [
        (2, "it has 3 cells, '2' the last, and the header 2: is a cell that holds ',' not in quotes?"),
        (3, "it has 4 cells, '2' the last, and the header 2: is a cell that holds ',' not in quotes?"),
        (4, "it ends before 'name': it has 1 cells, and the header 2"),
        (5, "its cell 'name' is not UTF-8: save the file as UTF-8"),
        (6, "'name' goes on after its closing quote, on line 8: write a quote within a cell twice, as \"\""),
        (9, {"sku": "E", "name": "fine"}),
    ]


def test_an_open_quote_is_reported_with_its_cell_and_the_last_line_that_it_spans() -> None:
    reason = "the quote that opens 'name' is not closed before line 4, the last one"
    assert read(b'sku,name\nA,fine\nB,"open\nC,x\n')[1] == (3, reason)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf\xef\xbb\xbfsku,name\nA,Lamp\n",
        b"\r\n \r\nsku,name\r\nA,Lamp\r\n",
        b"sep=;\r\nsku;name\r\nA;Lamp\r\n",
        b'\xef\xbb\xbf"SEP=^"\nsku^name\nA^Lamp',
        b"sep=\t\nsku\tname\nA\tLamp\n",
        b'sep=;;;\r\n"";"";\r\n"sku";"name";\r\n"A";"Lamp";\r\n',
        b"sku|name\nA|Lamp\n",
        b'sku, name\nA, "Lamp"\n',
        b"sku,name,,\r\nA,Lamp,,\r\n, ,,\r\n",
        b"sku,name\nA,Lamp,, ,\n",
    ],
)
def test_what_spreadsheets_add_to_a_csv_is_ignored(content: bytes) -> None:
    """Byte order marks, blank lines and Excel's `sep=` before the header, and empty cells at the end of rows."""
    ((_, cells),) = read(content)
    assert cells == {"sku": "A", "name": "Lamp"}


def test_the_delimiter_is_the_one_that_divides_the_header() -> None:
    """A header cell may hold other delimiters and a line break in quotes."""
    ((line, cells),) = read(b'"sku";"name, brand,\ncode"\nA;Lamp\n')
    assert (line, cells) == (3, {"sku": "A", "name, brand,\ncode": "Lamp"})


def test_empty_cells_at_the_end_of_a_row_may_be_left_out() -> None:
    """A row that lacks a column that products need was probably cut off."""
    assert read(b"sku,name,brand,price,description\nA,Lamp,Acme,5\nB,Lamp,Ac\n") == [
        (2, {"sku": "A", "name": "Lamp", "brand": "Acme", "price": "5"}),
        (3, "it ends before 'price': it has 3 cells, and the header 5"),
    ]


def test_a_cell_in_a_column_without_a_name_is_refused() -> None:
    """Such a column may be empty; a text in it shows that the cells of the row are in the wrong columns."""
    assert read(b"sku,,name\nA,,Lamp\nB,Lamp,\n") == [
        (2, {"sku": "A", "": "", "name": "Lamp"}),
        (3, "its cell 2, 'Lamp', is in a column without a name: delete the column"),
    ]


def test_a_backslash_before_a_quote_is_one_quote_where_csv_has_no_other_reading() -> None:
    """PHP's `fputcsv` does not double a quote after a backslash; a cell that ends with a backslash is still one."""
    rows = b'sku,name\nA,"24\\" by\n20\\", or so"\nB,"C:\\"\nC,"a \\", b"\nD,"\\"bad\nE,fine\n'
    assert read(rows) == [
        (2, {"sku": "A", "name": '24" by\n20", or so'}),
        (4, {"sku": "B", "name": "C:\\"}),
        (5, {"sku": "C", "name": 'a ", b'}),
        (6, "'name' goes on after its closing quote, on line 6: write a quote within a cell twice, as \"\""),
        (7, {"sku": "E", "name": "fine"}),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it has no header"),
        (b"\n\n", "it has no header"),
        (b"\xc2\xa0;\n", "its header is not CSV"),
        (b'"sku', "its header is not CSV: is a quote not closed"),
        (b'"sku\n' * 300_000, "its header is not CSV: is a quote not closed"),
        (b'"sku\n' + b"A\n" * 100_000, "its header is not CSV: is a quote not closed"),
        (b"sku,pr\xe9cio\n", "its header is not UTF-8: save the file as UTF-8"),
        (b"PK\3\4sheet", "it is a workbook or an archive: save the sheet as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1", "it is a workbook: save the sheet as CSV"),
        (b"\x1f\x8b\b", "it is compressed: unpack it first"),
        (b"s\0k\0u\0\r\0\n\0", r"its first line holds the character U\+0000: if it is UTF-16, save it as UTF-8"),
        (b"a" * 17_000_000, "it has a line of more than 16,777,216 characters: is it CSV"),
        (b"\xff\xfes\0k\0u\0", "it is UTF-16"),
    ],
)
def test_an_unreadable_csv_is_rejected_before_its_first_row(content: bytes, words: str) -> None:
    with pytest.raises(UnreadableFile, match=words):
        import_file(content)


@given(
    rows=st.lists(st.tuples(*[st.text(alphabet='a",;|\t\\\r\n\v\f\x85\u2028\ufeff ', max_size=6)] * 3), max_size=4),
    before=st.sampled_from(["", "\ufeff", "\ufeff\ufeff", "\r\n\n"]),
    delimiter=st.sampled_from(",;\t|"),
    style=st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\n", csv.QUOTE_ALL), ("\r", csv.QUOTE_ALL)]),
    names_delimiter=st.booleans(),
)
def test_what_a_program_writes_as_csv_is_read_exactly(
    rows: list[tuple[str, str, str]],
    before: str,
    delimiter: str,
    style: tuple[str, Literal[0, 1]],
    *,
    names_delimiter: bool,
) -> None:
    """In every dialect that spreadsheets use, whatever the cells hold, but for spaces at the beginning of a cell."""
    line_end, quoting = style
    columns = ("sku", "name", "brand")
    text = io.StringIO(newline="")
    text.write(before + (f"sep={delimiter}{line_end}" if names_delimiter else ""))
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    writer.writerows([columns, *rows])
    found = [cells for _, cells in read(text.getvalue().encode())]
    assert [[cell.lstrip(" ") for cell in cells.values()] for cells in found if isinstance(cells, dict)] == [
        [cell.lstrip(" ") for cell in row] for row in rows if any(map(str.strip, row))
    ]


def test_a_file_can_be_read_more_than_once() -> None:
    """WooCommerce's parents may come after their variations."""
    file = import_file(b"sku\nA\nB\n")
    assert [*file.records()] == [*file.records()] == [Record(2, {"sku": "A"}), Record(3, {"sku": "B"})]
    assert file.position == file.size == 8


def test_json_lines_keep_the_digits_of_numbers() -> None:
    """A byte order mark and blank lines are ignored."""
    ((_, cells), (line, other)) = read(b'\xef\xbb\xbf{"price": 19.90}\n\n{"price": 1}\r\n', FileFormat.JSONL)
    assert (cells, line, other) == ({"price": "19.90"}, 3, {"price": "1"})
    assert isinstance(cells, dict)
    assert type(cells["price"]) is Number


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "it is not JSON, one object a line: Expecting property name"),
        (b"[1]", "it is not a JSON object"),
        (b'{"a": NaN}', "it is not JSON, one object a line: NaN is not a number"),
        (b'{"a": 1, "a": 2}', "it is not JSON, one object a line: a name occurs twice"),
        (b'{"a": "\xe9"}', "it is not UTF-8"),
        (b"[" * 100_000, "it is not JSON, one object a line: "),
    ],
)
def test_a_bad_line_of_json_does_not_stop_the_others(line: bytes, words: str) -> None:
    (_, bad, last) = import_file(b"{}\n" + line + b'\n{"sku": "A"}\n', FileFormat.JSONL).records()
    assert isinstance(bad, RowResult)
    assert bad.reason.startswith(words)
    assert last == Record(3, {"sku": "A"})


@pytest.mark.parametrize("size", [0, 70_000])
def test_an_array_of_objects_is_read_like_json_lines(size: int) -> None:
    """Each object may span lines, and parts of the file that are read at a time."""
    text = "x" * size
    content = '\ufeff \n[{"sku": "A",\n "price": 1.50, "x": "' + text + '"},\n 7,\n\n{"sku": "B", "x": [{}, "]"]} ] \n'
    assert read(content.encode(), FileFormat.JSONL) == [
        (2, {"sku": "A", "price": "1.50", "x": text}),
        (4, "it is not a JSON object"),
        (6, {"sku": "B", "x": [{}, "]"]}),
    ]
    assert read(b"[ ]\n", FileFormat.JSONL) == []


def test_the_objects_of_an_array_on_one_line_are_counted() -> None:
    """The line identifies a row in the plan and in the ids of requests."""
    assert [line for line, _ in read(b"[{}, {}, {},\n{},\n\n\n{}]", FileFormat.JSONL)] == [1, 2, 3, 4, 5]
    assert [line for line, _ in read(b"[\n{},\n{}]", FileFormat.JSONL)] == [2, 3]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[{},\n{"a": 1\n"b": 2}]', "its JSON array cannot be read from line 3 on: Expecting ',' delimiter"),
        (b"[{}\n{}]", "its JSON array cannot be read from line 1 on: a comma or a bracket is missing"),
        (b"[{},\n]", "its JSON array cannot be read from line 2 on: Expecting value"),
        (b"[{}", "its JSON array cannot be read from line 1 on: a comma or a bracket is missing"),
        (b"[{}]\n{}", "something follows its JSON array"),
        (b'[{"a": "\xe9"}]', "it is not UTF-8"),
        (b"[" * 100_000, "its JSON array cannot be read from line 1 on: maximum recursion depth"),
        (b'{\n "sku": "A"\n}', "its JSON object goes over several lines: write one a line, or an array"),
        (b'[{"a": "' + b"x" * 3_000_000, "its JSON array cannot be read from line 1 on: Unterminated string"),
    ],
)
def test_a_bad_array_is_not_imported_at_all(content: bytes, words: str) -> None:
    with pytest.raises(UnreadableFile, match=words):
        read(content, FileFormat.JSONL)


def test_a_json_line_has_a_longest_length() -> None:
    """It bounds the memory."""
    with pytest.raises(UnreadableFile, match="its line 2 has more than 1,048,576 bytes: is it JSON Lines"):
        read(b"{}\n[" + b" " * LONGEST_LINE, FileFormat.JSONL)


def test_a_cell_that_is_too_long_stops_the_import() -> None:
    """The rest of such a cell would be read as rows; a cell that holds a picture still fits."""
    for size, fits in ((200_000, True), (9_000_000, False)):
        content = b'sku,name\na,"' + b"A" * size + b'\nxx,evil\n more"\nb,ok\n'
        records = import_file(content, FileFormat.CSV).records()
        if fits:
            assert [record.line for record in records] == [2, 5]
        else:
            with pytest.raises(UnreadableFile, match="a cell of line 2 is too long: is its quote closed"):
                list(records)
