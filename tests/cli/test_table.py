"""`vitrina table`: output and exit codes."""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from rich.console import Console

from tests.cli.command import Vitrina, settings
from tests.store.samples import HASH, create, user
from vitrina.aws import connect
from vitrina.cli import table as table_command
from vitrina.config import Settings
from vitrina.domain.users import Role
from vitrina.store import keys
from vitrina.store.definition import create_table_arguments
from vitrina.store.items import Item, SkuItem
from vitrina.store.migrations import ledger
from vitrina.store.operations import Delete, Put, Update
from vitrina.store.products import ProductStore
from vitrina.store.table import Table
from vitrina.store.users import UserStore

T = TypeVar("T")


@pytest.fixture
def environment(engine: str, table_name: str) -> dict[str, str]:
    """Settings for a table that does not exist yet."""
    return settings(engine, table_name)


@pytest.fixture
def vitrina(environment: dict[str, str]) -> Vitrina:
    """The command line with these settings."""
    return Vitrina(**environment)


@pytest.fixture
def configured(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same settings, as the command reads them."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


def on_table(configured: Settings, work: Callable[[Table], Awaitable[T]]) -> T:
    """Run a coroutine on the table."""

    async def run() -> T:
        async with connect(configured) as clients:
            return await work(Table(clients, name=configured.table_name, deadline=30))

    return asyncio.run(run())


async def tear(table: Table) -> None:
    """Write a product without its SKU item, and two SKU items without a product."""
    made = await create(ProductStore(table), sku="Lamp-1")
    await table.delete(Delete(keys.sku(made.sku)))
    for sku in ("x", "y"):
        await table.put(Put(SkuItem.keyed(keys.sku(sku), product_id="1")))


@pytest.mark.engine("dynamodb_local", "ministack")
def test_create_makes_migrates_and_does_no_harm_again(vitrina: Vitrina, table_name: str) -> None:
    """`table status` then reports no differences."""
    done = vitrina("table", "create")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == f"table {table_name} is missing: putting that right"
    assert "migration 0002 index keys: finished, 0 items checked, 0 changed" in done.stdout
    assert done.stdout.endswith(f"table {table_name} is created\n")
    done = vitrina("table", "create")
    assert (done.exit_code, done.stdout) == (0, f"table {table_name} is up to date\n")
    done = vitrina("table", "status")
    assert done.exit_code == 0, done.output
    for line in (
        f"table                   {table_name}\n",
        "index listing-by-name   ACTIVE\n",
        "TTL                     ENABLED on expires_at\n",
        "migration 0001          baseline: finished, 0 items checked, 0 changed\n",
    ):
        assert line in done.stdout
    assert "differs" not in done.stdout


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("40000", "give two numbers, such as 40000,10000"),
        ("40k,10k", "give two numbers, such as 40000,10000"),
        ("40000,3999", "each table begins with 12000,4000"),
    ],
)
def test_a_warm_throughput_that_makes_no_sense_is_refused(vitrina: Vitrina, value: str, reason: str) -> None:
    """Before any call."""
    done = vitrina("table", "create", "--warm-throughput", value)
    assert (done.exit_code, reason in done.stderr) == (2, True)


def test_a_warm_throughput_that_the_engine_lacks_is_refused(vitrina: Vitrina) -> None:
    """DynamoDB Local has none."""
    done = vitrina("table", "create", "--warm-throughput", "40000,10000")
    assert (done.exit_code, done.stderr) == (1, "Error: warm throughput is not supported by this engine\n")
    assert "warm throughput         not supported by this engine\n" in vitrina("table", "status").stdout


