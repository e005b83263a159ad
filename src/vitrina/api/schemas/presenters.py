"""From the domain's values to answers: who sees what is decided here (api.md, fine print)."""

from dataclasses import dataclass
from typing import Final

from multidict import CIMultiDict

from vitrina.api.http.body import JSON
from vitrina.api.http.responses import render
from vitrina.api.schemas.notifications import (
    NotificationPreferences,
    NotificationResource,
    NotifiedActor,
    NotifiedProduct,
)
from vitrina.api.schemas.resources import (
    ChangeEntry,
    DeletedProduct,
    FieldChanged,
    ManagedProduct,
    PriceEntry,
    PublicProduct,
    SessionResource,
    UserResource,
)
from vitrina.domain.notices import Notice, NoticePreferences
from vitrina.domain.products import Change, PricePeriod, Product
from vitrina.domain.users import PRODUCT_MANAGERS, Principal, Session, User


def sees_all(viewer: Principal | None) -> bool:
    """Say whether `viewer` sees deleted products, and who did what."""
    return viewer is not None and viewer.role in PRODUCT_MANAGERS


REVALIDATED: Final = {"Cache-Control": "no-cache", "Vary": "Authorization"}
"""A version has one tag for all, but admins see more of it: what a cache keeps is for the anonymous alone."""


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """A product as anonymous readers get it, ready to be sent; `headers` are to be copied."""

    body: bytes
    headers: CIMultiDict[str]


def cached_product(value: Product) -> CachedAnswer:
    """Return a product ready to be sent to anonymous readers, who must ask again each time (R11)."""
    headers = CIMultiDict({**REVALIDATED, "Content-Type": JSON, "ETag": f'"{value.version}"'})
    return CachedAnswer(render(product(value, None)), headers)


def product(value: Product, viewer: Principal | None) -> PublicProduct:
    """Return a product as `viewer` sees it."""
    if not sees_all(viewer):
        return PublicProduct.model_validate(value, from_attributes=True)
    if value.deleted_at is None:
        return ManagedProduct.model_validate(value, from_attributes=True)
    return DeletedProduct.model_validate(value, from_attributes=True)


def user(value: User) -> UserResource:
    """Return an account."""
    return UserResource.model_validate(value, from_attributes=True)


def session(value: Session, current: str) -> SessionResource:
    """Return a sign-in."""
    return SessionResource(
        id=value.id,
        user_agent=value.user_agent,
        created_at=value.created_at,
        refreshed_at=value.refreshed_at,
        expires_at=value.expires_at,
        current=value.id == current,
    )


def change(value: Change) -> ChangeEntry:
    """Return a change."""
    fields = {name: FieldChanged(before=moved.before, after=moved.after) for name, moved in value.changes.items()}
    return ChangeEntry(version=value.version, action=value.action, at=value.at, by=value.by, changes=fields)


def price(value: PricePeriod) -> PriceEntry:
    """Return a price."""
    return PriceEntry.model_validate(value, from_attributes=True)


def notification(value: Notice) -> NotificationResource:
    """Return a notice."""
    change = value.change
    return NotificationResource(
        id=value.id,
        product=NotifiedProduct(id=change.product_id, sku=change.sku, name=change.name),
        old_price=change.old_price,
        new_price=change.price,
        old_currency=change.old_currency,
        currency=change.currency,
        changed_by=NotifiedActor(id=change.changed_by, name=value.changed_by_name),
        changed_at=change.changed_at,
        request_id=change.request_id,
        read_at=value.read_at,
    )


def notification_preferences(value: NoticePreferences) -> NotificationPreferences:
    """Return how notices are mailed."""
    return NotificationPreferences.model_validate(value, from_attributes=True)
