"""Integrity constraints: which dependent items each owner must have, and which owner each dependent item names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pynamodb.expressions.condition import Condition

from vitrina.store import keys
from vitrina.store.codecs.accounts import email_claim
from vitrina.store.codecs.products import deletion_marker, sku_claim
from vitrina.store.items import DeletionItem, EmailItem, Item, ProductItem, SkuItem, UserItem
from vitrina.store.keys import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityConstraint:
    """Ties a dependent item (a claim, a marker) to its owner; the stores write both in one transaction.

    `build` returns the dependent item that an owner must have, None if it must have none. `attributes` are those in
    which a stored dependent item must agree with it, the owner's id first.
    """

    name: str
    owner: type[Item]
    dependent: type[Item]
    build: Callable[[Any], Item | None]
    attributes: tuple[str, ...]
    owner_key: Callable[[Any], Key]

    def expected(self, owner: Item | None) -> Item | None:
        """Return the dependent item that must exist for `owner`, the item at an owner's key."""
        return self.build(owner) if isinstance(owner, self.owner) else None

    def matches(self, expected: Item, stored: Item | None) -> bool:
        """Return whether the stored item is the expected one."""
        return isinstance(stored, self.dependent) and all(
            getattr(stored, name) == getattr(expected, name) for name in self.attributes
        )

    def is_owned(self, dependent: Item, owner: Item | None) -> bool:
        """Return whether `owner` must have a dependent item with the key of this one."""
        expected = self.expected(owner)
        return expected is not None and expected.key == dependent.key

    def unchanged(self, dependent: Item) -> Condition:
        """Return the condition that a stored dependent item still names the same owner."""
        name = self.attributes[0]
        condition: Condition = getattr(self.dependent, name) == getattr(dependent, name)
        return condition


CONSTRAINTS: Final = (
    IntegrityConstraint(
        name="sku",
        owner=ProductItem,
        dependent=SkuItem,
        build=lambda product: sku_claim(product) if product.deleted_at is None else None,
        attributes=("product_id",),
        owner_key=lambda claim: keys.product(claim.product_id),
    ),
    IntegrityConstraint(
        name="deletion",
        owner=ProductItem,
        dependent=DeletionItem,
        build=lambda product: deletion_marker(product) if product.deleted_at is not None else None,
        attributes=("product_id", "original_sku"),
        owner_key=lambda marker: keys.product(marker.product_id),
    ),
    IntegrityConstraint(
        name="email",
        owner=UserItem,
        dependent=EmailItem,
        build=email_claim,
        attributes=("user_id",),
        owner_key=lambda claim: keys.user(claim.user_id),
    ),
)
