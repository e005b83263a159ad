"""Visits items of the whole table in parallel segments, starting at the position in the ledger."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple

from pynamodb.expressions.condition import Condition

from vitrina.backoff import Backoff
from vitrina.domain.pages import Position
from vitrina.errors import TableUnavailable
from vitrina.store.items import Item
from vitrina.store.migrations.ledger import Ledger
from vitrina.store.operations import Scan
from vitrina.store.table import Table

SEGMENTS: Final = 8
PAGE: Final = 100
"""Items read in each segment between two checkpoints."""
_TRIES: Final = 7
_BACKOFF: Final = Backoff(first=0.1, longest=3.2, jitter=0)
_BEGINNING: Final[Position] = {}

Visit = Callable[[Item], Awaitable[bool]]
"""Processes an item and returns whether it wrote it. It may be called with the same item again."""


class _Turn(NamedTuple):
    end: Position | None
    seen: int
    changed: int


async def sweep(table: Table, ledger: Ledger, visit: Visit, *, only: Condition) -> None:
    """Visit every item that passes `only` and exists for the whole time.

    A round reads a page of each segment and ends with a checkpoint, so an interruption repeats at most one round.
    Raises Lost, TableUnavailable after seven failed tries (6 s), and the errors of `visit`.
    """
    # The number of stored positions is the number of segments, which determines the segment of each item.
    positions: list[Position | None] = ledger.position or [_BEGINNING] * SEGMENTS

    async def turn(segment: int) -> _Turn:
        start = positions[segment]
        if start is None:
            return _Turn(None, 0, 0)
        scan = Scan(filter=only, segment=segment, segments=len(positions), consistent=True)
        items, end = await table.scan(scan, limit=PAGE, start=start or None)
        return _Turn(end, len(items), sum([await visit(item) for item in items]))

    while any(position is not None for position in positions):
        turns = await _all(_retried(turn, segment) for segment in range(len(positions)))
        positions = [turn.end for turn in turns]
        await ledger.checkpoint(
            positions, seen=sum(turn.seen for turn in turns), changed=sum(turn.changed for turn in turns)
        )


async def _all(turns: Iterable[Awaitable[_Turn]]) -> list[_Turn]:
    """Run all turns in parallel and wait for each, even after a failure: no write may follow the end of the run."""
    results = await asyncio.gather(*turns, return_exceptions=True)
    if failed := [result for result in results if isinstance(result, BaseException)]:
        raise failed[0]
    return [result for result in results if isinstance(result, _Turn)]


async def _retried(turn: Callable[[int], Awaitable[_Turn]], segment: int) -> _Turn:
    """Run a turn, and retry it with pauses while the table is unavailable."""
    for attempt in range(1, _TRIES):
        try:
            return await turn(segment)
        except TableUnavailable:
            await _BACKOFF.sleep(attempt)
    return await turn(segment)
