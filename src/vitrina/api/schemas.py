"""What goes in and what comes out, as pydantic models: the OpenAPI document is made from these."""

import unicodedata
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    WithJsonSchema,
)

from vitrina.api.body import JsonNumber
from vitrina.api.validation import BodyModel, QueryInt, QueryModel
from vitrina.clock import rfc3339
from vitrina.domain.money import DECIMALS, DEFAULT_CURRENCY, parse_amount
from vitrina.domain.pages import DEFAULT_LIMIT, MAX_LIMIT
from vitrina.domain.products import Action, Sort, check_sku
from vitrina.domain.text import MAX_DESCRIPTION, MAX_NAME, clean_line, clean_paragraphs
from vitrina.domain.users import MAX_EMAIL, Role, clean_email, typed_email
from vitrina.services import passwords

T = TypeVar("T")


def _read_price(value: object) -> object:
    """Take a price as text, so that no float is ever between the wire and the decimal."""
    if isinstance(value, JsonNumber):
        value = value.text
    elif type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise ValueError("is not a plain decimal number such as 19.99")  # noqa: TRY004 - pydantic's protocol
    return parse_amount(value)


def _check_currency(value: str) -> str:
    if value not in DECIMALS:
        raise ValueError("is not an ISO 4217 currency code such as USD")
    return value


def _check_password(value: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise ValueError("holds a control character")
    return value


def _absent() -> Any:  # noqa: ANN401 - stands for any field that was not sent
    return None


_PRICE_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]+)?$"}, {"type": "number", "minimum": 0}],
    "description": "A plain decimal, with no more decimals than its currency has.",
    "examples": ["19.99"],
}

Sku = Annotated[
    str,
    AfterValidator(check_sku),
    Field(
        description="Unique among live products, without regard to case.",
        json_schema_extra={"pattern": "^[A-Za-z0-9._-]{1,64}$", "not": {"enum": [".", ".."]}},
        examples=["LAMP-01"],
    ),
]
Line = Annotated[str, AfterValidator(clean_line), Field(json_schema_extra={"minLength": 1, "maxLength": MAX_NAME})]
Description = Annotated[
    str, AfterValidator(clean_paragraphs), Field(json_schema_extra={"minLength": 1, "maxLength": MAX_DESCRIPTION})
]
Price = Annotated[Decimal, BeforeValidator(_read_price), WithJsonSchema(_PRICE_SCHEMA, mode="validation")]
Currency = Annotated[
    str,
    AfterValidator(_check_currency),
    Field(description="ISO 4217.", json_schema_extra={"pattern": "^[A-Z]{3}$"}, examples=["USD"]),
]
Email = Annotated[
    str, AfterValidator(clean_email), Field(json_schema_extra={"format": "email", "maxLength": MAX_EMAIL})
]
NewPassword = Annotated[
    str,
    Field(min_length=passwords.SHORTEST, max_length=passwords.LONGEST, json_schema_extra={"format": "password"}),
    AfterValidator(_check_password),
]
Secret = Annotated[str, Field(min_length=1, max_length=4096, json_schema_extra={"format": "password"})]
Time = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-24T07:01:34.120Z"]}),
]
Money = Annotated[
    Decimal,
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$", "examples": ["19.99"]}),
]


class Resource(BaseModel):
    """An answer."""

    model_config = ConfigDict(frozen=True)


class PageOf(Resource, Generic[T]):
    """A page, full unless it is the last; `next_cursor` is null on the last."""

    items: list[T]
    next_cursor: str | None


class PageQuery(QueryModel):
    """Parameters of every page."""

    limit: Annotated[QueryInt, Field(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT
    cursor: str | None = None


# Products


class ProductCreate(BodyModel):
    """A new product."""

    sku: Sku
    name: Line
    brand: Line
    price: Price
    currency: Currency = DEFAULT_CURRENCY
    description: Description | None = None


class ProductPatch(BodyModel):
    """What to change of a product (RFC 7396): a field that is left out stays as it is."""

    sku: Sku = Field(default_factory=_absent)
    name: Line = Field(default_factory=_absent)
    brand: Line = Field(default_factory=_absent)
    price: Price = Field(default_factory=_absent)
    currency: Currency = Field(default_factory=_absent)
    description: Description | None = Field(default_factory=_absent)


class ProductRestore(BodyModel):
    """How to restore a product: under its own SKU unless another is given."""

    sku: Sku | None = None


class ProductQuery(PageQuery):
    """Parameters of the product list; `name_prefix` implies `sort=name`."""

    sort: Sort | None = None
    brand: Line | None = None
    name_prefix: Annotated[str, Field(min_length=1, max_length=MAX_NAME)] | None = None


class PublicProduct(Resource):
    """A product as everyone sees it."""

    id: str
    sku: str
    name: str
    brand: str
    description: str | None
    price: Money
    currency: str
    created_at: Time
    updated_at: Time
    version: int


class ManagedProduct(PublicProduct):
    """A product as admins see it."""

    created_by: str
    updated_by: str


class DeletedProduct(ManagedProduct):
    """A deleted product, which only admins see; `sku` is its new name."""

    deleted_at: Time
    deleted_by: str
    original_sku: str


class SeenProduct(RootModel[DeletedProduct | ManagedProduct | PublicProduct]):
    """A product as whoever asks may see it."""


class FieldChanged(Resource):
    """A field before and after; null is absence."""

    before: str | None = Field(serialization_alias="from")
    after: str | None = Field(serialization_alias="to")


class ChangeEntry(Resource):
    """One change of a product."""

    version: int
    action: Action
    at: Time
    by: str
    changes: dict[str, FieldChanged]


class PriceEntry(Resource):
    """A price and when it was in force; `to` is null for today's."""

    price: Money
    currency: str
    since: Time = Field(serialization_alias="from")
    until: Time | None = Field(serialization_alias="to")


class PricePage(PageOf[PriceEntry]):
    """Prices, newest first."""

    lowest_last_30_days: Money


# Accounts and sessions


class UserRegister(BodyModel):
    """A new account of one's own; its role is `user`."""

    email: Email
    password: NewPassword
    name: Line


class UserCreate(UserRegister):
    """A new account."""

    role: Literal["admin", "user"]


class UserPatch(BodyModel):
    """What to change of an account (RFC 7396): a field that is left out stays as it is."""

    email: Email = Field(default_factory=_absent)
    name: Line = Field(default_factory=_absent)
    role: Literal["admin", "user"] = Field(default_factory=_absent)
    password: NewPassword = Field(default_factory=_absent)
    active: bool = Field(default_factory=_absent)


class UserQuery(PageQuery):
    """Parameters of the list of accounts."""

    role: Role | None = None


class UserResource(Resource):
    """An account."""

    id: str
    email: str
    name: str
    role: Role
    active: bool
    created_at: Time
    updated_at: Time
    version: int


class SignIn(BodyModel):
    """Who signs in."""

    email: Annotated[str, AfterValidator(typed_email), Field(min_length=1, json_schema_extra={"maxLength": MAX_EMAIL})]
    password: Secret


class Refresh(BodyModel):
    """The refresh token to spend."""

    refresh_token: Secret


class PasswordChange(BodyModel):
    """One's own password, old and new."""

    current_password: Secret
    new_password: NewPassword


class TokenResource(Resource):
    """Tokens; lifetimes are in seconds."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - RFC 6750's name of the type
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    session_id: str


class SessionResource(Resource):
    """A sign-in; `current` is the one that asks."""

    id: str
    user_agent: str
    created_at: Time
    refreshed_at: Time
    expires_at: Time
    current: bool
