"""Text from users: trimmed, without control characters, comparable regardless of case, and safe in a CSV cell."""

import re
import unicodedata
from typing import Final

MAX_NAME: Final = 200
MAX_DESCRIPTION: Final = 10_000
_CONTROLS: Final = frozenset({"Cc", "Cs"})
"""The general categories of Unicode for control characters and lone surrogates."""
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r\n]")
_ESCAPED: Final = re.compile(r"'+[=+\-@\t\r\n]")


def fold(text: str) -> str:
    """Return the form in which texts that differ only in case or composition are equal (NFC, case-folded).

    Case folding can undo the composition (Unicode 3.13, D145), so NFC is applied again.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def clean_line(text: str, *, longest: int = MAX_NAME) -> str:
    """Return a one-line text, trimmed; raises ValueError if it is empty, too long, or has control characters.

    Unicode's line and paragraph separators (Zl, Zp) are refused too, because they break a line.
    """
    return _clean(text, longest=longest, refused=_CONTROLS | {"Zl", "Zp"}, allowed="")


def clean_paragraphs(text: str, *, longest: int = MAX_DESCRIPTION) -> str:
    """Return a text that may have line breaks and tabs, trimmed; raises ValueError as `clean_line` does."""
    return _clean(text, longest=longest, refused=_CONTROLS, allowed="\n\r\t")


def escape_cell(cell: str) -> str:
    """Return a cell that no spreadsheet evaluates (OWASP, CSV injection): an apostrophe precedes a formula.

    A formula that already has apostrophes before it gets one more, so that `unescape_cell` is the exact inverse.
    """
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unescape_cell(cell: str) -> str:
    """Return the original of an escaped cell; WooCommerce escapes its exports in the same way."""
    return cell[1:] if _ESCAPED.match(cell) else cell


def _clean(text: str, *, longest: int, refused: frozenset[str], allowed: str) -> str:
    text = text.strip()
    if not text:
        raise ValueError("is empty once surrounding white space is trimmed")
    # Some characters become three in NFC, in which keys are written: the limit holds for both forms.
    length = max(len(text), len(unicodedata.normalize("NFC", text)))
    if length > longest:
        raise ValueError(f"has {length} characters; at most {longest} are allowed")
    for character in text:
        if character not in allowed and unicodedata.category(character) in refused:
            raise ValueError(f"holds the control character U+{ord(character):04X}")
    return text
