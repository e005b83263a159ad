"""Runs the migrations that are not finished on the table, one after the other."""

import asyncio
import contextlib
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Protocol

from vitrina.clock import Clock, now
from vitrina.errors import TableUnavailable
from vitrina.store import keys
from vitrina.store.migrations import (
    m0001_baseline,
    m0002_index_keys,
    m0003_email_domains,
    m0004_password_hashes,
    m0005_feed_of_changes,
)
from vitrina.store.migrations.ledger import Entry, Held, Ledger, Lost, Report, State, claim, entries, reopen
from vitrina.store.table import Table
from vitrina.store.table_clock import TableClock


class Migration(Protocol):
    """The interface of a migration's module."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a constant of the module
        """The name of the migration."""

    async def run(self, table: Table, ledger: Ledger, /) -> None:
        """Run the migration from `ledger.position` on."""


MIGRATIONS: Final = MappingProxyType[int, Migration](
    {
        1: m0001_baseline,
        2: m0002_index_keys,
        3: m0003_email_domains,
        4: m0004_password_hashes,
        5: m0005_feed_of_changes,
    }
)
_POLL: Final = 1.0


async def migrate(table: Table, report: Report, *, again: int | None = None, clock: Clock = now) -> None:
    """Run the unfinished migrations; `again` is the number of a finished migration to run once more.

    Waits for a migration that another run holds, by the table's clock, and reports its progress. Raises LookupError if
    there is no migration `again`, Lost, TableUnavailable and the errors of a migration; the next call continues where
    this one stopped.
    """
    if again is not None:
        if again not in MIGRATIONS:
            raise LookupError(f"there is no migration {again}")
        await reopen(table, again)
    common = TableClock(clock)
    sent = common.ticks
    common.note((await table.get_dated(keys.SUPER_ADMINS))[1], sent=sent)
    for number, migration in MIGRATIONS.items():
        ledger = await _claimed(table, number, migration.NAME, report=report, clock=common)
        if ledger is None:
            continue
        try:
            await migration.run(table, ledger)
            await ledger.finish()
        except BaseException:
            with contextlib.suppress(Lost, TableUnavailable):
                await ledger.release()
            raise


async def refuse_foreign_table(table: Table) -> None:
    """Raise ForeignItems if the table has never been Vitrina's and has items of another application; writes nothing."""
    baseline, *_ = await standing(table)
    if baseline.state is not State.FINISHED:
        await m0001_baseline.look_for_foreign_items(table)


async def standing(table: Table, *, clock: Clock = now) -> list[Entry]:
    """Return the state of each migration on this table."""
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
