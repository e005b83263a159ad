"""CSV cells survive a spreadsheet unchanged, and none is evaluated."""

import csv
import io

import pytest
from hypothesis import example, given, strategies as st

from vitrina.domain.text import csv_row, escape_cell, unescape_cell

TEXT = st.text(alphabet="'\"=+-@;|\t\r\n, ab", max_size=8)


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "'=1", "''-"])
def test_a_formula_gets_an_apostrophe(cell: str) -> None:
    """The characters are OWASP's; a cell that looks escaped gets one more, so that `unescape` is exact."""
    assert escape_cell(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "'", "'tis", "a=b", "5 - 3"])
def test_other_text_is_unchanged(cell: str) -> None:
    assert escape_cell(cell) == cell == unescape_cell(cell)


@given(TEXT)
@example("''=")
@example("\t'=")
def test_unescape_is_the_inverse_of_escape(cell: str) -> None:
    assert unescape_cell(escape_cell(cell)) == cell


@pytest.mark.parametrize("separator", [",", ";", "|", "\t"])
@given(cells=st.lists(TEXT, min_size=2, max_size=3))
@example(cells=["a", ";=1"])
@example(cells=["a", ';"=1'])
@example(cells=["a", "b\n-1"])
def test_no_cell_is_evaluated_whatever_rows_are_divided_by(separator: str, cells: list[str]) -> None:
    """Spreadsheets take the separator of the user's language, Excel a semicolon in most of Europe."""
    row = csv_row(cells)
    found = [cell for line in csv.reader(io.StringIO(row, newline=""), delimiter=separator) for cell in line]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in found)
    if separator == ",":
        assert [unescape_cell(cell) for cell in found] == cells
