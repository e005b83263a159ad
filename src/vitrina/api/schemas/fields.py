"""Types of fields: how each is written in JSON, validated and described (api.md, conventions and fine print)."""

import re
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from vitrina.api.http.body import JsonNumber
from vitrina.clock import rfc3339
from vitrina.domain.money import MAX_INTEGER_DIGITS, MOST_DECIMALS, check_currency, parse_amount
from vitrina.domain.products import check_sku
from vitrina.domain.text import MAX_DESCRIPTION, MAX_NAME, clean_line, clean_paragraphs
from vitrina.domain.users import ENCODED_WORD, MAX_EMAIL, clean_account_name, clean_email
from vitrina.services.accounts import passwords

_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII | re.IGNORECASE,
)
"""RFC 3339 section 5.6."""


def _read_price(value: object) -> object:
    """Parse a price from its text, so that it is never a float."""
    if isinstance(value, JsonNumber):
        value = value.text
    elif type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise ValueError("is not a plain decimal number such as 19.99")  # noqa: TRY004 - pydantic's protocol
    return parse_amount(value)


def _read_time(value: object) -> object:
    """Accept a time with its offset alone: pydantic itself also accepts days, and seconds since 1970."""
    if value is None or isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError("must be a time such as 2026-11-24T07:01:34Z; write the + of an offset as %2B")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is no time of the calendar") from None


def _read_whole_number(value: object) -> object:
    """Accept `182.0` too, which is an integer for JSON Schema (draft 2020-12, validation section 6.1.1)."""
    return int(value) if isinstance(value, JsonNumber) and value.is_integer() and abs(value) < 1 << 53 else value


def _check_decimals(value: Decimal) -> Decimal:
    if -int(value.as_tuple().exponent) > MOST_DECIMALS:
        raise ValueError(f"has more than {MOST_DECIMALS} decimals, the most that a currency has")
    return value


def refuse_controls(value: str) -> str:
    """Return a text that has no control character; raises ValueError if it has one, line breaks and tabs included."""
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise ValueError("holds a control character")
    return value


def _clean_description(value: str) -> str | None:
    return clean_paragraphs(value) if value.strip() else None  # Front ends send an empty string for an empty field.


def absent() -> Any:  # noqa: ANN401 - stands for any field that was not sent
    """Return the value of a field that was not sent; `model_fields_set` tells which were."""
    return None


_LINE: Final = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f\u2028\u2029]*"
"""The pattern of a line that is not blank; no pattern can say which characters `clean_line` calls visible."""
LINE_IN_QUERY: Final = f"^{_LINE}$"
NO_CONTROLS: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
_PRICE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": rf"^0*[0-9]{{1,{MAX_INTEGER_DIGITS}}}(\.[0-9]+)?$"},
        {"type": "number", "minimum": 0, "exclusiveMaximum": 10**MAX_INTEGER_DIGITS},
    ],
    "description": "A plain decimal, with no more decimals than its currency has.",
    "examples": ["19.99"],
}

SKU_SCHEMA: Final[dict[str, Any]] = {"pattern": "^[A-Za-z0-9._-]{1,64}$", "not": {"enum": [".", ".."]}}

Sku = Annotated[
    str,
    AfterValidator(check_sku),
    Field(
        description="Unique among live products, without regard to case.",
        json_schema_extra=SKU_SCHEMA,
        examples=["LAMP-01"],
    ),
]
_LINE_SCHEMA: dict[str, Any] = {
    "minLength": 1, "maxLength": MAX_NAME, "pattern": rf"^[\t-\r]*{_LINE}[\t-\r]*$",
}  # fmt: skip
Line = Annotated[str, AfterValidator(clean_line), Field(json_schema_extra=_LINE_SCHEMA)]
AccountName = Annotated[
    str,
    AfterValidator(clean_account_name),
    Field(json_schema_extra=_LINE_SCHEMA | {"not": {"pattern": ENCODED_WORD.pattern}}),
]
Description = Annotated[
    str,
    AfterValidator(_clean_description),
    Field(
        json_schema_extra={
            "maxLength": MAX_DESCRIPTION, "pattern": r"^[\t-\r]*[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*[\t-\r]*$",
        }
    ),
]  # fmt: skip
Price = Annotated[Decimal, BeforeValidator(_read_price), WithJsonSchema(_PRICE_SCHEMA, mode="validation")]
WholeNumber = Annotated[int, BeforeValidator(_read_whole_number)]
AnyPrice = Annotated[
    Decimal,
    BeforeValidator(_read_price),
    AfterValidator(_check_decimals),
    WithJsonSchema({
        "type": "string", "pattern": rf"^0*[0-9]{{1,{MAX_INTEGER_DIGITS}}}(\.[0-9]{{1,{MOST_DECIMALS}}}0*)?$",
        "examples": ["19.99"],
    }),
]  # fmt: skip
"""A price in any currency, as a parameter."""
Currency = Annotated[
    str,
    AfterValidator(check_currency),
    Field(description="ISO 4217.", json_schema_extra={"pattern": "^[A-Z]{3}$"}, examples=["USD"]),
]
Email = Annotated[
    str,
    AfterValidator(clean_email),
    Field(
        description="ASCII before the @. Domains are compared by IDNA 2008, in Unicode or as `xn--…`.",
        json_schema_extra={"format": "email", "maxLength": MAX_EMAIL},
        examples=["ana@example.com"],
    ),
]
NewPassword = Annotated[
    str,
    Field(
        min_length=passwords.SHORTEST,
        max_length=passwords.LONGEST,
        json_schema_extra={"format": "password", "pattern": NO_CONTROLS},
    ),
    AfterValidator(refuse_controls),
]
Secret = Annotated[
    str,
    Field(min_length=1, max_length=4096, json_schema_extra={"format": "password", "pattern": NO_CONTROLS}),
    AfterValidator(refuse_controls),
]
Time = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-24T07:01:34.120Z"]}),
]
Moment = Annotated[
    datetime,
    BeforeValidator(_read_time),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-24T07:01:34.120Z"]}),
]
"""A time in a request, in UTC."""
Money = Annotated[
    Decimal,
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$", "examples": ["19.99"]}),
]
