"""Files as records: CSV and JSON Lines in all the forms in which people have them."""

import pytest

from tests.services.imports.files import source
from vitrina.services.imports.entries import Record, SkippedRow
from vitrina.services.imports.import_file import LONGEST_LINE, FileFormat, Number, UnreadableFile


def read(content: bytes, file_format: FileFormat = FileFormat.CSV) -> list[tuple[int, object]]:
    """Return each record's line with its cells, or with why it is refused."""
    records = source(content, file_format).records()
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
    """With a byte order mark, any line break, semicolons or tabs, a header in capitals, blank rows."""
    ((_, cells),) = read(content)
    assert cells == {"sku": "A", "name": "Lamp"}


def test_line_breaks_within_cells_are_kept_and_counted() -> None:
    """A record's line is where it begins in the file."""
    assert read(b'sku,name\nA,"one\r\ntwo\rthree\n""four"""\nB,x\n') == [
        (2, {"sku": "A", "name": 'one\r\ntwo\rthree\n"four"'}),
        (6, {"sku": "B", "name": "x"}),
    ]


def test_a_bad_row_stops_no_other() -> None:
    """Too many cells, too few, bytes that are no UTF-8, quotes that are none."""
    rows = read(b'sku,name\nA,1,2\nB\nC,\xe9\nD,"x"y\nE,fine\n')
    assert rows == [
        (2, "it has 3 cells, and the header 2"),
        (3, "it has 1 cells, and the header 2"),
        (4, "it is not UTF-8"),
        (5, "it is not CSV, down to line 5: ',' expected after '\"'"),
        (6, {"sku": "E", "name": "fine"}),
    ]


def test_a_quote_that_is_left_open_is_told_with_the_lines_that_it_swallows() -> None:
    """Up to the end of the file here."""
    assert read(b'sku,name\nA,fine\nB,"open\nC,x\n')[1] == (3, "it is not CSV, down to line 4: unexpected end of data")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it has no header"),
        (b"\n\n", "it has no header"),
        (b'"sku', "it has no header"),
        (b"\xff\xfes\0k\0u\0", "it is UTF-16"),
        (b"sku,SKU \nA,B\n", "it has the column 'sku' twice"),
    ],
)
def test_a_csv_that_can_not_be_read_at_all_says_why(content: bytes, words: str) -> None:
    """Before any row."""
    with pytest.raises(UnreadableFile, match=words):
        source(content)


def test_a_file_is_read_as_often_as_one_likes() -> None:
    """WooCommerce's parents may come after their variations."""
    file = source(b"sku\nA\nB\n")
    assert [*file.records()] == [*file.records()] == [Record(2, {"sku": "A"}), Record(3, {"sku": "B"})]
    assert file.position == file.size == 8


def test_json_lines_keep_the_digits_of_numbers() -> None:
    """A byte order mark and blank lines are no harm."""
    ((_, cells), (line, other)) = read(b'\xef\xbb\xbf{"price": 19.90}\n\n{"price": 1}\r\n', FileFormat.JSONL)
    assert (cells, line, other) == ({"price": "19.90"}, 3, {"price": "1"})
    assert isinstance(cells, dict)
    assert type(cells["price"]) is Number


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "it is not JSON: Expecting property name"),
        (b"[1]", "it is not a JSON object"),
        (b'{"a": NaN}', "it is not JSON: NaN is no number"),
        (b'{"a": 1, "a": 2}', "it is not JSON: a name is there twice"),
        (b'{"a": "\xe9"}', "it is not UTF-8"),
        (b"[" * 100_000, "it is not JSON: "),
    ],
)
def test_a_bad_line_of_json_stops_no_other(line: bytes, words: str) -> None:
    """Each is refused for what it is."""
    (first, second) = source(line + b'\n{"sku": "A"}\n', FileFormat.JSONL).records()
    assert isinstance(first, SkippedRow)
    assert first.reason.startswith(words)
    assert second == Record(2, {"sku": "A"})


def test_a_line_without_an_end_is_no_json_lines() -> None:
    """Memory is bounded by the longest line that is read."""
    with pytest.raises(UnreadableFile, match="its line 2 has more than 1,048,576 bytes: is it JSON Lines"):
        read(b"{}\n[" + b" " * LONGEST_LINE, FileFormat.JSONL)


def test_a_cell_may_hold_a_picture_and_no_more() -> None:
    """What follows a cell that is too long would be read from the midst of it, as rows of their own."""
    for size, fits in ((200_000, True), (9_000_000, False)):
        content = b'sku,name\na,"' + b"A" * size + b'\nxx,evil\n more"\nb,ok\n'
        records = source(content, FileFormat.CSV).records()
        if fits:
            assert [record.line for record in records] == [2, 5]
        else:
            with pytest.raises(UnreadableFile, match="a cell of line 2 is too long: is its quote closed"):
                list(records)
