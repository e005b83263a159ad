"""Products and their changes (R5 to R8, R10)."""

import re
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, Self

from vitrina.clock import rfc3339

_SKU: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
EDITABLE: Final = ("sku", "name", "brand", "description", "price", "currency")
"""The fields that an admin may change. To write the same values again changes nothing (R8)."""


class Action(StrEnum):
    """The kind of a change of a product."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"
    RESTORED = "restored"


class Sort(StrEnum):
    """The orders of the product list."""

    NEWEST = "newest"
    NAME = "name"
    PRICE = "price"
    PRICE_DESCENDING = "-price"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductDraft:
    """The editable fields of a product."""

    sku: str
    name: str
    brand: str
    description: str | None
    price: Decimal
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Product(ProductDraft):
    """A product; `created_by`, `updated_by` and `deleted_by` are user ids. It is live while `deleted_at` is None."""

    id: str
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    deleted_at: datetime | None = None
    deleted_by: str | None = None
    original_sku: str | None = None

    def drafted(self) -> ProductDraft:
        """Return the editable fields."""
        return ProductDraft(**{field.name: getattr(self, field.name) for field in fields(ProductDraft)})

    def edited(self, draft: ProductDraft, *, by: str, at: datetime) -> Self:
        """Return the next version, with the values of `draft`."""
        values = {field.name: getattr(draft, field.name) for field in fields(ProductDraft)}
        return replace(self, **values, version=self.version + 1, updated_at=at, updated_by=by)

    def deleted(self, *, by: str, at: datetime) -> Self:
        """Return the deleted version, whose SKU is renamed so that another product can use it (R7).

        The new name contains colons, which no SKU does, so it never equals another product's SKU.
        """
        return replace(
            self,
            sku=f"{self.sku}_delete_{rfc3339(at)}",
            original_sku=self.sku,
            deleted_at=at,
            deleted_by=by,
            updated_at=at,
            updated_by=by,
            version=self.version + 1,
        )

    def restored(self, sku: str, *, by: str, at: datetime) -> Self:
        """Return the live version of a deleted product, with the SKU `sku`."""
        return replace(
            self,
            sku=sku,
            original_sku=None,
            deleted_at=None,
            deleted_by=None,
            updated_at=at,
            updated_by=by,
            version=self.version + 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field before and after a change, as text; None if it has no value."""

    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a product: the audit entry (R10) and, on the table's stream, the event (R9).

    `sku`, `name`, `price` and `currency` are the values after the change.
    """

    product_id: str
    version: int
    action: Action
    at: datetime
    by: str
    request_id: str
    sku: str
    name: str
    price: str
    currency: str
    changes: dict[str, FieldChange]

    @property
    def moves_price(self) -> bool:
        """Whether the price or its currency was updated; the first price of a product does not count."""
        return self.action is Action.UPDATED and bool({"price", "currency"} & self.changes.keys())


@dataclass(frozen=True, slots=True, kw_only=True)
class PricePeriod:
    """A price and the time in which it was valid; `until` is None for the current price."""

    price: Decimal
    currency: str
    since: datetime
    until: datetime | None


def describe(before: Product | None, after: Product, *, action: Action, request_id: str) -> Change:
    """Return the change between two versions of a product, field by field."""
    changes: dict[str, FieldChange] = {}
    for name in EDITABLE:
        old, new = _text(getattr(before, name, None)), _text(getattr(after, name))
        if old != new:
            changes[name] = FieldChange(before=old, after=new)
    return Change(
        product_id=after.id,
        version=after.version,
        action=action,
        at=after.updated_at,
        by=after.updated_by,
        request_id=request_id,
        sku=after.original_sku or after.sku,
        name=after.name,
        price=str(after.price),
        currency=after.currency,
        changes=changes,
    )


def is_sku(text: str) -> bool:
    """Whether `text` is a valid SKU; dot segments are removed from the end of a path (RFC 3986 section 5.2.4)."""
    return _SKU.fullmatch(text) is not None and text not in {".", ".."}


def check_sku(text: str) -> str:
    """Return `text` if it is a valid SKU; raises ValueError otherwise."""
    if not is_sku(text):
        raise ValueError("is not a SKU: 1 to 64 letters A-Z and a-z, digits, '.', '_' and '-', and more than dots")
    return text


def _text(value: object) -> str | None:
    return None if value is None else str(value)
