"""Integrity constraints: which dependent items each owner must have, which owner each names, and what violates that.

Each check examines a suspected violation at one moment, and returns its repair. A repair never takes a dependent item
from its rightful owner: it writes a missing item only where none exists or where the existing one belongs to nobody,
and deletes only items that belong to nobody. Its transaction requires that nothing has changed since.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from pynamodb.expressions.condition import Condition

from vitrina.domain.users import Role
from vitrina.errors import Conflict
from vitrina.store import keys
from vitrina.store.codecs.accounts import email_claim, password_item
from vitrina.store.codecs.products import deletion_marker, sku_claim
from vitrina.store.findings import Diagnosis, Finding, Problem
from vitrina.store.items import (
    DeletionItem,
    EmailItem,
    Item,
    PasswordItem,
    ProductItem,
    SkuItem,
    SuperAdminsItem,
    UserItem,
)
from vitrina.store.keys import Key
from vitrina.store.operations import ABSENT, Check, Delete, Put, Query, Scan, Step, Write
from vitrina.store.paging import every
from vitrina.store.table import Table

_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityConstraint:
    """Ties a dependent item (a claim, a marker) to its owner; the stores write both in one transaction.

    `build` returns the dependent item that an owner must have, None if it must have none. `attributes` are those in
    which a stored dependent item must agree with it, the owner's id first. `tolerated` returns the keys of further
    dependent items that an owner may have. `remedy` is what to do about a missing item that cannot be rebuilt.
    """

    name: str
    owner: type[Item]
    dependent: type[Item]
    build: Callable[[Any], Item | None]
    attributes: tuple[str, ...]
    owner_key: Callable[[Any], Key]
    tolerated: Callable[[Any], Collection[Key]] = lambda _: ()
    remedy: str = ""

    def expected(self, owner: Item | None) -> Item | None:
        """Return the dependent item that must exist for `owner`, the item at an owner's key."""
        return self.build(owner) if isinstance(owner, self.owner) else None

    def matches(self, expected: Item, stored: Item | None) -> bool:
        """Return whether the stored item is the expected one."""
        return isinstance(stored, self.dependent) and all(
            getattr(stored, name) == getattr(expected, name) for name in self.attributes
        )

    def is_owned(self, dependent: Item, owner: Item | None) -> bool:
        """Return whether `owner` must or may have a dependent item with the key of this one."""
        if not isinstance(owner, self.owner):
            return False
        expected = self.expected(owner)
        return dependent.key in self.tolerated(owner) or (expected is not None and dependent.key == expected.key)

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
        tolerated=lambda user: keys.emails(user.email),  # one of before migration 3, or of a clash that it reported
    ),
    IntegrityConstraint(
        name="password",
        owner=UserItem,
        dependent=PasswordItem,
        build=lambda user: password_item(user.id, "") if user.password_hash is None else None,
        attributes=("user_id",),
        owner_key=lambda password: keys.user(password.user_id),
        tolerated=lambda user: (keys.password(user.id),),  # an older release has written the account since
        remedy="nobody can sign in to the account until a super_admin sets a new password",
    ),
)


@dataclass(frozen=True, slots=True)
class MissingDependent:
    """An owner without its dependent item at `dependent_key`, or with one that does not match."""

    constraint: IntegrityConstraint
    owner_key: Key
    dependent_key: Key

    async def examine(self, table: Table) -> Diagnosis | None:
        """Read the owner and the dependent item."""
        found = await table.snapshot([self.owner_key, self.dependent_key])
        owner, stored = found.get(self.owner_key), found.get(self.dependent_key)
        expected = self.constraint.expected(owner)
        # If the owner has changed since, its transaction has written the new dependent item.
        if owner is None or expected is None or expected.key != self.dependent_key:
            return None
        if self.constraint.matches(expected, stored):
            return None
        return await self._diagnose(table, owner, expected, stored)

    async def _diagnose(self, table: Table, owner: Item, expected: Item, stored: Item | None) -> Diagnosis:
        place, owner_key = _text(self.dependent_key), self.owner_key
        checks = {owner_key: _unchanged(owner_key, owner)}
        detail = f"{_text(owner_key)} has no {place}"
        if self.constraint.remedy:
            detail += f": {self.constraint.remedy}"
            return Diagnosis(Finding(what=self.constraint.name, problem=Problem.MISSING, detail=detail))
        condition: Condition = ABSENT
        if stored is not None:
            holder_key = self.constraint.owner_key(stored)
            holder = await table.get(holder_key, consistent=True)
            if holder_key != owner_key and self.constraint.is_owned(stored, holder):
                detail = f"{place} is {_text(holder_key)}'s, and {_text(owner_key)} claims it too"
                return Diagnosis(Finding(what=self.constraint.name, problem=Problem.DISPUTED, detail=detail))
            checks.setdefault(holder_key, _unchanged(holder_key, holder))
            condition = self.constraint.unchanged(stored)
        finding = Finding(what=self.constraint.name, problem=Problem.MISSING, detail=detail)
        return Diagnosis(finding, _steps(*checks.values(), Put(expected, condition)))


