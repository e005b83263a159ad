"""JSON is taken as RFC 8259 has it, and nothing is guessed."""

import time
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, strategies as st

from vitrina.api.http.body import JsonNumber, parse_json
from vitrina.api.http.problems import MalformedJson


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
        b'{"a": "\\u0000"}',
        b'{"\\u0000": 1}',
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
def test_what_parsers_disagree_about_is_malformed(body: bytes) -> None:
    """Each is accepted by some parser."""
    with pytest.raises(MalformedJson):
        parse_json(body)


@pytest.mark.parametrize(
    "text", ["19.99", "1e2", "-0", "-0.0", "1E400", "0.1000000000000000055511151231257827", "9" * 5000]
)
def test_a_number_keeps_its_text(text: str) -> None:
    """A price is parsed from the digits, never from a float. Thousands of digits cost no time."""
    number = parse_json(text.encode())
    assert isinstance(number, JsonNumber)
    assert number.text == text


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("-7", -7), ("123456789012345678", 123456789012345678)])
def test_a_plain_int_is_an_int(text: str, value: int) -> None:
    """A strict int field accepts it."""
    number = parse_json(text.encode())
    assert type(number) is int
    assert number == value


def test_strings_far_down_cost_what_any_do() -> None:
    """A walk that went down anew for each took 16 seconds of the event loop for one body of a mebibyte."""
    depth = 500
    body = b'["\\u0041",' + b"[" * depth + b",".join([b'""'] * 300_000) + b"]" * depth + b"]"
    began = time.process_time()
    assert parse_json(body)[0] == "A"
    assert time.process_time() - began < 2.0


def test_escapes_that_stand_for_text_are_taken() -> None:
    """A pair of surrogates is a character."""
    assert parse_json(b'{"\\u00e9": "\\ud83d\\ude00 \\\\u0000"}') == {"é": "😀 \\u0000"}


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda children: st.lists(children) | st.dictionaries(st.text("ab~/é", max_size=3), children),
    max_leaves=20,
)


@given(_JSON)
def test_what_a_client_writes_comes_back(value: Any) -> None:  # noqa: ANN401
    assert parse_json(orjson.dumps(value)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=0, max_value=10**12))
def test_a_decimal_comes_back_to_the_digit(value: Decimal) -> None:
    assert parse_json(str(value).encode()).text == str(value)
