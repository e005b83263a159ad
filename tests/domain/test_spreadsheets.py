"""CSV cells survive a spreadsheet unchanged, and none is evaluated."""

import pytest
from hypothesis import example, given, strategies as st

from vitrina.domain.text import escape_cell, unescape_cell


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "'=1", "''-"])
def test_a_formula_gets_an_apostrophe(cell: str) -> None:
    """The characters are OWASP's; a cell that looks escaped gets one more, so that `unescape` is exact."""
    assert escape_cell(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "'", "'tis", "a=b", "5 - 3"])
def test_other_text_is_unchanged(cell: str) -> None:
    assert escape_cell(cell) == cell == unescape_cell(cell)


@given(st.text(alphabet="'=+-@\t\r\n ab", max_size=6))
@example("''=")
def test_unescape_is_the_inverse_of_escape(cell: str) -> None:
    assert unescape_cell(escape_cell(cell)) == cell
