"""What may be wrong with an item: examined as it is at one moment, and how it is mended.

A companion is never taken from an owner that has it by right. What is missing is written where nothing is, or over what
nobody has a right to; what is deleted belongs to nobody; and the transaction that mends checks that it is still so.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from pynamodb.expressions.condition import Condition

from vitrina.domain.users import Role
from vitrina.errors import Conflict
from vitrina.store import keys
from vitrina.store.constraints import IntegrityConstraint, key_of
from vitrina.store.items import Item, SuperAdminsItem, UserItem
from vitrina.store.keys import Key
from vitrina.store.paging import every
from vitrina.store.reads import Query
from vitrina.store.table import MOST_KEYS, Table
from vitrina.store.writes import Check, Delete, Put, Write

_ABSENT: Final = Item.pk.does_not_exist()


class Problem(StrEnum):
    """What is wrong. A disputed item is claimed by two, and who gives way is for people to say."""

    MISSING = "missing"
    ORPHAN = "orphan"
    DISPUTED = "disputed"
    MISCOUNTED = "miscounted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem with an item of the kind `what`, in words, and whether it has been mended."""

    what: str
    problem: Problem
    detail: str
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A finding, and the transaction that mends it; empty if none can."""

    finding: Finding
    remedy: Sequence[Write] = ()


class ConsistencyCheck(Protocol):
    """Something that looked wrong at first sight, its parts having been read one after the other."""

    async def examine(self, table: Table) -> Diagnosis | None:
        """Look at all of it at one moment; None if nothing is wrong. Raises Conflict when it does not stand still."""


@dataclass(frozen=True, slots=True)
class MissingDependent:
    """An owner that seems to have no companion at `place`, or one that says something else."""

    constraint: IntegrityConstraint
    owner_key: Key
    place: Key

    async def examine(self, table: Table) -> Diagnosis | None:
        """Look at the owner and at the place."""
        found = await table.snapshot([self.owner_key, self.place])
        owner, there = found.get(self.owner_key), found.get(self.place)
        wanted = self.constraint.wanted(owner)
        # An owner that has moved on did so by a transaction that asked for its companion.
        if owner is None or wanted is None or key_of(wanted) != self.place or self.constraint.fits(wanted, there):
            return None
        return await self._diagnose(table, owner, wanted, there)

    async def _diagnose(self, table: Table, owner: Item, wanted: Item, there: Item | None) -> Diagnosis:
        place, owner_key = _text(self.place), self.owner_key
        guards = {owner_key: _unchanged(owner_key, owner)}
        detail = f"{_text(owner_key)} has no {place}"
        condition: Condition = _ABSENT
        if there is not None:
            holder_key = self.constraint.owner_of(there)
            holder = await table.get(holder_key, consistent=True)
            if holder_key != owner_key and self.constraint.holds(holder, there):
                detail = f"{place} is {_text(holder_key)}'s, and {_text(owner_key)} claims it too"
                return Diagnosis(Finding(what=self.constraint.what, problem=Problem.DISPUTED, detail=detail))
            guards.setdefault(holder_key, _unchanged(holder_key, holder))
            condition = self.constraint.still(there)
        finding = Finding(what=self.constraint.what, problem=Problem.MISSING, detail=detail)
        return Diagnosis(finding, [*guards.values(), Put(wanted, condition)])


@dataclass(frozen=True, slots=True)
class OrphanedItem:
    """A companion that seems not to be its owner's."""

    constraint: IntegrityConstraint
    dependent: Item

    @property
    def owner_key(self) -> Key:
        """Whose it says it is."""
        return self.constraint.owner_of(self.dependent)

    async def examine(self, table: Table) -> Diagnosis | None:
        """Look at the companion and at whose it says it is."""
        place, owner_key = key_of(self.dependent), self.owner_key
        found = await table.snapshot([place, owner_key])
        dependent, owner = found.get(place), found.get(owner_key)
        # One that is somebody else's by now was claimed by a transaction.
        if (
            dependent is None
            or self.constraint.owner_of(dependent) != owner_key
            or self.constraint.holds(owner, dependent)
        ):
            return None
        fact = "is not there" if owner is None else "does not have it"
        detail = f"{_text(place)} names {_text(owner_key)}, which {fact}"
        finding = Finding(what=self.constraint.what, problem=Problem.ORPHAN, detail=detail)
        return Diagnosis(finding, [_unchanged(owner_key, owner), Delete(place, self.constraint.still(dependent))])


@dataclass(frozen=True, slots=True)
class CountMismatch:
    """The count of super_admins, of whom `known` have been seen."""

    known: Collection[Key]

    async def examine(self, table: Table) -> Diagnosis | None:
        """Count those that have been seen and those that are listed, between two readings of the count.

        Who becomes a super_admin or ceases to be one moves the count in the same transaction, so a count that stands
        still is all that the remedy has to ask for.
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
        candidates = list({*self.known, *map(key_of, listed)})
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