@dataclass(frozen=True, slots=True)
class OrphanedItem:
    """A dependent item whose owner does not exist or must not have it."""

    constraint: IntegrityConstraint
    dependent: Item

    @property
    def owner_key(self) -> Key:
        """The key of the owner that the dependent item names."""
        return self.constraint.owner_key(self.dependent)

    async def examine(self, table: Table) -> Diagnosis | None:
        """Read the dependent item and the owner that it names."""
        key, owner_key = self.dependent.key, self.owner_key
        found = await table.snapshot([key, owner_key])
        dependent, owner = found.get(key), found.get(owner_key)
        # If it names another owner by now, that owner's transaction has claimed it.
        if dependent is None or self.constraint.owner_key(dependent) != owner_key:
            return None
        if self.constraint.is_owned(dependent, owner):
            return None
        fact = "is not there" if owner is None else "does not have it"
        detail = f"{_text(key)} names {_text(owner_key)}, which {fact}"
        finding = Finding(what=self.constraint.name, problem=Problem.ORPHAN, detail=detail)
        delete = Delete(key, self.constraint.unchanged(dependent))
        return Diagnosis(finding, _steps(_unchanged(owner_key, owner), delete))


@dataclass(frozen=True, slots=True)
class CountMismatch:
    """A count of super_admins that differs from their number; `known` are the keys of those that a scan has found."""

    known: Collection[Key]

    async def examine(self, table: Table) -> Diagnosis | None:
        """Count the super_admins between two reads of the stored count.

        Each change of a super_admin's role changes the count in the same transaction, so an unchanged count is a
        sufficient condition for the repair. The known and the listed ones may lack one that was made after the scan
        has passed its place and that the index does not have yet. So a count that differs is proven by a scan.
        """
        before = await table.get(keys.SUPER_ADMINS, consistent=True)
        number = await self._known_number(table)
        if number != _members(before):
            number = await _stored_number(table)
        after = await table.get(keys.SUPER_ADMINS, consistent=True)
        members = _members(after)
        if members != _members(before):
            raise Conflict
        if members == number:
            return None
        detail = f"{_text(keys.SUPER_ADMINS)} says {members} where there are {number}"
        finding = Finding(what="super_admins", problem=Problem.MISCOUNTED, detail=detail)
        condition = ABSENT if after is None else SuperAdminsItem.members == members
        return Diagnosis(finding, _steps(Put(SuperAdminsItem.keyed(keys.SUPER_ADMINS, members=number), condition)))

    async def _known_number(self, table: Table) -> int:
        group = Item.listing_group == keys.role_group(Role.SUPER_ADMIN)
        listed = await every(table, Query(condition=group, index=keys.GROUP_BY_TIME, fresh=True))
        found = await table.get_many([*self.known, *(item.key for item in listed)], consistent=True)
        return sum(isinstance(user, UserItem) and user.role == Role.SUPER_ADMIN for user in found.values())


async def _stored_number(table: Table) -> int:
    """Count the super_admins by consistent reads of the whole table."""
    scan = Scan(filter=Item.type.is_in(UserItem) & (UserItem.role == Role.SUPER_ADMIN), consistent=True)
    items, position = await table.scan(scan, limit=_PAGE)
    number = len(items)
    while position is not None:
        items, position = await table.scan(scan, limit=_PAGE, start=position)
        number += len(items)
    return number


Suspicion = MissingDependent | OrphanedItem | CountMismatch
"""A suspected violation. It was found by reads at different times, so `examine` reads all items involved at one moment.

It returns None without a violation, and raises Conflict if the items keep changing.
"""


def _members(item: Item | None) -> int:
    return item.members if isinstance(item, SuperAdminsItem) else 0


def _unchanged(key: Key, item: Any) -> Check:  # noqa: ANN401 - an owner's item, or None
    return Check(key, ABSENT if item is None else type(item).version == item.version)


def _steps(*writes: Write) -> list[Step]:
    return [Step(write, lambda _: Conflict()) for write in writes]


def _text(key: Key) -> str:
    return f"{key.pk}/{key.sk}"
