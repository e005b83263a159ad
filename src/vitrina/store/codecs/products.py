"""Products, their changes and prices, and the items that depend on a product: SKU claim and deletion marker."""

from dataclasses import fields
from decimal import Decimal
from typing import Any

from vitrina import tracing
from vitrina.domain.money import fit
from vitrina.domain.products import Action, Change, FieldChange, PlainProduct, PricePeriod, Product
from vitrina.store import keys
from vitrina.store.items import ChangeItem, DeletionItem, PriceItem, ProductItem, RawItem, SkuItem


def product_item(product: Product) -> ProductItem:
    """Return the item of a product. A live one has the keys of six indexes, a deleted one those of one (R7)."""
    if product.deleted_at is None:
        listed = {
            "listing": keys.LIVE_PRODUCTS,
            "listing_group": keys.brand_group(product.brand),
            "by_time": keys.by_time(product.created_at, product.id),
            "by_name": keys.by_name(product.name, product.id),
            "by_price": keys.by_price(product.price, product.id),
        }
    else:
        listed = {"listing": keys.DELETED_PRODUCTS, "by_time": keys.by_time(product.deleted_at, product.id)}
    return ProductItem.keyed(
        keys.product(product.id),
        **_attributes(product),
        **listed,
    )


def product_from(item: ProductItem) -> Product:
    """Return the product of an item."""
    return Product(
        id=item.id,
        sku=item.sku,
        name=item.name,
        brand=item.brand,
        description=item.description,
        price=fit(item.price, item.currency),
        currency=item.currency,
        version=item.version,
        created_at=item.created_at,
        created_by=item.created_by,
        updated_at=item.updated_at,
        updated_by=item.updated_by,
        deleted_at=item.deleted_at,
        deleted_by=item.deleted_by,
        original_sku=item.original_sku,
    )


def plain_product(item: RawItem) -> PlainProduct:
    """Return the fields of a live product's item without a model of it, which takes 30 times as long.

    Items have times in the form of `PlainProduct`.
    """
    currency = item["currency"]["S"]
    return {
        "id": item["id"]["S"],
        "sku": item["sku"]["S"],
        "name": item["name"]["S"],
        "brand": item["brand"]["S"],
        "description": item["description"]["S"] if "description" in item else None,
        "price": str(fit(Decimal(item["price"]["N"]), currency)),
        "currency": currency,
        "created_at": item["created_at"]["S"],
        "updated_at": item["updated_at"]["S"],
        "version": int(item["version"]["N"]),
        "created_by": item["created_by"]["S"],
        "updated_by": item["updated_by"]["S"],
    }


def sku_claim(product: Product | ProductItem) -> SkuItem:
    """Return the item that claims the SKU of a live product (R6)."""
    return SkuItem.keyed(keys.sku(product.sku), product_id=product.id)


def deletion_marker(product: Product | ProductItem) -> DeletionItem:
    """Return the item that marks a deleted product (R7)."""
    return DeletionItem.keyed(
        keys.deletion(product.id),
        product_id=product.id,
        original_sku=product.original_sku,
        deleted_at=product.deleted_at,
        deleted_by=product.deleted_by,
    )


def change_item(change: Change) -> ChangeItem:
    """Return the item of a change.

    It has `old_price`, `old_currency` and `traceparent` only if the change moves the price (R9).
    """
    attributes = _attributes(change) | {
        "action": change.action.value,
        "changes": {name: {"from": moved.before, "to": moved.after} for name, moved in change.changes.items()},
    }
    if change.moves_price:
        price, currency = change.changes.get("price"), change.changes.get("currency")
        attributes["old_price"] = price.before if price else change.price
        attributes["old_currency"] = currency.before if currency else change.currency
        attributes["traceparent"] = tracing.traceparent()
    return ChangeItem.keyed(
        keys.change(change.product_id, change.version),
        feed=keys.feed(keys.feed_shard(change.product_id)),
        feed_position=keys.feed_position(change.at, change.product_id, change.version),
        **attributes,
    )


def change_from(item: ChangeItem) -> Change:
    """Return the change of an item."""
    values = {field.name: getattr(item, field.name) for field in fields(Change)} | {
        "action": Action(item.action),
        "changes": {name: FieldChange(before=moved["from"], after=moved["to"]) for name, moved in item.changes.items()},
    }
    return Change(**values)


def price_item(product: Product) -> PriceItem:
    """Return the item of the price that takes effect with this version of the product."""
    return PriceItem.keyed(
        keys.price(product.id, product.version),
        price=product.price,
        currency=product.currency,
        since=product.updated_at,
    )


def price_from(item: PriceItem, *, until: PriceItem | None) -> PricePeriod:
    """Return the period of a price. It ends when `until`, the next price, takes effect; None: it is in effect."""
    return PricePeriod(
        price=fit(item.price, item.currency),
        currency=item.currency,
        since=item.since,
        until=None if until is None else until.since,
    )


def _attributes(value: Product | Change) -> dict[str, Any]:
    """Return all fields of `value`, whose item has an attribute of the same name for each."""
    return {field.name: getattr(value, field.name) for field in fields(value)}
