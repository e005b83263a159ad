"""The table's clock is what its responses say, whatever the process's own clock does."""

from datetime import timedelta

from tests.mail.samples import AT
from tests.service import Clock
from vitrina.clock import now
from vitrina.store import keys
from vitrina.store.items import Item
from vitrina.store.operations import Query
from vitrina.store.table import Table
from vitrina.store.table_clock import TableClock


def test_it_goes_on_by_the_monotonic_clock() -> None:
    """From the date of the last response. It can be later: by a second, and by the time that the response took."""
    own, ticks = Clock(AT), 10.0
    clock = TableClock(own, monotonic=lambda: ticks)
    assert (clock(), clock.uncertainty) == (AT, timedelta(0))
    date, sent = AT + timedelta(hours=1), clock.ticks
    ticks += 0.25
    clock.note(date, sent=sent)
    assert (clock(), clock.uncertainty) == (date, timedelta(seconds=1.25))
    own.at -= timedelta(days=9)
    ticks += 5.0015
    assert (clock(), clock.uncertainty) == (date + timedelta(seconds=5.001), timedelta(seconds=1.25))
    clock.note(None, sent=ticks)
    assert clock() == date + timedelta(seconds=5.001)
    clock.note(AT, sent=ticks)
    assert (clock(), clock.uncertainty) == (AT, timedelta(seconds=1))


async def test_the_engines_time_is_within_its_uncertainty(table: Table) -> None:
    """The engine has the machine's clock, and a process a wrong one."""
    clock = TableClock(Clock(AT))
    sent = clock.ticks
    _, _, date = await table.query_dated(Query(condition=Item.pk == keys.MIGRATIONS), limit=1)
    clock.note(date, sent=sent)
    assert clock() <= now() <= clock() + clock.uncertainty + timedelta(seconds=0.1)
