"""Products over HTTP: requests, responses, and who sees which fields (api.md, fine print)."""

from dataclasses import dataclass
from typing import Final

from multidict import CIMultiDict
from pydantic import Field, RootModel

from vitrina.api.http.body import JSON
from vitrina.api.http.pagination import PageOf, PageQuery
from vitrina.api.http.responses import Resource, render
from vitrina.api.http.validation import BodyModel
from vitrina.api.schemas.fields import Currency, Description, Line, Moment, Money, Price, Sku, Time, absent
from vitrina.domain.money import DEFAULT_CURRENCY
from vitrina.domain.products import Action, Product
from vitrina.domain.users import PRODUCT_MANAGERS, Principal

REVALIDATED: Final = {"Cache-Control": "no-cache", "Vary": "Authorization"}
"""A version has the same tag for everyone, but admins see more of it: only anonymous responses may be cached."""


class ProductCreate(BodyModel):
    """A new product."""

    sku: Sku
    name: Line
    brand: Line
    price: Price
    currency: Currency = DEFAULT_CURRENCY
    description: Description | None = None


class ProductPut(BodyModel):
    """A whole product but its SKU, which is in the path: a field that is left out gets its default."""

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


class DeletedProductPage(PageOf[DeletedProduct]):
    """Deleted products, the newest deletion first."""


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


class HistoryPage(PageOf[ChangeEntry]):
    """A product's changes, the newest first."""


class FeedEntry(ChangeEntry):
    """One change of any product. `sku` is the product's after the change, of a deleted one its last."""

    id: str = Field(description="Names the change for ever.")
    product_id: str
    sku: str


class FeedPage(PageOf[FeedEntry]):
    """Changes, the oldest first. `next_cursor` is where to go on, also after the last change and after none."""

    next_cursor: str


class ChangeFeedQuery(PageQuery):
    """Parameters of the feed of changes."""

    since: Moment | None = Field(
        None, alias="from", description="Changes of this time or later, without a cursor; from the oldest by default."
    )


class PriceEntry(Resource):
    """A price and when it was in force; `to` is null for today's."""

    price: Money
    currency: str
    since: Time = Field(serialization_alias="from")
    until: Time | None = Field(serialization_alias="to")


class PricePage(PageOf[PriceEntry]):
    """Prices, newest first, and the lowest prices that shops must state (Directive 98/6/EC, article 6a).

    Both are in the currency of the price in force; prices in other currencies are not compared with it. A product that
    was deleted and restored kept its price in between.
    """

    lowest_last_30_days: Money = Field(description="The lowest price in force in the 30 days before now.")
    lowest_30_days_before_reduction: Money | None = Field(
        description="If the price in force is lower than the one before it, the lowest price in the 30 days before it "
        "began; null for a first price, a rise and a change of currency. Of successive reductions the last one counts."
    )


@dataclass(frozen=True, slots=True)
class RenderedProduct:
    """A product as anonymous readers get it by its id, ready to be sent. Copy `headers` before you change them."""

    body: bytes
    headers: CIMultiDict[str]


def sees_all(viewer: Principal | None) -> bool:
    """Return whether `viewer` sees deleted products, and who made each change."""
    return viewer is not None and viewer.role in PRODUCT_MANAGERS


def product_resource(product: Product, viewer: Principal | None) -> PublicProduct:
    """Return the product with the fields that `viewer` may see."""
    if not sees_all(viewer):
        return PublicProduct.model_validate(product)
    return (ManagedProduct if product.deleted_at is None else DeletedProduct).model_validate(product)


def rendered_product(product: Product) -> RenderedProduct:
    """Return the response for anonymous readers, whose caches must revalidate it each time (R11)."""
    headers = CIMultiDict({**REVALIDATED, "Content-Type": JSON, "ETag": f'"{product.version}"'})
    return RenderedProduct(render(product_resource(product, None)), headers)
