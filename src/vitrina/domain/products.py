"""Products and their changes (R5 to R8, R10)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self

from vitrina.clock import rfc3339
from vitrina.domain.money import fit
from vitrina.domain.text import fold

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


class PriceRange(NamedTuple):
    """Amounts from `least` to `most`, both included, in any currency."""

    least: Decimal
    most: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which live products are listed, and in which order. `brand` and `name_prefix` are folded texts.

    A `name_prefix` requires the order by name, `prices` one by price.
    """

    sort: Sort = Sort.NEWEST
    brand: str | None = None
    name_prefix: str | None = None
    prices: PriceRange | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is of the whole catalogue or a whole brand."""
        return self.name_prefix is None and self.prices is None


PlainProduct = Mapping[str, str | int | None]
"""A live product's fields as JSON has them: times by `clock.rfc3339`, the price with its currency's decimals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductDraft:
    """The editable fields of a product."""

    sku: str
    name: str
    brand: str
    description: str | None
    price: Decimal
    currency: str

    def editable(self) -> dict[str, Any]:
        """Return the editable fields by name."""
        return {name: getattr(self, name) for name in EDITABLE}


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

    def holds(self, sku: str) -> bool:
        """Return whether it is live and has this SKU, in any case."""
        return self.deleted_at is None and fold(self.sku) == fold(sku)

    def drafted(self) -> ProductDraft:
        """Return the editable fields as a draft."""
        return ProductDraft(**self.editable())

    def edited(self, draft: ProductDraft, *, by: str, at: datetime) -> Self:
        """Return the next version, with the values of `draft`."""
        return self._next(by, at, **draft.editable())

    def deleted(self, *, by: str, at: datetime) -> Self:
        """Return the deleted version, whose SKU is renamed so that another product can use it (R7).

        The new name contains colons, which no SKU does, so it never equals another product's SKU.
        """
        renamed = f"{self.sku}_delete_{rfc3339(at)}"
        return self._next(by, at, sku=renamed, original_sku=self.sku, deleted_at=at, deleted_by=by)

    def restored(self, sku: str, *, by: str, at: datetime) -> Self:
        """Return the live version of a deleted product, with the SKU `sku`."""
        return self._next(by, at, sku=sku, original_sku=None, deleted_at=None, deleted_by=None)

    def _next(self, by: str, at: datetime, **values: Any) -> Self:  # noqa: ANN401 - the constructor takes any field
        return replace(self, **values, version=self.version + 1, updated_at=at, updated_by=by)


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
    def id(self) -> str:
        """What names this change among those of all products."""
        return f"{self.product_id}.{self.version}"

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


def lowest_price(prices: Sequence[PricePeriod], since: datetime) -> Decimal:
    """Return the lowest price that was in force at `since` or later, in the currency of the newest one.

    `prices` are newest first, at least one. Other currencies can't be compared, and a deletion does not end a price.
    """
    comparable = (each for each in prices if each.currency == prices[0].currency)
    return min(each.price for each in comparable if each.until is None or each.until > since)


def is_reduced(prices: Sequence[PricePeriod]) -> bool:
    """Return whether the newest price is lower than the one before it, in the same currency; newest first."""
    return len(prices) > 1 and prices[0].currency == prices[1].currency and prices[0].price < prices[1].price


def lowest_before_reduction(prices: Sequence[PricePeriod], period: timedelta) -> Decimal | None:
    """Return the lowest price in the `period` before the newest price began (Directive 98/6/EC, article 6a(2)).

    None unless the newest price is lower than the one before it, in the same currency. Each of successive reductions is
    compared with the one before: to compare all of them with the price before the first is an option of member states
    (paragraph 5).
    """
    return lowest_price(prices[1:], prices[0].since - period) if is_reduced(prices) else None


def field_changes(before: ProductDraft | None, after: ProductDraft) -> dict[str, FieldChange]:
    """Return the fields that differ, in the order of `EDITABLE`; all that have a value if there was nothing before."""
    texts = ((name, _text(getattr(before, name, None)), _text(getattr(after, name))) for name in EDITABLE)
    return {name: FieldChange(before=old, after=new) for name, old, new in texts if old != new}


def describe(before: Product | None, after: Product, *, action: Action, request_id: str) -> Change:
    """Return the change between two versions of a product."""
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
        changes=field_changes(before, after),
    )


def price_periods(changes: Iterable[Change]) -> list[PricePeriod]:
    """Return the prices that were in force, oldest first, from all changes of a product, oldest first.

    A deletion ends a price, and a restoration begins one. Periods never overlap, even if the clocks of two processes
    differed: none begins before the one before it.
    """
    periods: list[PricePeriod] = []
    at = datetime.min.replace(tzinfo=UTC)
    for change in changes:
        at = max(at, change.at)
        price, live = fit(Decimal(change.price), change.currency), change.action is not Action.DELETED
        last = periods[-1] if periods and periods[-1].until is None else None
        if live and last and (last.price, last.currency) == (price, change.currency):
            continue
        if last:
            periods[-1] = replace(last, until=at)
        if live:
            periods.append(PricePeriod(price=price, currency=change.currency, since=at, until=None))
    return periods


def is_sku(text: str) -> bool:
    """Whether `text` is a valid SKU; dot segments are removed from the end of a path (RFC 3986 section 5.2.4)."""
    return _SKU.fullmatch(text) is not None and text not in {".", ".."}


def check_sku(text: str) -> str:
    """Return `text` if it is a valid SKU; raises ValueError otherwise."""
    if not is_sku(text):
        raise ValueError("is not a SKU: 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', but not '.' or '..' alone")
    return text


def _text(value: object) -> str | None:
    return None if value is None else str(value)
