"""Visits items of the whole table, in parts that are read beside each other, from where the ledger stands."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple

from pynamodb.expressions.condition import Condition

from vitrina.domain.pages import Position
from vitrina.errors import TableUnavailable
from vitrina.store.items import Item
from vitrina.store.migrations.ledger import Ledger
from vitrina.store.reads import Scan
from vitrina.store.table import Table

SEGMENTS: Final = 8
PAGE: Final = 100
"""Items that are looked at in each segment between two checkpoints."""
_TRIES: Final = 7
_FIRST_PAUSE: Final = 0.1
_BEGINNING: Final[Position] = {}

Visit = Callable[[Item], Awaitable[bool]]
"""Does to one item what is to be done and says whether it wrote. It may be called with an item again."""


class _Turn(NamedTuple):
    end: Position | None
    seen: int
    changed: int


async def sweep(table: Table, ledger: Ledger, visit: Visit, *, only: Condition) -> None:
    """Visit every item that passes `only` and is there from the beginning to the end.

    A round reads a page of each segment and ends in a checkpoint, so an interruption repeats one round at most.
    Raises Lost, TableUnavailable when the table stays away for seconds, and what `visit` raises.
    """
    # Their number is kept by their positions: it decides which item is in which segment.
    positions: list[Position | None] = ledger.position or [_BEGINNING] * SEGMENTS

    async def turn(segment: int) -> _Turn:
        start = positions[segment]
        if start is None:
            return _Turn(None, 0, 0)
        scan = Scan(filter=only, segment=segment, segments=len(positions), consistent=True)
        items, end = await table.scan(scan, limit=PAGE, start=start or None)
        return _Turn(end, len(items), sum([await visit(item) for item in items]))

    while any(position is not None for position in positions):
        turns = await _all(_patiently(turn, segment) for segment in range(len(positions)))
        positions = [turn.end for turn in turns]
        await ledger.checkpoint(
            positions, seen=sum(turn.seen for turn in turns), changed=sum(turn.changed for turn in turns)
        )


async def _all(turns: Iterable[Awaitable[_Turn]]) -> list[_Turn]:
    """Take turns beside each other. One that fails waits for the others: nothing is written once the run has ended."""
    results = await asyncio.gather(*turns, return_exceptions=True)
    if failed := [result for result in results if isinstance(result, BaseException)]:
        raise failed[0]
    return [result for result in results if isinstance(result, _Turn)]


async def _patiently(turn: Callable[[int], Awaitable[_Turn]], segment: int) -> _Turn:
    """Take a turn, again after a pause while the table is away or throttles."""
    for attempt in range(_TRIES - 1):
        try:
            return await turn(segment)
        except TableUnavailable:
            await asyncio.sleep(_FIRST_PAUSE * 2**attempt)
    return await turn(segment)
