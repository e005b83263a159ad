"""Bodies and queries, checked by pydantic models. The messages never repeat a value that was sent."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Final, TypeVar, get_args, get_origin

import orjson
from multidict import MultiMapping
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from vitrina.errors import FieldError, ValidationFailed

M = TypeVar("M", bound=BaseModel)
_MOST_ERRORS: Final = 20
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_DIGITS: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


class BodyModel(BaseModel):
    """A body: unknown fields are rejected, and no type is converted to another.

    A strict model takes no string for an enum or a date: annotate such a field with `Field(strict=False)`. The
    validator is built at its first use, within a millisecond, not at the import, which would take a sixth longer.
    """

    checks_strings: ClassVar[bool] = False
    """Whether the model itself refuses control characters, which make other bodies invalid as a whole."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)


class QueryModel(BaseModel):
    """Query parameters; each value starts as a string."""

    model_config = ConfigDict(frozen=True, defer_build=True)


def validate_body(model: type[M], value: object) -> M:
    """Return the body as `model`. Raises ValidationFailed with the path of each rejected field."""
    if not isinstance(value, dict):
        raise ValidationFailed([FieldError((), "must be a JSON object")])
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise failed(error) from None  # The original error holds the values.


def validate_query(model: type[M] | None, query: MultiMapping[str]) -> M | None:
    """Return the query parameters as `model`, which is None where there are none.

    Raises ValidationFailed for a bad, repeated or unknown one: who misspells a filter must not get everything. Only a
    parameter that is a list may be repeated.
    """
    known = _parameters(model)
    refused = [
        FieldError((_writable(name),), detail)
        for name in dict.fromkeys(query)
        if (detail := _fault(name, query.getall(name), known))
    ]
    if refused:
        raise ValidationFailed(refused[:_MOST_ERRORS])
    try:
        values = {name: query.getall(name) if known[name] else query[name] for name in query}
        return None if model is None else model.model_validate(values)
    except ValidationError as error:
        raise failed(error) from None


def has_list(model: type[BaseModel]) -> bool:
    """Return whether a body of this model may hold a list."""
    return b'"type":"array"' in orjson.dumps(model.model_json_schema())


def failed(error: ValidationError) -> ValidationFailed:
    """Return pydantic's error as ours, with the path of each rejected field and without the values."""
    details = error.errors(include_url=False, include_input=False)[:_MOST_ERRORS]
    return ValidationFailed([FieldError(_path(detail), _message(detail)) for detail in details])


def pointer(*path: str | int) -> str:
    """Return the JSON pointer to a field (RFC 6901 section 3)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _whole_number(value: object) -> object:
    """Accept digits alone: pydantic itself also accepts signs, spaces, underscores and `5.0`."""
    if isinstance(value, str):
        if not _DIGITS.fullmatch(value):
            raise ValueError("must be a whole number, written in digits")
        return int(value)
    return value


QueryInt = Annotated[int, BeforeValidator(_whole_number)]
"""A whole number in a query string."""


@cache
def _parameters(model: type[BaseModel] | None) -> dict[str, bool]:
    """Return the names of the parameters, and whether each is a list."""
    fields = {} if model is None else model.model_fields
    return {field.alias or name: _is_list(field.annotation) for name, field in fields.items()}


def _is_list(hint: object) -> bool:
    """Return whether an annotation is a list, also beside None or with constraints."""
    return get_origin(hint) is list or any(map(_is_list, get_args(hint)))


def _fault(name: str, values: list[str], known: Mapping[str, bool]) -> str | None:
    if name not in known:
        return f"is not a parameter here; {'the parameters are ' + ', '.join(known) if known else 'there are none'}"
    if len(values) > 1 and not known[name]:
        return "is given more than once"
    return "holds a control character, or is not UTF-8" if any(map(_UNFIT.search, values)) else None


def _writable(name: str) -> str:
    """Return a name without lone surrogates, as which aiohttp decodes bytes that are not UTF-8."""
    return name.encode(errors="replace").decode()


_MESSAGES: Final[Mapping[str, str]] = {
    "missing": "is required",
    "extra_forbidden": "is not a field here",
    "string_type": "must be a string",
    "string_too_short": "must have at least {min_length} character(s)",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "none_required": "must be null",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_attributes_type": "must be an object",
    "union_tag_invalid": "must be {expected_tags}",
    "union_tag_not_found": "is required",
    "model_type": "must be an object",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} item(s)",
    "too_long": "must have at most {max_length} items",
    "date_type": "must be a date such as 2026-11-24",
    "date_parsing": "must be a date such as 2026-11-24",
    "date_from_datetime_parsing": "must be a date such as 2026-11-24",
    "date_from_datetime_inexact": "must be a date such as 2026-11-24",
}
"""Messages by pydantic's type of error; any other type is `is not valid`."""


def _path(detail: ErrorDetails) -> tuple[str | int, ...]:
    """Return the path of a rejected field; pydantic itself leaves out the name of a union's discriminator."""
    if detail["type"].startswith("union_tag"):
        return (*detail["loc"], detail["ctx"]["discriminator"].strip("'"))
    return detail["loc"]


def _message(detail: ErrorDetails) -> str:
    context: dict[str, Any] = detail.get("ctx", {})
    if detail["type"] in {"value_error", "assertion_error"}:
        return str(context["error"])  # The message of one of our own validators.
    return _MESSAGES.get(detail["type"], "is not valid").format_map(context)
