"""Finds and repairs violations of what transactions guarantee, which a partial restore or manual writes can cause.

Checks the integrity constraints (R6, R7), the count of super_admins (R1) and where hashes of passwords are. The service
may be running: a suspected violation is examined again at one moment, and repaired by one transaction that requires
that nothing has changed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Final

from vitrina.domain.pages import Position
from vitrina.domain.users import Role
from vitrina.errors import Conflict
from vitrina.store.constraints import (
    CONSTRAINTS,
    CountMismatch,
    MissingDependent,
    OrphanedItem,
    Suspicion,
)
from vitrina.store.findings import Finding
from vitrina.store.items import Item, UserItem
from vitrina.store.keys import Key
from vitrina.store.operations import Scan
from vitrina.store.passwords import MisplacedPassword, have_moved
from vitrina.store.table import Table

_SEGMENTS: Final = 4
_PAGE: Final = 250
_TRIES: Final = 3
_KINDS: Final = dict.fromkeys(kind for constraint in CONSTRAINTS for kind in (constraint.owner, constraint.dependent))


async def check(
    table: Table, *, repair: bool = False, progress: Callable[[int], None] = lambda _: None
) -> AsyncIterator[Finding]:
    """Scan the table and yield the violations, repaired if `repair` is set and a repair is possible.

    Calls `progress` with the number of items of each step of the scan. Memory holds a few pages and the keys of the
    super_admins. Raises TableUnavailable.
    """
    super_admins: set[Key] = set()
    hashes_have_moved = await have_moved(table)
    async for items in _pages(table):
        users = [item for item in items if isinstance(item, UserItem)]
        super_admins |= {user.key for user in users if user.role == Role.SUPER_ADMIN}
        misplaced = [MisplacedPassword(user.key) for user in users if hashes_have_moved and user.password_hash]
        for suspected in (*await _suspected(table, items), *misplaced):
            if finding := await _examine(table, suspected, repair=repair):
                yield finding
        progress(len(items))
    if finding := await _examine(table, CountMismatch(super_admins), repair=repair):
        yield finding


async def _pages(table: Table) -> AsyncIterator[list[Item]]:
    """Scan all owners and dependent items, a page of each segment at a time; items may be stale."""
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


async def _suspected(table: Table, items: Sequence[Item]) -> list[Suspicion]:
    """Return the suspected violations: items that do not fit their stored counterparts."""
    missing = [
        (MissingDependent(constraint, item.key, expected.key), expected)
        for constraint in CONSTRAINTS
        for item in items
        if (expected := constraint.expected(item)) is not None
    ]
    orphaned = [
        OrphanedItem(constraint, item)
        for constraint in CONSTRAINTS
        for item in items
        if isinstance(item, constraint.dependent)
    ]
    counterparts = [*(it.dependent_key for it, _ in missing), *(it.owner_key for it in orphaned)]
    stored = await table.get_many(counterparts, consistent=False)
    return [
        *(it for it, expected in missing if not it.constraint.matches(expected, stored.get(it.dependent_key))),
        *(it for it in orphaned if not it.constraint.is_owned(it.dependent, stored.get(it.owner_key))),
    ]


async def _examine(table: Table, suspected: Suspicion | MisplacedPassword, *, repair: bool) -> Finding | None:
    """Examine a suspected violation and repair it; starts again if something changed in between."""
    finding: Finding | None = None
    for _ in range(_TRIES):
        try:
            diagnosis = await suspected.examine(table)
            if diagnosis is None:
                return None
            finding = diagnosis.finding
            if not repair or not diagnosis.repair:
                return finding
            await table.commit(diagnosis.repair)
        except Conflict:
            continue
        return replace(finding, repaired=True)
    return finding
