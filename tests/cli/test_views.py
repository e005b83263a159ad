"""`vitrina views rollup` and `report`."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TypeVar

import click
import pytest

from tests.cli.command import Vitrina, settings
from tests.store.samples import create, delete
from vitrina.aws import connect
from vitrina.config import Settings
from vitrina.domain.products import Action, Product, describe
from vitrina.domain.reports import Counts, Period, pack_table, product_key
from vitrina.domain.views import View
from vitrina.services.analytics import view_counter as counter
from vitrina.store import keys
from vitrina.store.items import ViewTallyItem
from vitrina.store.operations import Put
from vitrina.store.products import ProductStore
from vitrina.store.rollups import RollupStore
from vitrina.store.table import Table
from vitrina.store.views import ViewStore

T = TypeVar("T")


@pytest.fixture
def vitrina(engine: str, table_name: str) -> Vitrina:
    """The command line for an existing table."""
    command = Vitrina(**settings(engine, table_name))
    assert command("table", "create").exit_code == 0
    return command


@pytest.fixture
def configured(vitrina: Vitrina, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same settings, as the command reads them."""
    for name, value in vitrina.environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


def on_table(configured: Settings, work: Callable[[Table], Awaitable[T]]) -> T:
    """Run a coroutine on the table."""

    async def run() -> T:
        async with connect(configured) as clients:
            return await work(Table(clients, name=configured.table_name, deadline=30))

    return asyncio.run(run())


def today() -> date:
    """Return today, UTC."""
    return datetime.now(UTC).date()


def ago(days: int) -> date:
    """Return the day so many days ago."""
    return today() - timedelta(days=days)


def view(product_id: str, day: date, *, visitor: int = 0, referrer: str | None = None, bot: bool = False) -> View:
    """Return a view at the start of a day."""
    at = datetime.combine(day, time.min, UTC)
    return View(product_id, int(at.timestamp() * 1000), visitor.to_bytes(12), referrer, bot)


def write(configured: Settings, views: Sequence[View]) -> list[keys.Key]:
    """Store views of past days; returns the keys of their segments."""

    async def work(table: Table) -> list[keys.Key]:
        store = ViewStore(table)
        segments = store.segments(views)
        await store.put(segments)
        return [keys.Key(segment.pk, segment.sk) for segment in segments]

    return on_table(configured, work)


def totals(configured: Settings, first: date, last: date) -> dict[date, Counts]:
    """Return the totals of the rollups of some days."""
    return on_table(configured, lambda table: RollupStore(table).totals(Period(first, last)))


PRODUCT = "01a20f85-08d9-73a0-8275-7148fa5f785c"


