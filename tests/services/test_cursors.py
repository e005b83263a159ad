"""Page cursors are opaque, signed, and valid for one query."""

import pytest
from hypothesis import given, strategies as st

from vitrina.errors import InvalidCursor
from vitrina.services.cursors import Cursors

QUERY = ("products", "newest", None)
CURSORS = Cursors(b"k" * 32)
POSITIONS = st.dictionaries(st.sampled_from(["pk", "sk", "listing", "by_name"]), st.text(st.characters(codec="utf-8")))
QUERIES = st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=5), max_size=4).map(tuple)


def test_the_end_has_no_cursor_and_the_start_no_position() -> None:
    assert CURSORS.write(QUERY, None) is None
    assert CURSORS.read(QUERY, None) is None


@given(QUERIES, POSITIONS)
def test_a_position_is_read_back(query: tuple[str | None, ...], position: dict[str, str]) -> None:
    """The cursor has only characters that a URL takes unescaped."""
    cursor = CURSORS.write(query, position)
    assert cursor is not None
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert CURSORS.read(query, cursor) == position


@given(QUERIES, QUERIES)
def test_a_cursor_of_another_query_is_refused(one: tuple[str | None, ...], other: tuple[str | None, ...]) -> None:
    """None differs from the empty text, and parts are not concatenated."""
    cursor = CURSORS.write(one, {"pk": "a"})
    if one == other:
        assert CURSORS.read(other, cursor) == {"pk": "a"}
    else:
        with pytest.raises(InvalidCursor):
            CURSORS.read(other, cursor)


def test_a_cursor_signed_with_another_key_is_refused() -> None:
    with pytest.raises(InvalidCursor):
        Cursors(b"j" * 32).read(QUERY, CURSORS.write(QUERY, {"pk": "a"}))


def test_no_character_can_be_changed_added_or_left_out() -> None:
    """Not even the last character, which has unused bits."""
    cursor = CURSORS.write(QUERY, {"pk": "ab"})
    assert cursor is not None
    forged = {cursor[:place] + letter + cursor[place + 1 :] for place in range(len(cursor)) for letter in "AQgw_-"}
    forged |= {cursor[:-1], cursor[1:], cursor + "A", cursor + "=", cursor + "==", " " + cursor, cursor + "\n"}
    for attempt in forged - {cursor}:
        with pytest.raises(InvalidCursor):
            CURSORS.read(QUERY, attempt)


@pytest.mark.parametrize("cursor", ["A", "ä", "\ud800", "a.b", "%20", "A" * 10_000, "e30="])
def test_a_text_that_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        CURSORS.read(QUERY, cursor)


def test_an_empty_cursor_is_none() -> None:
    """A form sends the parameter that its user left empty."""
    assert CURSORS.read(QUERY, "") is None
