"""Finds what transactions keep together and something else (a restored backup, a hand) has torn apart, and mends it.

Looked at are the pairs of `bonds.py` (R6, R7) and the count of super_admins (R1). The service may be at work meanwhile:
what looks wrong is read again, and mended by one transaction on the condition that none of it has changed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from vitrina.domain.pages import Position
from vitrina.domain.users import Role
from vitrina.errors import Conflict
from vitrina.store.constraints import CONSTRAINTS, key_of
from vitrina.store.findings import ConsistencyCheck, CountMismatch, Finding, MissingDependent, OrphanedItem
from vitrina.store.items import Item, UserItem
from vitrina.store.keys import Key
from vitrina.store.reads import Scan
from vitrina.store.table import MOST_KEYS, Table, TransactionFailed

_SEGMENTS: Final = 4
_PAGE: Final = 250
_TRIES: Final = 3
_KINDS: Final = dict.fromkeys(kind for constraint in CONSTRAINTS for kind in (constraint.owner, constraint.dependent))


async def check(
    table: Table, *, repair: bool = False, progress: Callable[[int], None] = lambda _: None
) -> AsyncIterator[Finding]:
    """Scan the table and yield what is wrong, mended if `mend` is set and it can be.

    `progress` is told how many more items have been looked at. Memory holds a few pages and the keys of the
    super_admins. Raises TableUnavailable.
    """
    super_admins: set[Key] = set()
    async for items in _pages(table):
        super_admins |= {key_of(item) for item in items if isinstance(item, UserItem) and item.role == Role.SUPER_ADMIN}
        for suspicion in await _suspicions(table, items):
            finding = await _settle(table, suspicion, repair=repair)
            if finding:
                yield finding
        progress(len(items))
    finding = await _settle(table, CountMismatch(super_admins), repair=repair)
    if finding:
        yield finding


async def _pages(table: Table) -> AsyncIterator[list[Item]]:
    """Read all owners and companions, some perhaps stale, a page of each segment at a time."""
    only = Item.type.is_in(*_KINDS)
    positions: dict[int, Position | None] = dict.fromkeys(range(_SEGMENTS))
    while positions:
        pages = await asyncio.gather(*(
            table.scan(Scan(filter=only, segment=segment, segments=_SEGMENTS), limit=_PAGE, start=start)
            for segment, start in positions.items()
        ))  # fmt: skip
        yield [item for items, _ in pages for item in items]
        ends = zip(positions, (end for _, end in pages), strict=True)
        positions = {segment: end for segment, end in ends if end is not None}


async def _suspicions(table: Table, items: Sequence[Item]) -> list[ConsistencyCheck]:
    """Return what does not fit what is beside it, at first sight."""
    lacking = [
        (MissingDependent(constraint, key_of(item), key_of(wanted)), wanted)
        for constraint in CONSTRAINTS
        for item in items
        if (wanted := constraint.wanted(item)) is not None
    ]
    stray = [
        OrphanedItem(constraint, item)
        for constraint in CONSTRAINTS
        for item in items
        if isinstance(item, constraint.dependent)
    ]
    found = await _found(table, [*(it.place for it, _ in lacking), *(it.owner_key for it in stray)])
    return [
        *(it for it, wanted in lacking if not it.constraint.fits(wanted, found.get(it.place))),
        *(it for it in stray if not it.constraint.holds(found.get(it.owner_key), it.dependent)),
    ]


async def _found(table: Table, wanted: Iterable[Key]) -> dict[Key, Item]:
    keys = list(dict.fromkeys(wanted))
    found: dict[Key, Item] = {}
    for first in range(0, len(keys), MOST_KEYS):
        found |= await table.get_many(keys[first : first + MOST_KEYS], consistent=False)
    return found


async def _settle(table: Table, suspicion: ConsistencyCheck, *, repair: bool) -> Finding | None:
    """Examine a suspicion and mend what is wrong, anew if something changed in between."""
    finding: Finding | None = None
    for _ in range(_TRIES):
        try:
            diagnosis = await suspicion.examine(table)
            if diagnosis is None:
                return None
            finding = diagnosis.finding
            if not repair or not diagnosis.remedy:
                return finding
            await table.transact(diagnosis.remedy)
        except (TransactionFailed, Conflict):
            continue
        return replace(finding, repaired=True)
    return finding
