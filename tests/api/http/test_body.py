"""JSON is parsed strictly by RFC 8259."""

import time
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from vitrina.api.http.body import JsonNumber, parse_json
from vitrina.api.http.problems import MalformedJson
from vitrina.api.http.validation import pointer
from vitrina.errors import ValidationFailed


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 1} x',
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "a": 1}}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 01}',
        b'{"a": "\x00"}',
        b'{"a": "\x1f"}',
        b'{"a": ["x", {"b": "\\ud800"}]}',
        b'{"a": "\\udc00\\ud800"}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b'"\\u0041"' + b"]" * 100_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_json_on_which_parsers_disagree_is_malformed(body: bytes) -> None:
    """Some parser accepts each of these."""
    with pytest.raises(MalformedJson):
        parse_json(body)


@pytest.mark.parametrize(
    "text", ["19.99", "1e2", "-0", "-0.0", "1E400", "0.1000000000000000055511151231257827", "9" * 5000]
)
def test_a_number_keeps_its_text(text: str) -> None:
    """A price is parsed from the digits, never from a float. Parsing thousands of digits is fast."""
    number = parse_json(text.encode())
    assert isinstance(number, JsonNumber)
    assert number.text == text


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("-7", -7), ("123456789012345678", 123456789012345678)])
def test_a_plain_int_is_an_int(text: str, value: int) -> None:
    """A strict int field accepts it."""
    number = parse_json(text.encode())
    assert type(number) is int
    assert number == value


def test_deeply_nested_strings_are_parsed_in_linear_time() -> None:
    """A search from the root for each string blocked the event loop for 16 seconds with a body of 1 MiB."""
    depth = 500
    body = b'["\\u0041",' + b"[" * depth + b",".join([b'""'] * 300_000) + b"]" * depth + b"]"
    began = time.process_time()
    assert parse_json(body, most=400_000)[0] == "A"
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (rb'{"a": "\u0000"}', ["/a"]),
        (rb'{"a": "x\u001fy", "b": 1, "c": ["z", {"d": "\u007f"}]}', ["/a", "/c/1/d"]),
        (rb'{"a": "\b", "b": "\f\r\n\t\u0085"}', ["/a"]),
        ('{"a": "\x7f", "b": "\x9f", "c": "\x85"}'.encode(), ["/a", "/b"]),
        (rb'{"a\u0000/": {"\u0001": "\u0002"}}', ["/a\0~1", "/a\0~1/\1", "/a\0~1/\1"]),
        (rb'"\u0000"', [""]),
    ],
)
def test_a_control_character_is_refused_where_it_stands(body: bytes, pointers: list[str]) -> None:
    """White space among them is left to the field: a description may have line breaks and tabs."""
    with pytest.raises(ValidationFailed) as caught:
        parse_json(body)
    assert [pointer(*error.path) for error in caught.value.errors] == pointers


@pytest.mark.parametrize("body", [b'{"a": "\x01"}', rb'{"a": "\u0000", "b": "\ud800"}', rb'{"a": "\u0000"'])
def test_malformed_json_is_reported_before_a_control_character(body: bytes) -> None:
    """JSON forbids control characters below U+0020 that are not escaped (RFC 8259 section 7)."""
    with pytest.raises(MalformedJson):
        parse_json(body)


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        (b"[" + b",".join([b"1"] * 100) + b"]", True),
        (b"[" + b",".join([b"1"] * 101) + b"]", False),
        (b'{"a": "' + b"," * 500 + rb"\"," + b'"}', True),
        (b'{"a": [1, 2], "b": [' + b"[],[]," * 49 + b"1]}", False),
        (b' {"a": [1, 2], "b": [' + b"[],[]," * 48 + b"1]}", True),
    ],
)
def test_a_body_has_at_most_a_hundred_members_and_items(body: bytes, fits: bool) -> None:  # noqa: FBT001
    """Commas between them are counted, and not those in strings."""
    if fits:
        parse_json(body)
        return
    with pytest.raises(ValidationFailed) as caught:
        parse_json(body)
    assert [error.path for error in caught.value.errors] == [()]


@pytest.mark.parametrize(
    "body",
    [b"[" + b"1," * 500_000 + b"1]", b"{" + b'"a":1,' * 150_000 + b"}", b"[" + b'"' * 1_000_000,
     b'["' + b'\\"' * 500_000, b"[" + b'""' * 500_000],
    ids=["numbers", "members", "quotes", "escapes", "strings"],
)  # fmt: skip
def test_a_large_body_is_refused_before_anything_is_built(body: bytes) -> None:
    """93,000 members would block the event loop for half a second."""
    began = time.process_time()
    with pytest.raises((ValidationFailed, MalformedJson)):
        parse_json(body)
    assert time.process_time() - began < 0.2


def test_valid_escapes_are_accepted() -> None:
    """A pair of surrogates is one character."""
    assert parse_json(b'{"\\u00e9": "\\ud83d\\ude00 \\\\u0000"}') == {"é": "😀 \\u0000"}


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(st.characters(exclude_categories=["Cc", "Cs"])),
    lambda children: st.lists(children) | st.dictionaries(st.text("ab~/é", max_size=3), children),
    max_leaves=20,
)


@given(_JSON)
def test_json_round_trips(value: Any) -> None:  # noqa: ANN401
    assert parse_json(orjson.dumps(value), most=1000) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=0, max_value=10**12))
def test_a_decimal_round_trips_exactly(value: Decimal) -> None:
    assert parse_json(str(value).encode()).text == str(value)
