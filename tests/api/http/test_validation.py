"""Validation errors: a pointer and a plain message for each, without the value that was sent."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import orjson
import pytest
from multidict import MultiDict
from pydantic import AfterValidator, Field

from vitrina.api.http.body import parse_json
from vitrina.api.http.problems import problem
from vitrina.api.http.validation import (
    BodyModel,
    QueryInt,
    QueryModel,
    has_list,
    pointer,
    validate_body,
    validate_query,
)
from vitrina.domain.users import Role
from vitrina.errors import FieldError, ValidationFailed

SECRET = "canary-5b1e"


def _refuse(_value: str) -> str:
    raise ValueError("is not to our taste")


class Part(BodyModel):
    """A nested object."""

    count: int


class Thing(BodyModel):
    """One field of each kind."""

    name: Annotated[str, Field(min_length=2, max_length=4)] = "name"
    code: Annotated[str, Field(pattern="^[a-z]+$")] = "a"
    amount: Annotated[Decimal, Field(strict=False, ge=Decimal("0.5"), le=Decimal("9.5"))] = Decimal(1)
    count: Annotated[int, Field(gt=0, lt=10)] = 1
    active: bool = True
    kind: Literal["a", "b"] = "a"
    role: Annotated[Role, Field(strict=False)] = Role.USER
    day: Annotated[date, Field(strict=False)] = date(2026, 1, 1)
    taste: Annotated[str, AfterValidator(_refuse)] = ""
    parts: Annotated[list[Part] | None, Field(min_length=1, max_length=2)] = None
    labels: dict[str, str] | None = None
    nothing: None = None


class Window(QueryModel):
    """The parameters of a query."""

    limit: Annotated[QueryInt, Field(ge=1, le=100)] = 25
    start: Annotated[str | None, Field(alias="from")] = None
    flag: bool = False


def _refusals(body: Any) -> dict[str, str]:  # noqa: ANN401
    with pytest.raises(ValidationFailed) as caught:
        validate_body(Thing, body)
    return {pointer(*error.path): error.detail for error in caught.value.errors}


@pytest.mark.parametrize(
    ("field", "value", "where", "words"),
    [
        ("name", "x", "/name", "must have at least 2 character(s)"),
        ("name", SECRET, "/name", "must have at most 4 characters"),
        ("name", 5, "/name", "must be a string"),
        ("name", None, "/name", "must be a string"),
        ("code", SECRET, "/code", "must match ^[a-z]+$"),
        ("amount", "0.1", "/amount", "must be at least 0.5"),
        ("amount", "10", "/amount", "must be at most 9.5"),
        ("amount", SECRET, "/amount", "is not valid"),
        ("count", 0, "/count", "must be more than 0"),
        ("count", 10, "/count", "must be less than 10"),
        ("count", "1", "/count", "must be a whole number"),
        ("count", True, "/count", "must be a whole number"),
        ("active", "true", "/active", "must be true or false"),
        ("kind", "c", "/kind", "must be 'a' or 'b'"),
        ("role", "boss", "/role", "must be 'super_admin', 'admin' or 'user'"),
        ("day", "24.11.2026", "/day", "must be a date such as 2026-11-24"),
        ("taste", SECRET, "/taste", "is not to our taste"),
        ("parts", [], "/parts", "must have at least 1 item(s)"),
        ("parts", [{}] * 3, "/parts", "must have at most 2 items"),
        ("parts", {}, "/parts", "must be a list"),
        ("parts", [{"count": 1}, {}], "/parts/1/count", "is required"),
        ("parts", [1], "/parts/0", "must be an object"),
        ("labels", {"a/b~c": 1}, "/labels/a~1b~0c", "must be a string"),
        ("labels", 1, "/labels", "must be an object"),
        ("nothing", 1, "/nothing", "must be null"),
        ("version", 1, "/version", "is not a field here"),
    ],
)
def test_an_error_names_the_field_and_what_to_change(field: str, value: Any, where: str, words: str) -> None:  # noqa: ANN401
    assert _refusals({field: value})[where] == words


def test_errors_can_be_serialised_and_have_no_value_that_was_sent() -> None:
    """Errors of pydantic contain the values, some of which cannot be written as JSON."""
    body = {"amount": Decimal("0.1"), "name": SECRET, "taste": SECRET, "code": SECRET, "extra": {"password": SECRET}}
    with pytest.raises(ValidationFailed) as caught:
        validate_body(Thing, body)
    answer = problem(caught.value, instance="/").body
    assert isinstance(answer, bytes)
    assert len(orjson.loads(answer)["errors"]) == 5
    assert SECRET.encode() not in answer
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("body", [[], "x", 1, None, True])
def test_a_body_must_be_an_object(body: object) -> None:
    """Any other JSON value is rejected as a whole."""
    assert _refusals(body) == {"": "must be a JSON object"}


def test_a_body_whose_model_has_a_list_may_be_longer() -> None:
    """The list has its own limit."""
    assert has_list(Thing)
    assert not has_list(Part)


def test_a_strict_string_rejects_a_number() -> None:
    """A parsed number keeps its text, which could pass for a string."""
    assert _refusals(parse_json(b'{"name": 1.50}')) == {"/name": "must be a string"}


def test_the_number_of_errors_is_limited() -> None:
    """A body of a thousand unknown fields gets 20 errors."""
    assert len(_refusals({f"field{number}": 1 for number in range(1000)})) == 20


@pytest.mark.parametrize("text", ["0", "101", "-1", "+1", " 1", "1_0", "1.0", "1e1", "٣", "", "9" * 30])
def test_an_integer_parameter_accepts_only_digits(text: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        validate_query(Window, MultiDict({"limit": text}))
    assert [error.path for error in caught.value.errors] == [("limit",)]


@pytest.mark.parametrize(
    "pairs",
    [[("limit", "1"), ("limit", "1")], [("from", "a\0")], [("from", "a\nb")], [("from", "\x85")], [("from", "\udcff")]],
)
def test_a_repeated_or_unwritable_parameter_is_rejected(pairs: list[tuple[str, str]]) -> None:
    """A repeated parameter is ambiguous."""
    with pytest.raises(ValidationFailed) as caught:
        validate_query(Window, MultiDict(pairs))
    assert caught.value.errors[0].path == (pairs[0][0],)


@pytest.mark.parametrize(
    ("model", "known"), [(Window, "the parameters are limit, from, flag"), (None, "there are none")]
)
def test_an_unknown_parameter_is_refused_and_the_known_ones_are_named(
    model: type[QueryModel] | None, known: str
) -> None:
    """Who misspells a filter must not get everything. Each is named once, by its alias, and as text."""
    with pytest.raises(ValidationFailed) as caught:
        validate_query(model, MultiDict([("utm", "a"), ("utm", "b"), ("start", "x"), ("", ""), ("\udcff", "")]))
    detail = f"is not a parameter here; {known}"
    assert caught.value.errors == [FieldError((name,), detail) for name in ("utm", "start", "", "?")]


def test_absent_parameters_have_defaults() -> None:
    window = validate_query(Window, MultiDict([("from", "z\u00a0")]))
    assert window == Window(**{"from": "z\u00a0"})
    assert window.limit == 25
    assert validate_query(None, MultiDict()) is None
    assert Window(limit=7).limit == 7