def test_a_disk_without_room_is_said_in_a_sentence(
    vitrina: Vitrina, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many visitors of a day spill to disk; the failed day is not marked, so a later run counts it."""
    monkeypatch.setattr(counter, "_MOST_IN_MEMORY", 0)
    write(configured, [view(PRODUCT, ago(3))])
    command = ["views", "rollup", "--from", f"{ago(3)}", "--to", f"{ago(3)}"]
    with monkeypatch.context() as full:
        full.setattr("tempfile.TemporaryFile", lambda **_: Path("/dev/full").open("wb", buffering=0))  # noqa: SIM115
        done = vitrina(*command)
    assert done.exit_code == 1
    assert "No space left on device; set TMPDIR to another folder" in done.stderr
    assert totals(configured, ago(3), ago(3)) == {}
    assert vitrina(*command).exit_code == 0
    assert totals(configured, ago(3), ago(3)) == {ago(3): Counts(1, 1, 0)}


def test_days_are_rolled_up_once_and_again_when_asked(vitrina: Vitrina, configured: Settings) -> None:
    """After an interruption, the command continues with the first day not marked."""
    write(configured, [view(PRODUCT, ago(3)), view(PRODUCT, ago(4), bot=True), view(PRODUCT, ago(4))])
    days = ["--from", f"{ago(4)}", "--to", f"{ago(3)}"]
    done = vitrina("views", "rollup", "--from", f"{ago(4)}", "--to", f"{ago(4)}")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{ago(4)} to {ago(4)}: 1 days rolled up, 2 views counted, ")
    done = vitrina("views", "rollup", *days)
    assert ": 1 days rolled up, 1 views counted, " in done.stdout
    done = vitrina("views", "rollup", *days)
    assert done.stdout == f"{ago(4)} to {ago(3)}: 0 days rolled up, 0 views counted\n"
    assert totals(configured, ago(9), ago(1)) == {ago(4): Counts(1, 1, 1), ago(3): Counts(1, 1, 0)}
    write(configured, [view(PRODUCT, ago(3), visitor=1)])
    done = vitrina("views", "rollup", *days, "--again")
    assert ": 2 days rolled up, 4 views counted, " in done.stdout
    assert totals(configured, ago(3), ago(3)) == {ago(3): Counts(2, 2, 0)}


def test_a_day_whose_segments_are_gone_stays_as_it_was(vitrina: Vitrina, configured: Settings) -> None:
    """The other days are counted again; the exit code is 1 and the message names the day."""
    segments = write(configured, [view(PRODUCT, ago(4))])
    write(configured, [view(PRODUCT, ago(3))])
    days = ["--from", f"{ago(4)}", "--to", f"{ago(3)}"]
    assert vitrina("views", "rollup", *days).exit_code == 0
    on_table(configured, lambda table: table.delete_many(segments))
    done = vitrina("views", "rollup", *days, "--again")
    assert done.exit_code == 1
    assert ": 1 days rolled up, 1 views counted, " in done.stdout
    assert f"days whose views have expired keep their counts: {ago(4)}\n" in done.stderr
    assert totals(configured, ago(4), ago(4)) == {ago(4): Counts(1, 1, 0)}


def test_a_day_that_got_views_and_lost_its_segments_is_warned_of_once(
    vitrina: Vitrina, configured: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job succeeds, and a report says which days may lack views."""
    monkeypatch.setattr("vitrina.services.analytics.rollups._SETTLING", 0)
    segments = write(configured, [view(PRODUCT, ago(4))])
    days = ["--from", f"{ago(4)}", "--to", f"{ago(4)}"]
    assert vitrina("views", "rollup", *days).exit_code == 0

    async def late(table: Table) -> None:
        store = ViewStore(table)
        await store.put_late(made := store.segments([view(PRODUCT, ago(4), visitor=1)]))
        await table.delete_many([*segments, *(keys.Key(segment.pk, segment.sk) for segment in made)])

    on_table(configured, late)
    done = vitrina("views", "rollup", *days)
    assert (done.exit_code, done.stderr.count(f"keep their counts: {ago(4)}\n")) == (0, 1)
    done = vitrina("views", "rollup", *days)
    assert (done.exit_code, done.stderr) == (0, "")
    out = tmp_path / "report.html"
    assert vitrina("views", "report", *days, "--out", str(out)).stdout.endswith(", 1 views\n")
    assert "these days may have had more views" in out.read_text()


def test_a_report_makes_a_rollup_with_items_of_another_one_again(
    vitrina: Vitrina, configured: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that died may have left them."""
    monkeypatch.setattr("vitrina.services.analytics.rollups._SETTLING", 0)
    write(configured, [view(PRODUCT, ago(4))])
    days = ["--from", f"{ago(4)}", "--to", f"{ago(4)}"]
    assert vitrina("views", "rollup", *days).exit_code == 0

    async def leave(table: Table) -> None:
        [key] = await RollupStore(table).parts(ago(4), generation=None)
        await table.put(Put(ViewTallyItem.keyed(key, rows=b"", generation="another")))

    async def tables(table: Table) -> list[bytes]:
        store = RollupStore(table)
        rollup = (await store.stored(Period(ago(4), ago(4))))[ago(4)]
        assert rollup.is_valid
        assert rollup.generation
        return [rows async for rows in store.tables(ago(4), rollup)]

    on_table(configured, leave)
    assert vitrina("views", "report", *days, "--out", str(tmp_path / "report.html")).stdout.endswith(", 1 views\n")
    assert on_table(configured, tables) == [pack_table({product_key(PRODUCT): Counts(1, 1, 0)})]


def test_a_day_that_will_go_uncounted_is_warned_of(vitrina: Vitrina, configured: Settings) -> None:
    """With a retention period, the default range is the days whose segments have not expired."""
    done = vitrina("views", "rollup", "--from", f"{ago(3)}", "--to", f"{ago(3)}", VITRINA_VIEWS_RETENTION_DAYS="5")
    assert done.exit_code == 0
    assert f"days from {ago(5)} on are not rolled up; views expire after VITRINA_VIEWS_RETENTION_DAYS=5" in done.stderr
    assert done.stderr.endswith(f"(vitrina views rollup --from {ago(5)})\n")
    done = vitrina("views", "rollup", VITRINA_VIEWS_RETENTION_DAYS="5")
    assert (done.exit_code, done.stderr) == (0, "")
    assert min(totals(configured, ago(99), today())) == ago(5)
    done = vitrina("views", "rollup", VITRINA_VIEWS_RETENTION_DAYS="36500")
    assert (done.exit_code, done.stderr) == (0, "")  # All that a report may ask for.
    done = vitrina("views", "rollup", "--to", "0001-01-01", VITRINA_VIEWS_RETENTION_DAYS="1")
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rollup", "--to", "9999-01-01"], "--to: 9999-01-01 is not closed yet; the last closed day is "),
        (
            ["rollup", "--from", "2026-01-02", "--to", "2026-01-01"],
            "--from: 2026-01-02 is after the last day, 2026-01-01",
        ),
        (["report", "--out", "x.html", "--from", "2025-01-02", "--to", "2025-01-01"], "--from: must not be after"),
        (["report", "--out", "x.html", "--from", "2020-01-02", "--to", "2025-01-01"], "366 are the most"),
        (
            ["report", "--out", "x.html", "--from", "9999-01-01", "--to", "9999-01-01"],
            "--from: 9999-01-01 is in the future",
        ),
        (["report", "--out", "x.html", "--from", "soon"], "does not match the format"),
        (["report"], "Missing option '--out'"),
    ],
)
def test_bad_days_are_refused_in_a_sentence(vitrina: Vitrina, arguments: list[str], said: str) -> None:
    done = vitrina("views", *arguments)
    assert done.exit_code == 2
    assert said in click.unstyle(done.stderr)


def test_a_report_is_one_page_of_closed_and_open_days(vitrina: Vitrina, configured: Settings, tmp_path: Path) -> None:
    """It rolls up closed days, counts the open day, ends today, and shows price changes and deleted products."""

    async def products(table: Table) -> list[Product]:
        store = ProductStore(table)
        lamp = await create(store, name="Lamp <1>", sku="LAMP-1")
        rug = await create(store, name="Rug", sku="RUG-1")
        at = datetime.combine(ago(2), time(12), UTC)
        dearer = lamp.edited(replace(lamp.drafted(), price=lamp.price + 1), by=lamp.created_by, at=at)
        await store.update(lamp, dearer, describe(lamp, dearer, action=Action.UPDATED, request_id="r"))
        return [lamp, await delete(store, rug)]

    lamp, rug = on_table(configured, products)
    write(
        configured,
        [
            *(view(lamp.id, ago(2), visitor=number, referrer="shop.example") for number in range(30)),
            *(view(rug.id, ago(2), visitor=number) for number in range(20)),
            *(view(rug.id, today(), visitor=number) for number in range(21)),
            view(PRODUCT, today(), bot=True),
        ],
    )
    out = tmp_path / "report.html"
    done = vitrina("views", "report", "--from", f"{ago(3)}", "--to", f"{ago(-1)}", "--out", str(out))
    assert done.exit_code == 0, done.output
    page = out.read_text()
    assert done.stdout == f"{out}: {len(page.encode()):,} bytes, 71 views\n"
    assert totals(configured, ago(9), today()).keys() >= {ago(3), ago(2)}
    assert today() not in totals(configured, ago(9), today())
    assert page.index("Rug") < page.index("Lamp &lt;1&gt;")
    assert f"{lamp.price} → {lamp.price + 1} {lamp.currency}" in page
    assert f"<title>Product views, {ago(3)} to {today()}</title>" in page
    assert "shop.example" in page
    assert f"{rug.original_sku} · deleted" in page
    assert rug.sku not in page
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_report_of_nobody_is_a_page_too(vitrina: Vitrina, tmp_path: Path) -> None:
    """Its default range is the last 30 days."""
    out = tmp_path / "report.html"
    done = vitrina("views", "report", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert f"<title>Product views, {ago(29)} to {today()}</title>" in out.read_text()


def test_a_page_that_cannot_be_written_leaves_nothing(vitrina: Vitrina, tmp_path: Path) -> None:
    """An earlier report stays in place."""
    arguments = ["views", "report", "--from", f"{today()}", "--out"]
    done = vitrina(*arguments, str(tmp_path / "nowhere" / "report.html"))
    assert done.exit_code == 1
    assert done.stderr.endswith("nowhere/report.html: No such file or directory\n")
    folder = tmp_path / "report.html"
    folder.mkdir()
    assert vitrina(*arguments, str(folder)).exit_code == 2
    assert list(folder.iterdir()) == []


def test_a_page_that_is_cut_short_leaves_the_one_before(
    vitrina: Vitrina, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No temporary file is left behind."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "report.html"
    out.write_text("before")
    monkeypatch.setattr(os, "fsync", full)
    done = vitrina("views", "report", "--from", f"{today()}", "--out", str(out))
    assert (done.exit_code, done.stderr) == (1, f"Error: cannot write {out}: No space left on device\n")
    assert (out.read_text(), len(list(tmp_path.iterdir()))) == ("before", 1)
