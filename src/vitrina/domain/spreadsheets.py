"""Escapes CSV cells that a spreadsheet would evaluate as formulas."""

import re
from typing import Final

_FORMULA: Final = re.compile(r"'*[=+\-@\t\r\n]")
_ESCAPED: Final = re.compile(r"'+[=+\-@\t\r\n]")


def escape(cell: str) -> str:
    """Return a cell that no spreadsheet evaluates (OWASP, CSV injection): an apostrophe precedes a formula.

    A formula that already has apostrophes before it gets one more, so that `unescape` is the exact inverse.
    """
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unescape(cell: str) -> str:
    """Return the original of an escaped cell; WooCommerce escapes its exports in the same way."""
    return cell[1:] if _ESCAPED.match(cell) else cell
