# ruff: noqa: ANN401 - a wrapper has the types of the wrapped function
"""Migrations run once and tolerate repetition, interruption, parallel runners and a busy service (R16)."""

import asyncio
import gc
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.store.samples import HASH, at, create, delete, edit, user
from vitrina import clock
from vitrina.backoff import Backoff
from vitrina.domain.products import Listing, Product, Sort
from vitrina.domain.users import Role, User
from vitrina.errors import TableUnavailable
from vitrina.store import keys, migrations
from vitrina.store.items import EmailItem, Item, MigrationItem, ProductItem, SkuItem
from vitrina.store.listings import ProductListings
from vitrina.store.migrations import ledger as ledger_module, m0002_index_keys, runner
from vitrina.store.migrations.ledger import LEASE, Entry, Held, Ledger, Lost, State, claim
from vitrina.store.migrations.m0001_baseline import ForeignItems
from vitrina.store.migrations.runner import MIGRATIONS, migrate, standing
from vitrina.store.operations import Put, Scan, Update
from vitrina.store.products import ProductStore
from vitrina.store.table import Table
from vitrina.store.users import UserStore


class Watch:
    """A clock that stands still until a test advances it."""

    def __init__(self) -> None:
        self.at = at(0)

    def __call__(self) -> datetime:
        """Return the current time."""
        return self.at

    def pass_by(self, span: timedelta) -> None:
        """Advance the clock."""
        self.at += span


@pytest.fixture
def said() -> list[Entry]:
    """The messages that were reported."""
    return []


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scan few items between two checkpoints."""
    monkeypatch.setattr(ledger_module, "PAGE", 3)
    monkeypatch.setattr(ledger_module, "SEGMENTS", 2)
    monkeypatch.setattr(ledger_module, "_BACKOFF", Backoff(first=0.001, longest=0.032, jitter=0))


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Replace all migrations by one of the test's own."""

    def put(run: Any) -> None:
        monkeypatch.setattr(runner, "MIGRATIONS", {1: SimpleNamespace(NAME="test", run=run)})
        monkeypatch.setattr(runner, "_POLL", 0.01)

    return put


async def raw(table: Table, key: keys.Key) -> dict[str, Any]:
    """Return an item as DynamoDB stores it."""
    item = await table.get(key, consistent=True)
    assert item is not None
    return item.serialize()


async def spoil(table: Table, key: keys.Key) -> None:
    """Give an item index keys that an older release might have written."""
    actions = [Item.by_name.set("OLD#"), Item.listing_group.remove(), Item.by_price.set("0")]
    await table.update(Update(key, actions, Item.pk.exists()))


async def fill(table: Table) -> tuple[list[Product], list[User]]:
    """Write 12 products, two of them deleted, and 4 accounts, and return them."""
    products, users = ProductStore(table), UserStore(table)
    made = [await create(products, name=f"N{number}") for number in range(12)]
    made[3], made[7] = await delete(products, made[3]), await delete(products, made[7])
    accounts = [user(role=role) for role in (Role.USER, Role.ADMIN, Role.USER, Role.USER)]
    for account in accounts:
        await users.create(account, HASH)
    return made, accounts


def test_every_migration_is_numbered_named_and_listed() -> None:
    """A module missing from the list would never run."""
    files = sorted(path.stem for path in Path(migrations.__path__[0]).glob("m[0-9]*.py"))
    assert [file[1:5] for file in files] == [f"{number:04d}" for number in range(1, len(files) + 1)]
    assert [f"{number:04d}" for number in MIGRATIONS] == [file[1:5] for file in files]
    for file, migration in zip(files, MIGRATIONS.values(), strict=True):
        assert file[6:] == re.sub(r"\W", "_", migration.NAME)


