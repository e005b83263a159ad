"""Conditional requests compare versions by RFC 9110."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from vitrina.api.http.problems import InvalidHeader
from vitrina.api.http.request import Request


def _request(name: str, *lines: str) -> Request[None, None]:
    return Request(make_mocked_request("GET", "/", headers=CIMultiDict((name, line) for line in lines)), "r-1")


@pytest.mark.parametrize(
    ("lines", "tags"),
    [
        ((), None),
        (("*",), "*"),
        (('"3"',), {"3"}),
        (('"3", "5" ,"7"',), {"3", "5", "7"}),
        (('"3"', '"5"'), {"3", "5"}),
        (('W/"3"',), set()),
        (('W/"3", "4"',), {"4"}),
        (('"03"',), {"03"}),
        (('"٣"',), {"٣"}),
        (('""',), {""}),
        ((',"3",, "4" ,',), {"3", "4"}),
        (('"019ab5f0-3c1e-7e64-9c3a-5f1d2b7a9e10.3"',), {"019ab5f0-3c1e-7e64-9c3a-5f1d2b7a9e10.3"}),
        ((", ,",), set()),
        (("",), set()),
    ],
)
def test_if_match_is_a_strong_comparison(lines: tuple[str, ...], tags: set[str] | str | None) -> None:
    """A weak tag matches nothing; empty elements of the list do not count (section 5.6.1.2)."""
    assert _request("If-Match", *lines).precondition().match == tags


@pytest.mark.parametrize(
    ("lines", "holds"),
    [
        ((), False),
        (("*",), True),
        (('"3"',), True),
        (('W/"3"',), True),
        (('"2", W/"3"',), True),
        (('"2"', 'W/"3"'), True),
        (('"2"',), False),
        ((',"2",, "3"',), True),
    ],
)
def test_if_none_match_is_a_weak_comparison(lines: tuple[str, ...], holds: bool) -> None:  # noqa: FBT001
    """The response is 304 when any of the tags matches."""
    assert _request("If-None-Match", *lines).if_none_match(3) is holds


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize(
    "lines",
    [("1",), ("abc",), ('"3',), ('3"',), ('"3" "4"',), ('"3", 4',), ('w/"3"',), ('W/ "3"',), ("W/3",), ('"3", *',),
     ("*", "*"), ("*,",), ("**",), ('"a b"',), ("'3'",), ('"3";',)],
)  # fmt: skip
def test_what_is_no_list_of_entity_tags_is_an_invalid_header(name: str, lines: tuple[str, ...]) -> None:
    """A malformed condition is reported: ignoring it would overwrite a version that the client wanted to keep."""
    with pytest.raises(InvalidHeader):
        _request(name, *lines).entity_tags(name)
