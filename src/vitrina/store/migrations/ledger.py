"""The ledger: an item for each migration that was started on the table, held by one run at a time.

A run holds an entry for `LEASE`, and extends the lease while it works and with each checkpoint. If the run releases the
entry, or dies and lets the lease expire, the next run continues from the last checkpoint. All runs go by the table's
clock. Two at once would be wasteful but harmless, since migrations are idempotent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar, cast

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from vitrina.backoff import Backoff
from vitrina.clock import Clock
from vitrina.domain.pages import Position
from vitrina.errors import TableUnavailable
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.items import Item, MigrationItem, expect_type
from vitrina.store.operations import Query, Scan, Update
from vitrina.store.paging import every
from vitrina.store.table import ConditionFailed, Table

T = TypeVar("T")
LEASE: Final = timedelta(seconds=60)
_RENEWALS: Final = 3
"""Renewals in the time of a lease: two may fail."""
SEGMENTS: Final = 8
PAGE: Final = 100
"""Items that a sweep reads in each segment between two checkpoints."""
_MOST_NOTES: Final = 1_000
"""Notes that are kept, so that the entry stays smaller than an item may be."""
_TRIES: Final = 7
_BACKOFF: Final = Backoff(first=0.1, longest=3.2, jitter=0)


class State(StrEnum):
    """The state of a migration."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting for another run"
    INTERRUPTED = "interrupted"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A migration's entry in the ledger; `seen` is the number of items read, `changed` of those written.

    `notes` are sentences about items that it could not change, for operators to act on.
    """

    number: int
    name: str
    state: State
    seen: int = 0
    changed: int = 0
    notes: tuple[str, ...] = ()
    finished_at: datetime | None = None


Report = Callable[[Entry], None]


class Held(Exception):
    """Another run holds the migration; `entry` is its progress."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(f"another run is at migration {entry.number}")
        self.entry = entry


class Lost(Exception):
    """Another run has taken the migration over, since this one could not extend its lease."""


class Ledger:
    """A migration's entry in the ledger while this run holds it."""

    def __init__(self, table: Table, item: MigrationItem, *, clock: Clock, report: Report) -> None:
        self._table = table
        self._item = item
        self._clock = clock
        self._report = report
        self._notes = dict.fromkeys(item.notes or ())

    @property
    def position(self) -> Any:  # noqa: ANN401 - the argument of `checkpoint`
        """The position of the last checkpoint of any run; None before the first."""
        return self._item.position

    async def checkpoint(self, position: Any, *, seen: int = 0, changed: int = 0) -> None:  # noqa: ANN401 - JSON
        """Store `position`, from which a later run would continue, and add to the counts. Raises Lost."""
        await self._update([
            MigrationItem.position.set(position),
            MigrationItem.held_until.set(self._clock() + LEASE),
            MigrationItem.seen.set(self._item.seen + seen),
            MigrationItem.changed.set(self._item.changed + changed),
            *([MigrationItem.notes.set([*self._notes])] if self._notes else []),
        ])  # fmt: skip

    def note(self, text: str) -> None:
        """Add a note to the entry once; the next checkpoint stores it. Notes beyond 1,000 are dropped."""
        if len(self._notes) < _MOST_NOTES:
            self._notes[text] = None

    async def finish(self) -> None:
        """Mark the migration as finished. Raises Lost."""
        await self._update([MigrationItem.finished_at.set(self._clock()), MigrationItem.position.remove()])

    async def release(self) -> None:
        """Release the entry, so that the next run can continue at once. Raises Lost."""
        await self._update([MigrationItem.held_until.remove()])

    async def sweep(self, visit: Callable[[Item], Awaitable[bool]], *, only: Condition) -> None:
        """Visit every item of the table that passes `only` and exists for the whole time, in parallel segments.

        `visit` returns whether it wrote the item, and may be called with the same item again: a round reads a page of
        each segment and ends with a checkpoint, so an interruption repeats at most one round. Raises Lost,
        TableUnavailable after seven failed tries of a page, which pause for 6 s in all, and the errors of `visit`.
        """
        # The number of stored positions is the number of segments, which determines the segment of each item.
        positions: list[Position | None] = self.position or [{}] * SEGMENTS

        async def turn(segment: int) -> tuple[Position | None, int, int]:
            start = positions[segment]
            if start is None:
                return None, 0, 0
            scan = Scan(filter=only, segment=segment, segments=len(positions), consistent=True)
            failures = 0
            while True:
                try:
                    items, end = await self._table.scan(scan, limit=PAGE, start=start or None)
                    changed = sum([await visit(item) for item in items])
                except TableUnavailable:
                    failures += 1
                    if failures == _TRIES:
                        raise
                    await _BACKOFF.sleep(failures)
                else:
                    return end, len(items), changed

        while any(position is not None for position in positions):
            # Waits for each turn even after a failure: no write may follow the end of the run.
            turns = await self._hold(asyncio.gather(*map(turn, range(len(positions))), return_exceptions=True))
            done = [result for result in turns if not isinstance(result, BaseException)]
            for result in turns:
                if isinstance(result, BaseException):
                    raise result
            positions = [end for end, _, _ in done]
            await self.checkpoint(
                positions, seen=sum(seen for _, seen, _ in done), changed=sum(changed for _, _, changed in done)
            )

    async def _hold(self, work: asyncio.Future[T]) -> T:
        """Return the result of `work`, and extend the lease while it runs. Raises Lost once `work` has been stopped."""
        try:
            while not (await asyncio.wait([work], timeout=LEASE.total_seconds() / _RENEWALS))[0]:
                with suppress(TableUnavailable):  # The next renewal comes before the lease ends.
                    await self._update([MigrationItem.held_until.set(self._clock() + LEASE)])
            return work.result()
        finally:
            work.cancel()
            # Retrieves the exception too, which asyncio would log otherwise.
            await asyncio.gather(work, return_exceptions=True)

    async def _update(self, actions: list[Action]) -> None:
        key = keys.Key(self._item.pk, self._item.sk)
        try:
            item = await self._table.update(Update(key, actions, MigrationItem.runner == self._item.runner))
        except ConditionFailed as failure:
            raise Lost from failure
        self._item = expect_type(item, MigrationItem)
        self._report(_entry(self._item, self._clock()))


