"""Items that are there for another's sake: what each owner should have beside it, and whose each of them is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pynamodb.expressions.condition import Condition

from vitrina.store import keys
from vitrina.store.codecs import product_from
from vitrina.store.items import DeletionItem, EmailItem, Item, ProductItem, SkuItem, UserItem
from vitrina.store.keys import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityConstraint:
    """Ties a companion (a claim, a marker) to its owner; the transactions of the stores write both or none.

    `make` returns the companion that an owner should have, None for one that should have none; `says` lists the
    attributes that must match, the owner's id first.
    """

    what: str
    owner: type[Item]
    dependent: type[Item]
    make: Callable[[Any], Item | None]
    says: tuple[str, ...]
    owner_of: Callable[[Any], Key]

    def wanted(self, owner: Item | None) -> Item | None:
        """Return the companion that should be beside what is there for an owner."""
        return self.make(owner) if isinstance(owner, self.owner) else None

    def fits(self, wanted: Item, there: Item | None) -> bool:
        """Say whether a companion is there and says what it should."""
        return isinstance(there, self.dependent) and all(getattr(there, it) == getattr(wanted, it) for it in self.says)

    def holds(self, owner: Item | None, dependent: Item) -> bool:
        """Say whether an owner should have a companion of this key."""
        wanted = self.wanted(owner)
        return wanted is not None and key_of(wanted) == key_of(dependent)

    def still(self, dependent: Item) -> Condition:
        """Return the condition that a companion is still its owner's."""
        name = self.says[0]
        condition: Condition = getattr(self.dependent, name) == getattr(dependent, name)
        return condition


def key_of(item: Item) -> Key:
    """Return an item's key."""
    return Key(item.pk, item.sk)


def _sku(item: ProductItem) -> SkuItem | None:
    product = product_from(item)
    if product.deleted_at is not None:
        return None
    return SkuItem.keyed(keys.sku(product.sku), product_id=product.id)


def _deletion(item: ProductItem) -> DeletionItem | None:
    product = product_from(item)
    if product.deleted_at is None:
        return None
    return DeletionItem.keyed(
        keys.deletion(product.id),
        product_id=product.id,
        original_sku=product.original_sku,
        deleted_at=product.deleted_at,
        deleted_by=product.deleted_by,
    )


def _email(user: UserItem) -> EmailItem:
    return EmailItem.keyed(keys.email(user.email), user_id=user.id)


CONSTRAINTS: Final = (
    IntegrityConstraint(
        what="sku",
        owner=ProductItem,
        dependent=SkuItem,
        make=_sku,
        says=("product_id",),
        owner_of=lambda claim: keys.product(claim.product_id),
    ),
    IntegrityConstraint(
        what="deletion",
        owner=ProductItem,
        dependent=DeletionItem,
        make=_deletion,
        says=("product_id", "original_sku"),
        owner_of=lambda marker: keys.product(marker.product_id),
    ),
    IntegrityConstraint(
        what="email",
        owner=UserItem,
        dependent=EmailItem,
        make=_email,
        says=("user_id",),
        owner_of=lambda claim: keys.user(claim.user_id),
    ),
)
