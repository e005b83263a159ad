"""Migration 5 enters the changes of older releases into the feed."""

from datetime import timedelta

import pytest

from tests.store.samples import START, at, create, delete, edit
from vitrina.domain.products import Change
from vitrina.store import keys
from vitrina.store.changes import ChangeStore
from vitrina.store.items import ChangeItem
from vitrina.store.migrations import m0005_feed_of_changes
from vitrina.store.migrations.ledger import Entry
from vitrina.store.migrations.runner import migrate, standing
from vitrina.store.operations import Update
from vitrina.store.products import ProductStore
from vitrina.store.table import Table


async def forget(table: Table, product_id: str, version: int) -> None:
    """Leave a change as an older release writes it."""
    actions = [ChangeItem.feed.remove(), ChangeItem.feed_position.remove()]
    await table.update(Update(keys.change(product_id, version), actions))


async def feed(table: Table) -> list[Change]:
    """Return all changes of the feed."""
    page = await ChangeStore(table).page(start=None, since=None, until=START + timedelta(days=1), limit=100)
    return page.items


async def run(table: Table) -> Entry:
    """Run the migration, also if it has finished, and return its entry of the ledger."""
    await migrate(table, lambda _: None, again=5)
    return next(entry for entry in await standing(table) if entry.number == 5)


async def test_changes_without_a_position_get_that_of_their_time(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one product none precedes an earlier version, although the clock of its process was behind.

    A long history is read page by page.
    """
    monkeypatch.setattr(m0005_feed_of_changes, "_PAGE", 2)
    store = ProductStore(table)
    lamp, chair = await create(store), await create(store, created_at=at(3))
    second = await edit(store, lamp, minutes=9, name="Other")
    third = await edit(store, second, minutes=8, name="Another")  # It was written later.
    await delete(store, third, minutes=10)
    for version in (1, 2, 3):
        await forget(table, lamp.id, version)
    await forget(table, chair.id, 1)
    assert [change.version for change in await feed(table)] == [4]
    assert (await run(table)).changed == 2
    found = [(change.product_id, change.version) for change in await feed(table)]
    assert found == [(lamp.id, 1), (chair.id, 1), (lamp.id, 2), (lamp.id, 3), (lamp.id, 4)]
    assert [change.at for change in await feed(table)][3] == at(8)
    await forget(table, lamp.id, 4)  # An older process wrote it after the migration.
    assert (await run(table)).changed == 1
    assert len(await feed(table)) == 5
    assert (await run(table)).changed == 0
