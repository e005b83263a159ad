"""Text from users."""

import unicodedata

import pytest
from hypothesis import given, strategies as st

from vitrina.domain.text import clean_line, clean_paragraphs, fold


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u0085"])
def test_all_of_unicodes_white_space_is_trimmed(space: str) -> None:
    """At both ends; a text of white space only is empty."""
    assert clean_line(f"{space}Oak  Lamp{space}") == "Oak  Lamp"
    assert clean_paragraphs(f"{space}Oak\n\tLamp{space}") == "Oak\n\tLamp"
    for clean in (clean_line, clean_paragraphs):
        with pytest.raises(ValueError, match="empty"):
            clean(space * 3)


@pytest.mark.parametrize("control", ["\0", "\x07", "\x1b", "\x7f", "\u0085", "\ud800"])
def test_control_characters_are_refused(control: str) -> None:
    """Lone surrogates too."""
    for clean in (clean_line, clean_paragraphs):
        with pytest.raises(ValueError, match="control character U\\+"):
            clean(f"a{control}b")


def test_a_control_character_that_is_no_white_space_is_refused_at_the_ends_too() -> None:
    """`str.strip` takes U+001C to U+001F, which Unicode does not call white space."""
    for control in "\x1c\x1f":
        for text in (f"{control}Oak", f"Oak{control}"):
            with pytest.raises(ValueError, match="control character U\\+001"):
                clean_line(text)


@pytest.mark.parametrize(
    "text",
    ["\u200b", "\u2060", "\u3164", "\u00ad", "\u200d\u200c", " \u115f\u1160\uffa0 ", "\u2800", "\ufeff", "\u034f",
     "\ufe0f", "\U000e0001", "\u180e \u061c"],
)  # fmt: skip
def test_a_line_without_a_visible_character_is_refused(text: str) -> None:
    """White space, format characters and fillers show nothing."""
    with pytest.raises(ValueError, match="visible"):
        clean_line(text)


@pytest.mark.parametrize(
    "text", ["Bam\u00adbus", "क\u094d\u200dष", "👩\u200d🌾", "\u200bOak\u2060", "❤\ufe0f", "\u3164x", "·"]
)
def test_joiners_and_soft_hyphens_beside_visible_characters_stay(text: str) -> None:
    assert clean_line(text) == text


@pytest.mark.parametrize("break_", ["\n", "\r", "\t", "\u2028", "\u2029"])
def test_a_line_has_no_breaks_and_paragraphs_may(break_: str) -> None:
    """Tabs count as breaks."""
    assert clean_paragraphs(f"a{break_}b") == f"a{break_}b"
    with pytest.raises(ValueError, match="control character"):
        clean_line(f"a{break_}b")


def test_lengths_count_characters_once_trimmed() -> None:
    """The limit of a line holds for its NFC too, in which keys are written."""
    for clean, longest in ((clean_line, 200), (clean_paragraphs, 10_000)):
        assert len(clean("  " + "\U0001f4a1" * longest + "  ")) == longest
        with pytest.raises(ValueError, match="at most"):
            clean("x" * (longest + 1))
    with pytest.raises(ValueError, match="600 characters in Unicode's form NFC; at most 200"):
        clean_line("\U0001d160" * 200)


@given(st.text())
def test_cleaning_is_idempotent(text: str) -> None:
    try:
        cleaned = clean_paragraphs(text)
    except ValueError:
        return
    assert clean_paragraphs(cleaned) == cleaned


@pytest.mark.parametrize(
    ("one", "other"), [("Straße", "STRASSE"), ("é", "e\u0301"), ("É", "e\u0301"), ("Σίσυφος", "ΣΊΣΥΦΟΣ"), ("ﬁ", "FI")]
)
def test_folded_texts_that_differ_only_in_case_or_composition_are_equal(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@given(st.text())
def test_folding_is_idempotent_composed_and_independent_of_composition(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    assert unicodedata.is_normalized("NFC", folded)
    assert fold(unicodedata.normalize("NFD", text)) == folded
