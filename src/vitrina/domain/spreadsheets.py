"""Text that gets through a spreadsheet unharmed: cells of CSV files of which it runs nothing."""

import re
from typing import Final

_RUNS: Final = re.compile(r"'*[=+\-@\t\r\n]")
_ESCAPED: Final = re.compile(r"'+[=+\-@\t\r\n]")


def escape(cell: str) -> str:
    """Return a CSV cell that no spreadsheet runs (OWASP, CSV injection): with an apostrophe before what it would run.

    One that begins with apostrophes and would be run after them gets one too, so that `unescape` can tell.
    """
    return f"'{cell}" if _RUNS.match(cell) else cell


def unescape(cell: str) -> str:
    """Return what `escape` was given: WooCommerce's own exports are written by this rule too."""
    return cell[1:] if _ESCAPED.match(cell) else cell