async def claim(table: Table, number: int, name: str, *, clock: Clock, report: Report) -> Ledger | None:
    """Claim a migration for this run; None if it is finished. Raises Held."""
    at, runner = clock(), new_id()
    released = MigrationItem.held_until.does_not_exist() | (MigrationItem.held_until < at)
    take = Update(
        keys.migration(number),
        [
            MigrationItem.type.set(MigrationItem),
            MigrationItem.v.set(1),
            MigrationItem.name.set(name),
            MigrationItem.started_at.set(MigrationItem.started_at | at),
            MigrationItem.seen.set(MigrationItem.seen | 0),
            MigrationItem.changed.set(MigrationItem.changed | 0),
            MigrationItem.runner.set(runner),
            MigrationItem.held_until.set(at + LEASE),
        ],
        MigrationItem.finished_at.does_not_exist() & released,
    )
    try:
        item = expect_type(await table.update(take), MigrationItem)
    except ConditionFailed as failure:
        item = expect_type(failure.item, MigrationItem)
        there = _entry(item, at)
        if there.state is State.FINISHED:
            return None
        if item.runner != runner:  # otherwise it is this call, retried after a lost response
            raise Held(there) from failure
    return Ledger(table, item, clock=clock, report=report)


async def reopen(table: Table, number: int) -> bool:
    """Reset a finished migration so that it runs again from the beginning; False if it is not finished."""
    names = ("started_at", "finished_at", "held_until", "seen", "changed", "notes")
    actions = [getattr(MigrationItem, name).remove() for name in names]
    try:
        await table.update(Update(keys.migration(number), actions, MigrationItem.finished_at.exists()))
    except ConditionFailed:
        return False
    return True


async def entries(table: Table, *, at: datetime) -> dict[int, Entry]:
    """Return the entries of the ledger by number."""
    items = await every(table, Query(condition=Item.pk == keys.MIGRATIONS, consistent=True))
    return {entry.number: entry for entry in (_entry(expect_type(item, MigrationItem), at) for item in items)}


def _entry(item: MigrationItem, at: datetime) -> Entry:
    finished_at = cast("datetime | None", item.finished_at)
    held_until = cast("datetime | None", item.held_until)
    if finished_at is not None:
        state = State.FINISHED
    else:
        state = State.INTERRUPTED if held_until is None or held_until < at else State.RUNNING
    return Entry(
        number=int(item.sk),
        name=item.name,
        state=state,
        seen=item.seen or 0,
        changed=item.changed or 0,
        notes=tuple(item.notes or ()),
        finished_at=finished_at,
    )
