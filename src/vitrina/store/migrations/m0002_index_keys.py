"""0002: sets the index keys of products and accounts to those that `keys.py` derives from their attributes.

Run it again (`vitrina table migrate --again 2`) after each change of the templates of index keys.
"""

from typing import Final

from vitrina.store.codecs.accounts import user_from, user_item
from vitrina.store.codecs.products import product_from, product_item
from vitrina.store.items import Item, ProductItem, UserItem
from vitrina.store.migrations.ledger import Ledger
from vitrina.store.operations import Update
from vitrina.store.table import ConditionFailed, Table

NAME: Final = "index keys"
_INDEX_KEYS: Final = (Item.listing, Item.listing_group, Item.by_time, Item.by_name, Item.by_price)


async def run(table: Table, ledger: Ledger) -> None:
    """Derive the keys and write those that differ, under a condition on the item's version."""

    async def visit(item: Item | None) -> bool:
        # A concurrent writer may be an older release, which wrote older keys: so check what it wrote too.
        while isinstance(item, ProductItem | UserItem):
            update = _correction(item)
            if update is None:
                return False
            try:
                await table.update(update)
            except ConditionFailed as failure:
                item = failure.item
            else:
                return True
        return False

    await ledger.sweep(visit, only=Item.type.is_in(ProductItem, UserItem))


def _correction(item: ProductItem | UserItem) -> Update | None:
    fresh = product_item(product_from(item)) if isinstance(item, ProductItem) else user_item(user_from(item))
    actions = []
    for attribute in _INDEX_KEYS:
        before, after = (getattr(one, attribute.attr_name) for one in (item, fresh))
        if before != after:
            actions.append(attribute.remove() if after is None else attribute.set(after))
    if not actions:
        return None
    return Update(item.key, actions, type(item).version == item.version)
