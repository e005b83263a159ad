"""Text from users: trimmed, without control characters, comparable regardless of case, and safe in a CSV cell."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

MAX_NAME: Final = 200
MAX_DESCRIPTION: Final = 10_000
_CONTROLS: Final = frozenset({"Cc", "Cs"})
"""The general categories of Unicode for control characters and lone surrogates."""
_UNSEEN: Final = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
"""The general categories of control characters, format characters and white space."""
_FILLERS: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""Characters of other categories that show nothing: Default_Ignorable_Code_Point, and the blank Braille pattern."""
_WHITE_SPACE: Final = "".join(c for c in map(chr, range(0x3001)) if c.isspace() and c not in "\x1c\x1d\x1e\x1f")
"""Unicode's White_Space. `str.strip` would also take U+001C to U+001F, which are plain control characters."""
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r\n]")
_ESCAPED: Final = re.compile(r"'+[=+\-@\t\r\n]")
_NESTED_FORMULA: Final = re.compile(r"""([;|\t\r\n])(?=['"]*[=+\-@])""")
"""A formula in a cell that begins one where rows are divided by something else than commas; quotes may precede it."""
_NESTED_ESCAPED: Final = re.compile(r"""([;|\t\r\n])'(?=['"]*[=+\-@])""")
_NEEDS_QUOTES: Final = re.compile(r'[",;|\t\r\n]')


def fold(text: str) -> str:
    """Return the form in which texts that differ only in case or composition are equal (NFC, case-folded).

    Case folding can undo the composition (Unicode 3.13, D145), so NFC is applied again.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def clean_line(text: str, *, longest: int = MAX_NAME) -> str:
    """Return a one-line text, trimmed; raises ValueError if it shows nothing, is too long, or has control characters.

    Unicode's line and paragraph separators (Zl, Zp) are refused too, because they break a line. Format characters,
    such as joiners and soft hyphens, are kept beside a visible one.
    """
    text = _clean(text, longest=longest, refused=_CONTROLS | {"Zl", "Zp"}, allowed="")
    # A line can be a part of a key, which is written in NFC, where some characters become three. Only a text of the
    # right length is normalised: a run of combining characters takes time that grows with the square of its length.
    if (length := len(unicodedata.normalize("NFC", text))) > longest:
        raise ValueError(f"has {length} characters in Unicode's form NFC; at most {longest} are allowed")
    if all(unicodedata.category(character) in _UNSEEN or _FILLERS.match(character) for character in text):
        raise ValueError("has no visible character")
    return text


def clean_paragraphs(text: str, *, longest: int = MAX_DESCRIPTION) -> str:
    """Return a text that may have line breaks and tabs, trimmed; raises ValueError if it is empty, or as above."""
    return _clean(text, longest=longest, refused=_CONTROLS, allowed="\n\r\t")


def csv_row(cells: Iterable[str]) -> str:
    """Return a row of a CSV (RFC 4180) whose cells no spreadsheet evaluates, whatever it divides rows by."""
    return ",".join(map(csv_cell, cells)) + "\r\n"


def csv_cell(cell: str) -> str:
    """Return a cell of such a row: escaped, and in quotes if it has a separator of any spreadsheet or quotes."""
    cell = escape_cell(cell)
    return '"' + cell.replace('"', '""') + '"' if _NEEDS_QUOTES.search(cell) else cell


def escape_cell(cell: str) -> str:
    """Return a cell that no spreadsheet evaluates (OWASP, CSV injection): an apostrophe precedes each formula.

    A spreadsheet that divides rows by semicolons, tabs or bars divides cells too, since a quote is only one at the
    beginning of its cells. A formula that already has apostrophes before it gets one more, so that `unescape_cell` is
    the exact inverse.
    """
    cell = _NESTED_FORMULA.sub(r"\1'", cell)
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unescape_cell(cell: str) -> str:
    """Return the original of an escaped cell."""
    return _NESTED_ESCAPED.sub(r"\1", unescape_start(cell))


def unescape_start(cell: str) -> str:
    """Return the original of a cell that is escaped at its beginning alone, as WooCommerce does."""
    return cell[1:] if _ESCAPED.match(cell) else cell


def _clean(text: str, *, longest: int, refused: frozenset[str], allowed: str) -> str:
    text = text.strip(_WHITE_SPACE)
    if not text:
        raise ValueError("is empty once surrounding white space is trimmed")
    if len(text) > longest:
        raise ValueError(f"has {len(text)} characters; at most {longest} are allowed")
    for character in dict.fromkeys(text):
        if character not in allowed and unicodedata.category(character) in refused:
            raise ValueError(f"holds the control character U+{ord(character):04X}")
    return text
