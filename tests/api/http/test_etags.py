"""Conditional requests compare versions by RFC 9110."""

import pytest

from vitrina.api.http.request import if_match, if_none_match


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        (None, None),
        ("*", None),
        (" * ", None),
        ('"3"', {3}),
        ('"3", "5" ,"7"', {3, 5, 7}),
        ('W/"3"', set()),
        ('W/"3", "4"', {4}),
        ('"x"', set()),
        ('"03"', set()),
        ('"٣"', set()),
        ("3", set()),
        ('"3', set()),
        ('"3" "4"', set()),
        (',"3",, "4" ,', {3, 4}),
        (", ,", set()),
        ('"3", 4', set()),
        ("", set()),
    ],
)
def test_if_match_is_a_strong_comparison_and_a_malformed_one_matches_nothing(
    header: str | None, versions: set[int] | None
) -> None:
    """Ignoring a malformed condition would overwrite a version that the client wanted to keep."""
    assert if_match(header) == versions


@pytest.mark.parametrize(
    ("header", "holds"),
    [
        (None, False),
        ("*", True),
        ('"3"', True),
        ('W/"3"', True),
        ('"2", W/"3"', True),
        ('"2"', False),
        ("3", False),
        ('"3" x', False),
        (',"2",, "3"', True),
    ],
)
def test_if_none_match_is_a_weak_comparison(header: str | None, holds: bool) -> None:  # noqa: FBT001
    """The response is 304 when any of the tags matches."""
    assert if_none_match(header, 3) is holds
