"""CSV and JSON Lines as records, in the variants that spreadsheets and shops write."""

import pytest

from tests.services.imports.files import import_file
from vitrina.services.imports.import_file import LONGEST_LINE, FileFormat, Number, UnreadableFile
from vitrina.services.imports.rows import Record, RowResult


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
    rows = read(b'sku,name\nA,1,2\nB\nC,\xe9\nD,"x"y\nE,fine\n')
    assert rows == [
        (2, "it has 3 cells, and the header 2"),
        (3, "it has 1 cells, and the header 2"),
        (4, "it is not UTF-8"),
        (5, "it is not CSV, down to line 5: ',' expected after '\"'"),
        (6, {"sku": "E", "name": "fine"}),
    ]


def test_an_open_quote_is_reported_with_the_last_line_that_it_spans() -> None:
    assert read(b'sku,name\nA,fine\nB,"open\nC,x\n')[1] == (3, "it is not CSV, down to line 4: unexpected end of data")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it has no header"),
        (b"\n\n", "it has no header"),
        (b'"sku', "it has no header"),
        (b"\xff\xfes\0k\0u\0", "it is UTF-16"),
    ],
)
def test_an_unreadable_csv_is_rejected_before_its_first_row(content: bytes, words: str) -> None:
    with pytest.raises(UnreadableFile, match=words):
        import_file(content)


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
        (b"{", "it is not JSON: Expecting property name"),
        (b"[1]", "it is not a JSON object"),
        (b'{"a": NaN}', "it is not JSON: NaN is not a number"),
        (b'{"a": 1, "a": 2}', "it is not JSON: a name occurs twice"),
        (b'{"a": "\xe9"}', "it is not UTF-8"),
        (b"[" * 100_000, "it is not JSON: "),
    ],
)
def test_a_bad_line_of_json_does_not_stop_the_others(line: bytes, words: str) -> None:
    (first, second) = import_file(line + b'\n{"sku": "A"}\n', FileFormat.JSONL).records()
    assert isinstance(first, RowResult)
    assert first.reason.startswith(words)
    assert second == Record(2, {"sku": "A"})


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
