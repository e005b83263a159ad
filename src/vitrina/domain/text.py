"""Text that people type: trimmed, without control characters, and comparable without regard to case."""

import unicodedata
from typing import Final

MAX_NAME: Final = 200
MAX_DESCRIPTION: Final = 10_000
_CONTROLS: Final = frozenset({"Cc", "Cs"})
"""Unicode's general categories of control characters and of halves of surrogate pairs."""
_LINE_BREAKS_AND_TABS: Final = frozenset("\n\r\t")


def fold(text: str) -> str:
    """Return the form in which two texts that differ in case or composition alone are equal (NFC, case-folded).

    Case folding can undo the composition (Unicode 3.13, D145), so it is composed once more.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def clean_line(text: str, *, longest: int = MAX_NAME) -> str:
    """Trim a one-line text; raises ValueError when nothing is left, it is too long, or it holds control characters.

    Unicode's own line and paragraph separators (Zl, Zp) would break the line too.
    """
    return _clean(text, longest=longest, refused=_CONTROLS | {"Zl", "Zp"}, allowed=frozenset())


def clean_paragraphs(text: str, *, longest: int = MAX_DESCRIPTION) -> str:
    """Trim a text that may have line breaks and tabs; raises ValueError as `clean_line` does."""
    return _clean(text, longest=longest, refused=_CONTROLS, allowed=_LINE_BREAKS_AND_TABS)


def _clean(text: str, *, longest: int, refused: frozenset[str], allowed: frozenset[str]) -> str:
    text = text.strip()
    if not text:
        raise ValueError("is empty once surrounding white space is trimmed")
    # Some characters become three in NFC, the form that keys are made of: a text must fit in both.
    length = max(len(text), len(unicodedata.normalize("NFC", text)))
    if length > longest:
        raise ValueError(f"has {length} characters; at most {longest} are allowed")
    for character in text:
        if character not in allowed and unicodedata.category(character) in refused:
            raise ValueError(f"holds the control character U+{ord(character):04X}")
    return text