@pytest.mark.engine("dynamodb_local", "ministack")
async def test_all_migrations_run_once_on_a_new_table(table: Table, said: list[Entry]) -> None:
    """The ledger records them, and a second run does nothing."""
    assert [entry.state for entry in await standing(table)] == [State.PENDING] * len(MIGRATIONS)
    await migrate(table, said.append)
    assert [entry.number for entry in said if entry.state is State.FINISHED] == list(MIGRATIONS)
    ledger = await standing(table)
    assert [(entry.number, entry.name) for entry in ledger] == [
        (1, "baseline"),
        (2, "index keys"),
        (3, "email domains"),
        (4, "password hashes"),
        (5, "feed of changes"),
    ]
    assert all(entry.state is State.FINISHED and entry.finished_at for entry in ledger)
    said.clear()
    await migrate(table, said.append)
    assert said == []
    assert await standing(table) == ledger


async def test_the_baseline_refuses_a_table_with_foreign_items(table: Table, said: list[Entry]) -> None:
    """Their keys may look like ours; the baseline stays unfinished until the items are gone."""
    foreign = {"pk": {"S": "user-1"}, "sk": {"S": "profile"}}
    await table._writer.put_item(TableName=table.name, Item=foreign)
    with pytest.raises(ForeignItems, match="VITRINA_TABLE_NAME"):
        await migrate(table, said.append)
    states = [entry.state for entry in await standing(table)]
    assert states == [State.INTERRUPTED] + [State.PENDING] * (len(MIGRATIONS) - 1)
    await table._writer.delete_item(TableName=table.name, Key=foreign)
    await migrate(table, said.append)


@pytest.mark.usefixtures("small_pages")
async def test_only_items_with_wrong_index_keys_are_written(table: Table, said: list[Entry]) -> None:
    """Products, deleted ones included, and accounts; their versions stay, since no field of theirs has changed."""
    products, accounts = await fill(table)
    wanted = [keys.product(one.id) for one in products] + [keys.user(one.id) for one in accounts]
    before = [await raw(table, key) for key in wanted]
    spoilt = [wanted[position] for position in (0, 3, 5, 12, 15)]
    for key in spoilt:
        await spoil(table, key)
    await migrate(table, said.append)
    assert [await raw(table, key) for key in wanted] == before
    assert [(entry.seen, entry.changed) for entry in await standing(table)] == [
        (0, 0),
        (16, 5),
        (4, 0),
        (4, 0),
        (12, 0),
    ]
    listings = ProductListings(table)
    page = await listings.live(Listing(sort=Sort.NAME, brand="brightwell"), limit=99, start=None)
    assert len(page.items) == 10


@pytest.mark.usefixtures("small_pages")
async def test_a_finished_migration_runs_again_on_request(table: Table, said: list[Entry]) -> None:
    """From the beginning, with new counts; an unknown number is refused."""
    await migrate(table, said.append)
    products, _ = await fill(table)
    await spoil(table, keys.product(products[0].id))
    said.clear()
    await migrate(table, said.append, again=2)
    assert {entry.number for entry in said} == {2}
    assert [(entry.seen, entry.changed) for entry in await standing(table)] == [(0, 0), (16, 1), (0, 0), (0, 0), (0, 0)]
    with pytest.raises(LookupError, match="there is no migration 99"):
        await migrate(table, said.append, again=99)


async def test_a_request_to_rerun_an_unfinished_migration_runs_it_in_order(table: Table, said: list[Entry]) -> None:
    await migrate(table, said.append, again=2)
    assert {entry.state for entry in await standing(table)} == {State.FINISHED}


