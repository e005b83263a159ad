# ruff: noqa: ANN401 - each field has its own type
"""Sample products and accounts, and short functions that write their versions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from vitrina.domain.notices import PriceChanged
from vitrina.domain.products import Action, Product, describe
from vitrina.domain.users import Role, Session, User
from vitrina.ids import new_id
from vitrina.store.products import ProductStore

HASH = "$2b$04$hash"
"""Stands for the hash of a password."""
START = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """Return a time some minutes after `START`."""
    return START + timedelta(minutes=minutes)


def product(**fields: Any) -> Product:
    """Return a new live product."""
    values: dict[str, Any] = {
        "id": new_id(),
        "sku": f"SKU-{new_id()[-12:]}",
        "name": "Lamp",
        "brand": "Brightwell",
        "description": None,
        "price": Decimal("19.99"),
        "currency": "USD",
        "version": 1,
        "created_at": START,
        "created_by": "ana",
    } | fields
    return Product(**{"updated_at": values["created_at"], "updated_by": values["created_by"]} | values)


def user(**fields: Any) -> User:
    """Return a new account."""
    values: dict[str, Any] = {
        "id": new_id(),
        "email": f"{new_id()[-12:]}@example.com",
        "name": "Uma",
        "role": Role.USER,
        "active": True,
        "session_epoch": 0,
        "version": 1,
        "created_at": START,
        "updated_at": START,
    }
    return User(**values | fields)


def session(of: User, **fields: Any) -> Session:
    """Return a new session of an account that expires in an hour."""
    values: dict[str, Any] = {
        "id": new_id(),
        "user_id": of.id,
        "epoch": of.session_epoch,
        "generation": 1,
        "user_agent": "Firefox",
        "created_at": START,
        "refreshed_at": START,
        "expires_at": at(60),
    }
    return Session(**values | fields)


def price_changed(minutes: float = 0, **fields: Any) -> PriceChanged:
    """Return the event of a price changed some minutes after the start."""
    values: dict[str, Any] = {
        "product_id": new_id(),
        "version": 2,
        "sku": "LAMP-01",
        "name": "Lamp",
        "old_price": "19.99",
        "old_currency": "USD",
        "price": "14.50",
        "currency": "USD",
        "changed_at": at(minutes),
        "changed_by": new_id(),
        "request_id": "test",
    }
    return PriceChanged(**values | fields)


async def create(store: ProductStore, **fields: Any) -> Product:
    """Write a new product and return it."""
    made = product(**fields)
    await store.create(made, describe(None, made, action=Action.CREATED, request_id="test"))
    return made


async def edit(store: ProductStore, before: Product, *, minutes: float = 1, **fields: Any) -> Product:
    """Write the next version of a product and return it."""
    after = before.edited(replace(before.drafted(), **fields), by="luis", at=at(minutes))
    await store.update(before, after, describe(before, after, action=Action.UPDATED, request_id="test"))
    return after


async def delete(store: ProductStore, before: Product, *, minutes: float = 1) -> Product:
    """Delete a product and return its deleted version."""
    after = before.deleted(by="luis", at=at(minutes))
    await store.delete(before, after, describe(before, after, action=Action.DELETED, request_id="test"))
    return after


async def restore(store: ProductStore, before: Product, sku: str | None = None, *, minutes: float = 2) -> Product:
    """Restore a deleted product and return it."""
    after = before.restored(sku or str(before.original_sku), by="luis", at=at(minutes))
    await store.restore(before, after, describe(before, after, action=Action.RESTORED, request_id="test"))
    return after
