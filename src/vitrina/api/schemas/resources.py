"""What goes in and what comes out, as pydantic models: the OpenAPI document is made from these."""

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel

from vitrina.api.http.validation import BodyModel, QueryInt, QueryModel
from vitrina.api.schemas.fields import (
    Currency,
    Description,
    Email,
    Line,
    Money,
    NewPassword,
    Price,
    Secret,
    Sku,
    Time,
    absent,
)
from vitrina.domain.money import DEFAULT_CURRENCY
from vitrina.domain.pages import DEFAULT_LIMIT, MAX_LIMIT
from vitrina.domain.products import Action, Sort
from vitrina.domain.text import MAX_NAME
from vitrina.domain.users import MAX_EMAIL, Role, typed_email

T = TypeVar("T")


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

    sku: Sku = Field(default_factory=absent)
    name: Line = Field(default_factory=absent)
    brand: Line = Field(default_factory=absent)
    price: Price = Field(default_factory=absent)
    currency: Currency = Field(default_factory=absent)
    description: Description | None = Field(default_factory=absent)


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

    email: Email = Field(default_factory=absent)
    name: Line = Field(default_factory=absent)
    role: Literal["admin", "user"] = Field(default_factory=absent)
    password: NewPassword = Field(default_factory=absent)
    active: bool = Field(default_factory=absent)


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
