"""Runs the migrations that a table has not seen, one after the other."""

import asyncio
import contextlib
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Protocol

from vitrina.clock import Clock, now
from vitrina.errors import TableUnavailable
from vitrina.store.migrations import m0001_baseline, m0002_index_keys
from vitrina.store.migrations.ledger import Entry, Held, Ledger, Lost, Report, State, claim, entries, reopen
from vitrina.store.table import Table


class Migration(Protocol):
    """What each module of a migration has."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a constant of the module
        """What it is called."""

    async def run(self, table: Table, ledger: Ledger, /) -> None:
        """Do it, from `ledger.position` on."""


MIGRATIONS: Final = MappingProxyType[int, Migration]({1: m0001_baseline, 2: m0002_index_keys})
_POLL: Final = 1.0


async def migrate(table: Table, report: Report, *, again: int | None = None, clock: Clock = now) -> None:
    """Run what has not been finished; `again` is the number of a finished migration to run once more.

    What another run is at is waited for, and reported meanwhile. Raises LookupError when there is no migration `again`,
    Lost, TableUnavailable and what a migration raises; the next call goes on from where this one stopped.
    """
    if again is not None:
        if again not in MIGRATIONS:
            raise LookupError(f"there is no migration {again}")
        await reopen(table, again)
    for number, migration in MIGRATIONS.items():
        ledger = await _claimed(table, number, migration.NAME, report=report, clock=clock)
        if ledger is None:
            continue
        try:
            await migration.run(table, ledger)
        except BaseException:
            with contextlib.suppress(Lost, TableUnavailable):
                await ledger.release()
            raise
        await ledger.finish()


async def standing(table: Table, *, clock: Clock = now) -> list[Entry]:
    """Say of each migration where it stands on this table."""
    seen = await entries(table, at=clock())
    return [
        seen.get(number, Entry(number=number, name=migration.NAME, state=State.PENDING))
        for number, migration in MIGRATIONS.items()
    ]


async def _claimed(table: Table, number: int, name: str, *, report: Report, clock: Clock) -> Ledger | None:
    while True:
        try:
            return await claim(table, number, name, clock=clock, report=report)
        except Held as held:
            report(replace(held.entry, state=State.WAITING))
            await asyncio.sleep(_POLL)
