"""Models are serialised to JSON in one way."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

import pytest
from pydantic import BaseModel, Field

from vitrina.api.http.responses import json_response, render


class Colour(StrEnum):
    """A colour."""

    RED = "red"


class Inner(BaseModel):
    """A part."""

    at: datetime


class Thing(BaseModel):
    """One field of each kind."""

    price: Decimal
    at: datetime
    colour: Colour
    inner: list[Inner]
    start: str | None = Field(alias="from")


def test_times_have_milliseconds_and_decimals_are_strings() -> None:
    at = datetime(2026, 11, 24, 7, 1, 34, tzinfo=UTC)
    thing = Thing(**{"price": Decimal("19.90"), "at": at, "colour": "red", "inner": [Inner(at=at)], "from": None})
    assert render(thing) == (
        b'{"price":"19.90","at":"2026-11-24T07:01:34.000Z","colour":"red",'
        b'"inner":[{"at":"2026-11-24T07:01:34.000Z"}],"from":null}'
    )


def test_a_value_without_a_json_form_raises() -> None:

    class Odd(BaseModel):
        value: object

    with pytest.raises(TypeError):
        render(Odd(value=object()))


def test_a_response_without_a_body_has_no_content_type() -> None:
    empty = json_response(status=204)
    assert empty.body is None
    assert dict(empty.headers) == {}
    assert dict(json_response(status=304, etag=3).headers) == {"ETag": '"3"'}


def test_responses_do_not_share_headers() -> None:
    """All responses start from one shared template."""
    json_response(b"{}", etag=1, location="/a", headers={"Content-Type": "text/plain"})
    assert dict(json_response(b"{}").headers) == {"Content-Type": "application/json"}