async def test_a_concurrent_change_is_never_overwritten(
    table: Table, said: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write between the scan and the update stays; index keys written by an older release are corrected."""
    store = ProductStore(table)
    made = [await create(store, name=f"N{number}") for number in range(3)]
    for one in made:
        await spoil(table, keys.product(one.id))
    scan = table.scan

    async def meanwhile(*arguments: Any, **options: Any) -> Any:
        found = await scan(*arguments, **options)
        if any(isinstance(item, ProductItem) and item.version == 1 for item in found[0]):
            monkeypatch.setattr(table, "scan", scan)
            await edit(store, made[0], name="By a new release")
            made[1] = await edit(store, made[1], name="By an old release")
            await spoil(table, keys.product(made[1].id))
            await table._writer.delete_item(
                TableName=table.name, Key={"pk": {"S": keys.product(made[2].id).pk}, "sk": {"S": "PRODUCT"}}
            )
        return found

    monkeypatch.setattr(ledger_module, "SEGMENTS", 1)
    monkeypatch.setattr(table, "scan", meanwhile)
    await migrate(table, said.append)
    names = [(await store.get(one.id, consistent=True) or one).name for one in made[:2]]
    assert names == ["By a new release", "By an old release"]
    assert (await raw(table, keys.product(made[1].id)))["by_name"]["S"].startswith("by an old release")
    assert await store.get(made[2].id, consistent=True) is None
    assert (await standing(table))[1].changed == 1


@pytest.mark.usefixtures("small_pages")
async def test_an_interrupted_migration_resumes_at_its_last_checkpoint(
    table: Table, said: list[Entry], only: Callable[[Any], None]
) -> None:
    """Every item is visited; only those of the interrupted page are visited twice."""
    await fill(table)
    visited: list[str] = []
    left = 8

    async def visit(item: Item) -> bool:
        nonlocal left
        left -= 1
        if left == 0:
            raise InterruptedError
        visited.append(item.pk)
        return True

    async def run(_: Table, ledger: Ledger) -> None:
        await ledger.sweep(visit, only=Item.type.is_in(ProductItem))

    only(run)
    with pytest.raises(InterruptedError):
        await migrate(table, said.append)
    assert said[-1].state is State.INTERRUPTED
    left = -1
    await migrate(table, said.append)
    assert len(set(visited)) == 12
    assert len(visited) < 12 + 2 * 3
    (entry,) = await standing(table)
    assert (entry.state, entry.seen) == (State.FINISHED, 12)


@pytest.mark.usefixtures("small_pages")
async def test_a_migration_can_be_cancelled_at_every_request(
    table: Table, said: list[Entry], only: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by Ctrl-C; the next run resumes at once."""
    await fill(table)
    done: set[str] = set()

    async def visit(item: Item) -> bool:
        done.add(item.pk)
        return True

    async def run(_: Table, ledger: Ledger) -> None:
        await ledger.sweep(visit, only=Item.type.is_in(SkuItem))

    only(run)
    call, budget = table._call, 0

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal budget
        budget -= 1
        if budget == 0:
            raise asyncio.CancelledError
        return await call(*arguments, **options)

    monkeypatch.setattr(table, "_call", counted)
    for budget_of_run in range(2, 9):
        budget = budget_of_run
        try:
            await migrate(table, said.append)
        except asyncio.CancelledError:
            continue
    budget = -1
    await migrate(table, said.append)
    assert len(done) == 10
    assert said[-1].state is State.FINISHED


async def test_a_cancelled_migration_logs_no_traceback(
    table: Table, said: list[Entry], only: Callable[[Any], None]
) -> None:
    """By default asyncio logs an exception that is never retrieved."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    await create(ProductStore(table))
    visiting = asyncio.Event()

    async def visit(_: Item) -> bool:
        visiting.set()
        await asyncio.sleep(60)
        return True

    async def run(_: Table, ledger: Ledger) -> None:
        await ledger.sweep(visit, only=Item.type.is_in(ProductItem))

    only(run)
    migrating = asyncio.create_task(migrate(table, said.append))
    await visiting.wait()
    migrating.cancel()
    await asyncio.wait([migrating])
    del migrating
    gc.collect()
    assert complaints == []
    assert said[-1].state is State.INTERRUPTED


async def test_a_round_that_takes_longer_than_a_lease_keeps_it(
    table: Table, said: list[Entry], only: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A product may have a long history, and a throttled write waits for minutes. A second run waits meanwhile."""
    monkeypatch.setattr(ledger_module, "LEASE", timedelta(seconds=0.5))
    await create(ProductStore(table))
    visited: list[str] = []

    async def visit(item: Item) -> bool:
        visited.append(item.pk)
        await asyncio.sleep(1.5)
        return True

    async def run(_: Table, ledger: Ledger) -> None:
        await ledger.sweep(visit, only=Item.type.is_in(ProductItem))

    only(run)
    first = asyncio.create_task(migrate(table, said.append))
    while not visited:  # noqa: ASYNC110 - the visit has no event
        await asyncio.sleep(0.01)
    await migrate(table, said.append)
    await first
    assert len(visited) == 1
    assert {entry.state for entry in said} >= {State.RUNNING, State.WAITING, State.FINISHED}


async def test_a_run_that_has_lost_its_lease_stops_within_a_round(
    table: Table, said: list[Entry], only: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run has taken the migration over while this one was suspended."""
    monkeypatch.setattr(ledger_module, "LEASE", timedelta(seconds=0.3))
    await create(ProductStore(table))
    ended: list[str] = []

    async def visit(item: Item) -> bool:
        await table.update(Update(keys.migration(1), [MigrationItem.runner.set("another")]))
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(item.pk)
        return True

    async def run(_: Table, ledger: Ledger) -> None:
        await ledger.sweep(visit, only=Item.type.is_in(ProductItem))

    only(run)
    with pytest.raises(Lost):
        async with asyncio.timeout(10):
            await migrate(table, said.append)
    assert len(ended) == 1


async def test_a_second_runner_waits_for_the_first(
    table: Table, said: list[Entry], only: Callable[[Any], None]
) -> None:
    """It reports that it waits, and succeeds when the first has finished."""
    working = 0
    runs = 0

    async def run(_: Table, ledger: Ledger) -> None:
        nonlocal working, runs
        runs, working = runs + 1, working + 1
        assert working == 1
        for place in range(4):
            await asyncio.sleep(0.02)
            await ledger.checkpoint(place, seen=1)
        working -= 1

    only(run)
    await asyncio.gather(*(migrate(table, said.append) for _ in range(3)))
    assert runs == 1
    assert {entry.state for entry in said} == {State.RUNNING, State.WAITING, State.FINISHED}
    assert (await standing(table))[0].seen == 4


async def test_a_run_is_taken_over_when_its_lease_expires(table: Table, said: list[Entry]) -> None:
    """From its last checkpoint on. A run that was only slow notices at its next checkpoint and stops."""
    watch = Watch()
    slow = await claim(table, 1, "test", clock=watch, report=said.append)
    assert slow is not None
    await slow.checkpoint({"at": 5}, seen=5)
    watch.pass_by(LEASE)
    with pytest.raises(Held) as held:
        await claim(table, 1, "test", clock=watch, report=said.append)
    assert (held.value.entry.seen, held.value.entry.state) == (5, State.RUNNING)
    watch.pass_by(timedelta(milliseconds=1))
    assert (await standing(table, clock=watch))[0].state is State.INTERRUPTED
    second = await claim(table, 1, "test", clock=watch, report=said.append)
    assert second is not None
    assert second.position == {"at": 5}
    for late in (slow.checkpoint({"at": 6}), slow.finish(), slow.release()):
        with pytest.raises(Lost):
            await late
    await second.checkpoint({"at": 7}, seen=2, changed=1)
    await second.finish()
    (entry, *_) = await standing(table, clock=watch)
    assert (entry.state, entry.seen, entry.changed, entry.finished_at) == (State.FINISHED, 7, 1, watch.at)
    assert await claim(table, 1, "test", clock=watch, report=said.append) is None


@pytest.mark.parametrize("skew", [timedelta(days=-1), timedelta(days=1)])
async def test_a_wrong_clock_neither_lengthens_nor_shortens_a_lease(
    table: Table, said: list[Entry], only: Callable[[Any], None], skew: timedelta
) -> None:
    """Runs that die by it make no later run wait for a day, and those that work are not taken over."""
    ended = clock.now() - timedelta(seconds=2)
    actions = [MigrationItem.type.set(MigrationItem), MigrationItem.v.set(1), MigrationItem.held_until.set(ended)]
    await table.update(Update(keys.migration(1), [*actions, MigrationItem.runner.set("dead")]))
    held: list[datetime] = []

    async def run(table: Table, _: Ledger) -> None:
        item = await table.get(keys.migration(1), consistent=True)
        assert isinstance(item, MigrationItem)
        held.append(item.held_until)

    only(run)
    async with asyncio.timeout(10):
        await migrate(table, said.append, clock=lambda: clock.now() + skew)
    assert abs(held[0] - LEASE - clock.now()) < timedelta(seconds=10)


async def test_a_run_that_was_taken_over_fails(
    table: Table, said: list[Entry], only: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not mark the migration as finished."""
    watch = Watch()

    async def undated(_: keys.Key) -> tuple[None, None]:
        return None, None

    monkeypatch.setattr(table, "get_dated", undated)

    async def run(table: Table, ledger: Ledger) -> None:
        watch.pass_by(LEASE + timedelta(seconds=1))
        await claim(table, 1, "test", clock=watch, report=said.append)
        await ledger.checkpoint(1)

    only(run)
    with pytest.raises(Lost):
        await migrate(table, said.append, clock=watch)


async def test_a_retried_write_is_not_mistaken_for_another_run(
    table: Table, said: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK sends a write again when its response is lost: a claim, a checkpoint or the final entry."""
    update = table._writer.update_item

    async def twice(**arguments: Any) -> Any:
        await update(**arguments)
        return await update(**arguments)

    monkeypatch.setattr(table._writer, "update_item", twice)
    await fill(table)
    await migrate(table, said.append)
    assert [(entry.seen, entry.state) for entry in await standing(table)] == [
        (0, State.FINISHED),
        (16, State.FINISHED),
        (4, State.FINISHED),
        (4, State.FINISHED),
        (12, State.FINISHED),
    ]


@pytest.mark.usefixtures("small_pages")
async def test_throttled_requests_are_retried(table: Table, said: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    """A few times a page; lasting throttling ends the run, and the next run resumes."""
    products, _ = await fill(table)
    for one in products:
        await spoil(table, keys.product(one.id))
    scan, failures = table.scan, 5

    async def throttled(scan_: Scan, **options: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures % 2 == 0 or failures > 100:
            raise TableUnavailable
        return await scan(scan_, **options)

    monkeypatch.setattr(table, "scan", throttled)
    await m0001_is_done(table)
    failures = 10**6
    with pytest.raises(TableUnavailable):
        await migrate(table, said.append)
    failures = 40
    await migrate(table, said.append)
    assert (await standing(table))[1].changed == 12


async def m0001_is_done(table: Table) -> None:
    """Finish the first migration, so that only the second one scans."""
    ledger = await claim(table, 1, "baseline", clock=clock.now, report=lambda _: None)
    assert ledger is not None
    await ledger.finish()


async def test_other_items_are_left_alone(table: Table, said: list[Entry]) -> None:
    """SKU and e-mail items, and items of a type that only a newer release knows."""
    await table.put(Put(EmailItem.keyed(keys.email("uma@example.com"), user_id="1")))
    await table._writer.put_item(
        TableName=table.name,
        Item={"pk": {"S": "NEWER#1"}, "sk": {"S": "NEWER"}, "type": {"S": "newer"}, "v": {"N": "1"}},
    )
    await migrate(table, said.append)
    assert (await standing(table))[1].seen == 0


async def test_an_account_that_a_migration_corrects_keeps_its_version(table: Table, said: list[Entry]) -> None:
    """A client that read the account before can still update it."""
    store = UserStore(table)
    before = user()
    await store.create(before, HASH)
    await spoil(table, keys.user(before.id))
    await migrate(table, said.append)
    await store.update(before, after := replace(before, name="Other", version=2))
    assert await store.get(before.id) == after
    assert m0002_index_keys.NAME == "index keys"
