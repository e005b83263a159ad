"""The tables of table_design.md, found by their headers, and parsers of their cells."""

import re
from collections.abc import Sequence
from functools import cache

from tests.store.design.recorder import ROOT, Code

PAGE = (ROOT / "table_design.md").read_text()

NOT_REPORTED = "\N{EN DASH}"
"""Stands where there is no figure: DynamoDB gives none for a transaction that it cancels, though it charges for it."""
TIMES = "\N{MULTIPLICATION SIGN}"
NUMBER = re.compile(r"AP-\d{2,3}")
"""The number of an access pattern."""

_LINK = re.compile(r"\[([\w.]+)\]\((src/[\w./]+)\)")
_PLACEHOLDER = re.compile(r"<\w+>")


@cache
def rows(*header: str) -> list[tuple[str, list[str]]]:
    """Return the rows of all tables with this header, each with its heading."""
    wanted = f"| {' | '.join(header)} |"
    found: list[tuple[str, list[str]]] = []
    heading, inside = "", False
    for line in PAGE.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("|"):
            inside = False
        elif line == wanted:
            inside = True
        elif inside and not line.startswith("|--"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert len(cells) == len(header), line
            found.append((heading, cells))
    assert found, f"no table has the header {wanted}"
    return found


def code(cell: str) -> list[str]:
    """Return the contents of a cell's code marks."""
    return re.findall(r"`([^`]+)`", cell)


def links(text: str) -> list[Code]:
    """Return a text's links to code."""
    return [Code(*match) for match in _LINK.findall(text)]


def numbers(cell: str) -> set[str]:
    """Return the pattern numbers in a cell."""
    return set(NUMBER.findall(cell))


def number_of(cell: str) -> int:
    """Return the integer at the start of a cell, in which commas separate thousands."""
    match = re.match(r"[\d,]+", cell)
    assert match is not None, cell
    return int(match[0].replace(",", ""))


def costs(cell: str, units: Sequence[float], counts: Sequence[int] = ()) -> bool:
    """Say whether units match a cell: one number, a range whose ends both occur, or a number for each item."""
    if cell.endswith(f"{TIMES} n"):
        return list(units) == [float(cell.partition(" ")[0]) * count for count in counts]
    if "a 4 KB" in cell:
        return True
    least, _, most = cell.partition(" to ")
    return (min(units), max(units)) == (float(least), float(most or least))


def fits(template: str, text: str) -> bool:
    """Say whether a text matches a template with `<placeholders>`."""
    parts = map(re.escape, _PLACEHOLDER.split(template))
    return re.fullmatch("(?:(?! AND )[^/])+?".join(parts), text) is not None
