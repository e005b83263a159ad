"""Consistency checks: each examines a suspected violation at one moment, and returns its repair.

A repair never takes a dependent item from its rightful owner. It writes a missing item only where none exists or where
the existing one belongs to nobody, and deletes only items that belong to nobody. Its transaction requires that nothing
has changed since the examination.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from pynamodb.expressions.condition import Condition

from vitrina.domain.users import Role
from vitrina.errors import Conflict
from vitrina.store import keys
from vitrina.store.constraints import IntegrityConstraint
from vitrina.store.items import Item, SuperAdminsItem, UserItem
from vitrina.store.keys import Key
from vitrina.store.operations import Check, Delete, Put, Query, Write
from vitrina.store.paging import every
from vitrina.store.table import MOST_KEYS, Table

_ABSENT: Final = Item.pk.does_not_exist()


class Problem(StrEnum):
    """Kinds of violations. A disputed item is claimed by two owners, and an operator has to decide between them."""

    MISSING = "missing"
    ORPHAN = "orphan"
    DISPUTED = "disputed"
    MISCOUNTED = "miscounted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A violation of the constraint `what`, described for an operator, and whether it was repaired."""

    what: str
    problem: Problem
    detail: str
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A finding, and the transaction that repairs it; empty if it cannot be repaired automatically."""

    finding: Finding
    repair: Sequence[Write] = ()


class ConsistencyCheck(Protocol):
    """A suspected violation. It was found by reads at different times, so it has to be examined at one moment."""

    async def examine(self, table: Table) -> Diagnosis | None:
        """Read all items involved at one moment; None without a violation. Raises Conflict if they keep changing."""


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
        condition: Condition = _ABSENT
        if stored is not None:
            holder_key = self.constraint.owner_key(stored)
            holder = await table.get(holder_key, consistent=True)
            if holder_key != owner_key and self.constraint.is_owned(stored, holder):
                detail = f"{place} is {_text(holder_key)}'s, and {_text(owner_key)} claims it too"
                return Diagnosis(Finding(what=self.constraint.name, problem=Problem.DISPUTED, detail=detail))
            checks.setdefault(holder_key, _unchanged(holder_key, holder))
            condition = self.constraint.unchanged(stored)
        finding = Finding(what=self.constraint.name, problem=Problem.MISSING, detail=detail)
        return Diagnosis(finding, [*checks.values(), Put(expected, condition)])


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
        return Diagnosis(finding, [_unchanged(owner_key, owner), Delete(key, self.constraint.unchanged(dependent))])


@dataclass(frozen=True, slots=True)
class CountMismatch:
    """A count of super_admins that differs from their number; `known` are the keys of those that a scan has found."""

    known: Collection[Key]

    async def examine(self, table: Table) -> Diagnosis | None:
        """Count the known and the listed super_admins between two reads of the stored count.

        Each change of a super_admin's role changes the count in the same transaction, so an unchanged count is a
        sufficient condition for the repair.
        """
        before = await table.get(keys.SUPER_ADMINS, consistent=True)
        number = await self._number(table)
        after = await table.get(keys.SUPER_ADMINS, consistent=True)
        members = _members(after)
        if members != _members(before):
            raise Conflict
        if members == number:
            return None
        detail = f"{_text(keys.SUPER_ADMINS)} says {members} where there are {number}"
        finding = Finding(what="super_admins", problem=Problem.MISCOUNTED, detail=detail)
        condition = _ABSENT if after is None else SuperAdminsItem.members == members
        return Diagnosis(finding, [Put(SuperAdminsItem.keyed(keys.SUPER_ADMINS, members=number), condition)])

    async def _number(self, table: Table) -> int:
        listed = await every(
            table, Query(condition=Item.listing_group == keys.role_group(Role.SUPER_ADMIN), index=keys.GROUP_BY_TIME)
        )
        candidates = list({*self.known, *(item.key for item in listed)})
        number = 0
        for first in range(0, len(candidates), MOST_KEYS):
            found = await table.get_many(candidates[first : first + MOST_KEYS], consistent=True)
            number += sum(isinstance(user, UserItem) and user.role == Role.SUPER_ADMIN for user in found.values())
        return number


def _members(item: Item | None) -> int:
    return item.members if isinstance(item, SuperAdminsItem) else 0


def _unchanged(key: Key, item: Any) -> Check:  # noqa: ANN401 - an owner's item, or None
    return Check(key, _ABSENT if item is None else type(item).version == item.version)


def _text(key: Key) -> str:
    return f"{key.pk}/{key.sk}"