def test_status_of_a_table_that_is_not_there_ends_with_1(vitrina: Vitrina, table_name: str) -> None:
    done = vitrina("table", "status")
    assert done.exit_code == 1
    assert f"differs                 table {table_name} is missing\n" in done.stdout
    done = vitrina("table", "status", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert (found["state"], found["differences"], found["migrations"]) == (
        "MISSING",
        [f"table {table_name} is missing"],
        [],
    )


def test_migrations_that_wait_are_told_and_run(vitrina: Vitrina, configured: Settings) -> None:
    """`create` updates an older table's definition, `migrate` its items."""
    assert vitrina("table", "create").exit_code == 0
    on_table(configured, lambda table: ledger.reopen(table, 2))
    done = vitrina("table", "status", "--json")
    assert done.exit_code == 1
    assert [entry["state"] for entry in json.loads(done.stdout)["migrations"]] == [
        "finished",
        "interrupted",
        "finished",
        "finished",
        "finished",
    ]
    done = vitrina("table", "create")
    assert (done.exit_code, "migrations to run: 0002 index keys (vitrina table migrate)" in done.stdout) == (0, True)
    done = vitrina("table", "migrate")
    assert done.exit_code == 0
    assert done.stdout.endswith("all 5 migrations have been run\n")
    assert vitrina("table", "status").exit_code == 0


def test_the_notes_of_a_migration_are_printed(vitrina: Vitrina, configured: Settings) -> None:
    """By `migrate` and by `status`."""
    assert vitrina("table", "create").exit_code == 0
    admin = user(email="josé@example.com", role=Role.ADMIN)
    on_table(configured, lambda table: UserStore(table).create(admin, HASH))
    note = f"admin {admin.id} gets no mail: mail servers do not accept the address; change it"
    done = vitrina("table", "migrate", "--again", "3")
    assert f"migration 0003 email domains: finished, 1 items checked, 0 changed\n  {note}\n" in done.stdout
    assert f"note of 0003            {note}\n" in vitrina("table", "status").stdout
    assert json.loads(vitrina("table", "status", "--json").stdout)["migrations"][2]["notes"] == [note]


def test_a_migration_runs_again_when_it_is_asked_for(vitrina: Vitrina, configured: Settings) -> None:
    assert vitrina("table", "create").exit_code == 0

    async def spoil(table: Table) -> None:
        made = await create(ProductStore(table))
        await table.update(Update(keys.product(made.id), [Item.by_name.set("old")]))

    on_table(configured, spoil)
    done = vitrina("table", "migrate", "--again", "2")
    assert done.exit_code == 0
    assert "migration 0002 index keys: finished, 1 items checked, 1 changed\n" in done.stdout
    done = vitrina("table", "migrate", "--again", "99")
    assert (done.exit_code, done.stderr) == (2, "Error: there is no migration 99\n")


def test_a_table_of_somebody_else_is_refused(vitrina: Vitrina, configured: Settings, table_name: str) -> None:
    """Both with other keys and with Vitrina's keys but foreign items."""

    async def make_other(table: Table) -> None:
        await table._writer.create_table(
            TableName=table_name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    on_table(configured, make_other)
    done = vitrina("table", "create")
    assert done.exit_code == 1
    assert done.stderr == (
        f"Error: table {table_name} is not Vitrina's, its key is (id): set VITRINA_TABLE_NAME to another\n"
    )
    other = f"{table_name}-2"
    assert vitrina("table", "create", VITRINA_TABLE_NAME=other).exit_code == 0

    async def add_foreign_item(table: Table) -> None:
        await ledger.reopen(table, 1)
        await table._writer.put_item(TableName=other, Item={"pk": {"S": "a"}, "sk": {"S": "b"}})

    on_table(configured.model_copy(update={"table_name": other}), add_foreign_item)
    done = vitrina("table", "migrate", VITRINA_TABLE_NAME=other)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: The table holds items that are not Vitrina's")
    for command in (("table", "status"), ("table", "check"), ("users", "remove-super-admin", "--email", "a@b.example")):
        done = vitrina(*command)  # Of the table with another key.
        assert (done.exit_code, type(done.exception)) == (1, SystemExit), done.output
        assert "is not Vitrina's" in done.stdout or "`vitrina table status` describes it" in done.stderr


@pytest.mark.parametrize("type_", [None, {"S": "order"}, {"S": "user"}, {"N": "1"}])
def test_a_table_of_another_application_is_left_as_it_is(
    vitrina: Vitrina, configured: Settings, type_: dict[str, str] | None
) -> None:
    """Its items may have an attribute `expires_at`, by which our TTL would delete them."""
    item = {"pk": {"S": "ORDER#1"}, "sk": {"S": "META"}} | ({"type": type_} if type_ else {})

    async def make_other(table: Table) -> None:
        await table._writer.create_table(
            TableName=table.name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        await table._writer.put_item(TableName=table.name, Item=item)

    async def look(table: Table) -> tuple[object, object]:
        described = (await table._writer.describe_table(TableName=table.name))["Table"]
        items = (await table._writer.scan(TableName=table.name))["Items"]
        return {"GlobalSecondaryIndexes", "StreamSpecification"} & described.keys(), items

    on_table(configured, make_other)
    for command in (("create",), ("migrate",), ("check", "--repair")):
        done = vitrina("table", *command)
        assert (done.exit_code, type(done.exception), done.stdout) == (1, SystemExit, ""), done.output
        assert "Vitrina's" in done.stderr
    assert on_table(configured, look) == (set(), [item])


def test_check_tells_what_is_torn_and_repairs_it(vitrina: Vitrina, configured: Settings) -> None:
    """The exit code is 1 while problems are left to repair."""
    assert vitrina("table", "create").exit_code == 0
    done = vitrina("table", "check")
    assert (done.exit_code, done.stdout) == (0, "0 items checked: no problems\n")
    on_table(configured, tear)
    done = vitrina("table", "check")
    assert done.exit_code == 1
    assert len([line for line in done.stdout.splitlines() if line.startswith("found: ")]) == 3
    assert "found: orphan sku: SKU#x/SKU names PRODUCT#1/PRODUCT, which is not there\n" in done.stdout
    assert done.stdout.endswith("3 items checked: 1 missing sku, 2 orphan sku\n")
    done = vitrina("table", "check", "--json")
    assert done.exit_code == 1
    result = json.loads(done.stdout)
    assert {finding["what"] for finding in result.pop("findings")} == {"sku"}
    assert result == {"items": 3, "found": {"missing sku": 1, "orphan sku": 2}, "repaired": 0}
    done = vitrina("table", "check", "--repair")
    assert done.exit_code == 0
    assert done.stdout.endswith("1 missing sku, 2 orphan sku; 3 repaired\n")
    assert "repaired: missing sku: " in done.stdout
    assert vitrina("table", "check", "--repair", "--json").exit_code == 0


def test_progress_is_for_a_person_who_watches(
    vitrina: Vitrina, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Progress appears on standard error, on terminals only."""
    assert vitrina("table", "create").exit_code == 0
    on_table(configured, tear)
    done = vitrina("table", "check")
    assert done.stderr == ""
    screen = io.StringIO()
    monkeypatch.setattr(
        "vitrina.cli.progress.Console",
        lambda **_: Console(file=screen, force_terminal=True, force_interactive=True, width=200),
    )
    assert vitrina("table", "check", "--json").stdout.count("\n") == 1
    assert vitrina("table", "migrate", "--again", "2").exit_code == 0
    assert "3 items" in screen.getvalue()
    assert "migration 0002 index keys" in screen.getvalue()


@pytest.mark.engine("ministack")  # the demo prepares its table so
async def test_prepare_is_create_and_migrate_for_other_commands(configured: Settings) -> None:
    """`prepare` returns whether the table is new, and reports only to its callback."""
    said: list[str] = []
    assert await table_command.prepare(configured, said.append)
    assert "migration 0002 index keys: finished, 0 items checked, 0 changed" in said
    assert not await table_command.prepare(configured)


def test_a_table_that_something_else_made_begins_its_ledger(
    vitrina: Vitrina, configured: Settings, table_name: str
) -> None:
    """A CloudFormation template, for example, or an earlier `create` that was interrupted."""

    async def make(table: Table) -> None:
        await table._writer.create_table(**create_table_arguments(configured))

    on_table(configured, make)
    done = vitrina("table", "create")
    assert done.exit_code == 0
    assert "migration 0001 baseline: finished" in done.stdout
    assert done.stdout.endswith(f"table {table_name} is up to date\n")
