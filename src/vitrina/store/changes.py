"""Price changes as events (R9), from the stream's image of a change item or from the table."""

from datetime import UTC
from typing import Any

from vitrina.domain.notices import PriceChanged
from vitrina.store import keys
from vitrina.store.items import ChangeItem, Item, RawItem
from vitrina.store.operations import raw_key
from vitrina.store.table import Table


class ChangeUnreadable(Exception):
    """A change item is malformed. `reason` quotes none of its contents."""

    def __init__(self, product_id: str, version: int, reason: str) -> None:
        super().__init__(f"change {product_id}-{version}: {reason}")
        self.product_id = product_id
        self.version = version
        self.reason = reason


class ChangeStore:
    """Reads single changes."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def price_changed(self, product_id: str, version: int) -> PriceChanged | None:
        """Read a change as an event; None if there is none or it changed no price. Raises ChangeUnreadable."""
        key = keys.change(product_id, version)
        found = await self._table.get_many_raw([key], consistent=True)
        if not found or "old_price" not in found[0]:
            return None
        return price_changed_from(raw_key(key), found[0])


def price_changed_from(key: RawItem, image: RawItem) -> PriceChanged:
    """Return the event of a price change from the key and the new image of its stream record.

    Raises ChangeUnreadable, and ValueError if `key` is not the key of a change.
    """
    product_id, version = keys.named_change(keys.Key(key["pk"]["S"], key["sk"]["S"]))
    try:
        item = Item.from_raw_data(image)
    except Exception as error:
        # PynamoDB passes on any exception of an attribute's class or of the standard library.
        raise ChangeUnreadable(product_id, version, type(error).__name__) from error
    if not isinstance(item, ChangeItem):
        raise ChangeUnreadable(product_id, version, "not a change item")
    return _price_changed(item, product_id, version)


def _price_changed(item: ChangeItem, product_id: str, version: int) -> PriceChanged:
    """Return the event of an item. PynamoDB does not report missing attributes."""
    fields: dict[str, Any] = {
        "sku": item.sku,
        "name": item.name,
        "old_price": item.old_price,
        "old_currency": item.old_currency,
        "price": item.price,
        "currency": item.currency,
        "changed_at": item.at,
        "changed_by": item.by,
        "request_id": item.request_id,
    }
    if missing := [name for name, value in fields.items() if value is None]:
        raise ChangeUnreadable(product_id, version, f"without {', '.join(missing)}")
    fields["changed_at"] = fields["changed_at"].astimezone(UTC)
    return PriceChanged(product_id=product_id, version=version, **fields)
