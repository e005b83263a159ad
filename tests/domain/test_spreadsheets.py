"""Cells of CSV files come back from a spreadsheet as they were, and run nothing in it."""

import pytest
from hypothesis import example, given, strategies as st

from vitrina.domain.spreadsheets import escape, unescape


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "'=1", "''-"])
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(cell: str) -> None:
    """OWASP's list; and what looks like an escaped cell already, or it could not be told from one."""
    assert escape(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "'", "'tis", "a=b", "5 - 3"])
def test_other_text_stays_as_it_is(cell: str) -> None:
    """In both directions."""
    assert escape(cell) == cell == unescape(cell)


@given(st.text(alphabet="'=+-@\t\r\n ab", max_size=6))
@example("''=")
def test_escaped_text_is_unescaped_to_itself(cell: str) -> None:
    """Whatever it is."""
    assert unescape(escape(cell)) == cell
