"""Lists of products over HTTP: their parameters, and pages as they are sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Final, Self

import orjson
from pydantic import Field, model_validator

from vitrina.api.http.pagination import PageOf, PageQuery
from vitrina.api.schemas.fields import LINE_IN_QUERY, NO_CONTROLS, AnyPrice, Line, absent
from vitrina.api.schemas.products import ManagedProduct, PublicProduct, sees_all
from vitrina.domain.pages import MAX_LIMIT
from vitrina.domain.products import PlainProduct, Sort
from vitrina.domain.text import MAX_NAME
from vitrina.domain.users import Principal
from vitrina.errors import FieldError, ValidationFailed

_Text = Annotated[str, Field(json_schema_extra={"pattern": NO_CONTROLS})]
Names = Annotated[list[_Text], Field(max_length=MAX_LIMIT)]
"""Ids or SKUs; one of the wrong form is missing like any other that no product has."""
_COMBINED: Final = frozenset({"name_prefix", "price_min", "price_max", "id", "sku"})
"""Parameters that do not go with every other one."""
_PUBLIC: Final = tuple(PublicProduct.model_fields)
_MANAGED: Final = tuple(ManagedProduct.model_fields)


class ProductQuery(PageQuery):
    """Parameters of the product list: filters of a listing, or the products that are wanted by id or by SKU."""

    sort: Sort | None = Field(
        None, description="`newest` by default; `name` with a `name_prefix`, `price` with a price range."
    )
    brand: Annotated[Line, Field(json_schema_extra={"pattern": LINE_IN_QUERY})] | None = Field(
        None, description="Products of this brand alone, in any case; all by default."
    )
    name_prefix: Annotated[_Text, Field(min_length=1, max_length=MAX_NAME)] | None = Field(
        None, description="Products whose name begins so, in any case; all by default."
    )
    price_min: AnyPrice | None = Field(
        None,
        description="Products at this price or more, for a sort by price; 0 by default. Amounts are compared as "
        "numbers, whatever their currencies.",
    )
    price_max: AnyPrice | None = Field(None, description="Products at this price or less; no limit by default.")
    id: Names | None = Field(
        None,
        description="Up to 100 ids, each in a parameter of its own: one page of the live products among them, each "
        "once and in this order, which names the others in `missing`. Goes with no other parameter; none by default.",
    )
    sku: Names | None = Field(None, description="Up to 100 SKUs, in any case, as with `id`; none by default.")

    @property
    def order(self) -> Sort:
        """The order of the listing: what is asked, or what a filter implies."""
        if self.sort is not None:
            return self.sort
        if self.name_prefix is not None:
            return Sort.NAME
        return Sort.NEWEST if self.price_min is self.price_max is None else Sort.PRICE

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        """Raise ValidationFailed, which pydantic lets pass, for parameters that do not go with each other."""
        if self.model_fields_set.isdisjoint(_COMBINED):  # Most lists: pages come from a cache, so this counts.
            return self
        given = [name for name in type(self).model_fields if name in self.model_fields_set]
        prices = [name for name in ("price_min", "price_max") if name in given]
        refused: list[FieldError] = []
        if named := next((name for name in ("id", "sku") if name in given), None):
            others = [name for name in given if name not in {named, "limit"} and getattr(self, name) != ""]
            refused = [FieldError((name,), f"does not go with {named}") for name in others]
        elif self.name_prefix is not None and self.order is not Sort.NAME:
            refused = [FieldError(("name_prefix",), "goes with sort=name only")]
        elif prices and self.order not in {Sort.PRICE, Sort.PRICE_DESCENDING}:
            refused = [FieldError((name,), "goes with sort=price and sort=-price only") for name in prices]
        elif self.price_min is not None and self.price_max is not None and self.price_min > self.price_max:
            refused = [FieldError(("price_max",), "is less than price_min")]
        if refused:
            raise ValidationFailed(refused)
        return self


class ProductPage(PageOf[ManagedProduct | PublicProduct]):
    """A page of products, as whoever asks may see them."""

    missing: list[str] = Field(
        default_factory=absent, description="With `id` or `sku` only: those of which there is no live product."
    )


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """A page as JSON, and its entity tag: a digest of `body`, so it is strong (RFC 9110 section 8.8.1)."""

    body: bytes
    etag: str
    next_cursor: str | None

    @classmethod
    def of(cls, body: bytes, next_cursor: str | None) -> Self:
        """Return a page with its tag."""
        return cls(body, blake2b(body, digest_size=12).hexdigest(), next_cursor)


def rendered_page(
    products: Sequence[PlainProduct],
    next_cursor: str | None,
    viewer: Principal | None = None,
    missing: Sequence[str] | None = None,
) -> RenderedPage:
    """Return a page of live products with the fields that `viewer` may see: a `ProductPage`, without the models.

    Validating and dumping 25 models takes half a millisecond of CPU time, this a tenth of it.
    """
    names = _MANAGED if sees_all(viewer) else _PUBLIC
    items = [{name: product[name] for name in names} for product in products]
    page: dict[str, object] = {"items": items, "next_cursor": next_cursor}
    return RenderedPage.of(orjson.dumps(page if missing is None else page | {"missing": missing}), next_cursor)
