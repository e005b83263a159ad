"""`vitrina views export` writes the same events from the table and from a table export."""

import asyncio
import gzip
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import duckdb
import pytest
from rich.console import Console

from tests.cli.command import Vitrina, settings
from tests.services.exports.places import BucketOut
from tests.store.samples import create, delete, product
from vitrina.aws import connect
from vitrina.bootstrap import Services
from vitrina.cli import view_export as exports
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.domain.views import View, midnight_ms
from vitrina.ids import new_id
from vitrina.store.codecs.products import product_item
from vitrina.store.products import ProductStore
from vitrina.store.schema import ensure
from vitrina.store.table import Table
from vitrina.store.views import ViewStore

T = TypeVar("T")
FIRST = date(2026, 11, 10)
DAYS = [FIRST + timedelta(days=number) for number in range(3)]
RANGE = ("--from", f"{DAYS[0]}", "--to", f"{DAYS[-1]}")


@pytest.fixture
def environment(engine: str, table_name: str) -> dict[str, str]:
    """Settings for a table that does not exist yet."""
    return settings(engine, table_name)


@pytest.fixture
def vitrina(environment: dict[str, str]) -> Vitrina:
    """The command line with these settings."""
    return Vitrina(**environment)


@pytest.fixture
def raw_items(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """All items of a table with two days of views: of a live, a deleted and an unknown product."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    configured = Settings()

    async def make() -> list[dict[str, Any]]:
        async with connect(configured) as clients:
            await ensure(clients.writer, configured, lambda _: None)
            table = Table(clients, name=configured.table_name, deadline=30)
            products = ProductStore(table)
            lamp = await create(products, sku="=LAMP", created_at=datetime(2026, 11, 10, tzinfo=UTC))
            old = await create(products, sku="GONE", created_at=datetime(2026, 11, 9, tzinfo=UTC))
            gone = await delete(products, old)
            store = ViewStore(table)
            for number in range(6):
                views = [
                    View(
                        each, midnight_ms(day) + 40_000_000 + number, bytes([number] * 12), "a.example", bot=number == 5
                    )
                    for day in (DAYS[0], DAYS[2])
                    for each in (lamp.id, gone.id, new_id())
                ]
                for flush in [[view] for view in views] if number % 2 else [views]:  # Alone, and mixed.
                    await store.put(store.segments(flush))
            items: list[dict[str, Any]] = (await clients.writer.scan(TableName=configured.table_name))["Items"]
            return items

    async def drop() -> None:
        async with connect(configured) as clients:
            await clients.writer.delete_table(TableName=configured.table_name)

    yield asyncio.run(make())
    asyncio.run(drop())


def write_table_export(
    folder: Path, items: list[dict[str, Any]], *, files: int = 3, at: str = "2026-11-24T07:00:00.000Z"
) -> None:
    """Write items in the format of DynamoDB's export to S3."""
    (folder / "data").mkdir(parents=True)
    listed = []
    for number in range(files):
        part = items[number::files]
        lines = [json.dumps({"Item": item}, default=lambda value: b64encode(value).decode()) for item in part]
        name = f"part{number}.json.gz"
        (folder / "data" / name).write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
        listed.append({"itemCount": len(part), "dataFileS3Key": f"AWSDynamoDB/01693685827463-2d8752fd/data/{name}"})
    (folder / "manifest-files.json").write_text("".join(f"{json.dumps(entry)}\n" for entry in listed))
    summary = {"outputFormat": "DYNAMODB_JSON", "exportType": "FULL_EXPORT", "exportTime": at}
    (folder / "manifest-summary.json").write_text(json.dumps(summary))


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of each day's file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("views/day=*/*")
    }


def test_the_table_and_its_own_export_give_the_same_files(
    vitrina: Vitrina, raw_items: list[dict[str, Any]], tmp_path: Path
) -> None:
    """In every format; a second run finds every day complete."""
    write_table_export(tmp_path / "s3", raw_items)
    (tmp_path / "bare").mkdir()
    for file in (tmp_path / "s3" / "data").iterdir():
        (tmp_path / "bare" / file.name).write_bytes(file.read_bytes())
    for form in ("parquet", "csv", "jsonl"):
        live = tmp_path / form
        done = vitrina("views", "export", *RANGE, "--format", form, "--out", str(live))
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith(f"{live}: 36 events of 3 days, ")
        assert sorted(digests(live)) == [f"views/day={DAYS[0]}/views.{form}", f"views/day={DAYS[2]}/views.{form}"]
        done = vitrina("views", "export", *RANGE, "--format", form, "--out", str(live))
        assert done.stdout == f"{live}: 0 events of 0 days; 3 days were complete already\n"
        for source in ("s3", "bare"):
            out = tmp_path / f"{form}-{source}"
            options = ("--table-export", str(tmp_path / source), "--format", form, "--out", str(out))
            done = Vitrina()("views", "export", *RANGE, *options)
            assert done.exit_code == 0, done.output
            assert digests(out) == digests(live)
    counted = (
        "SELECT day, sku, count(*), count(*) FILTER (is_bot) "
        f"FROM '{tmp_path}/parquet/views/*/*.parquet' GROUP BY ALL ORDER BY ALL"
    )
    rows = duckdb.connect().execute(counted).fetchall()
    assert rows == [(day, sku, 6, 1) for day in (DAYS[0], DAYS[2]) for sku in ("=LAMP", "GONE", None)]


def test_new_days_are_those_that_the_manifest_lacks(
    vitrina: Vitrina, raw_items: list[dict[str, Any]], tmp_path: Path
) -> None:
    """From the first with data: the creation of the oldest product, which has been deleted, or the first view.

    A day that got views late is missing too.
    """

    async def late() -> None:
        async with connect(Settings()) as clients:
            store = ViewStore(Table(clients, name=Settings().table_name, deadline=30))
            await store.put_late(store.segments([View(new_id(), midnight_ms(DAYS[1]), bytes(12), None, bot=False)]))

    out = tmp_path / "out"
    new = ("views", "export", "--new", "--to", f"{DAYS[2]}", "--out")
    assert vitrina("views", "export", "--from", f"{DAYS[1]}", "--to", f"{DAYS[1]}", "--out", str(out)).exit_code == 0
    assert vitrina(*new, str(out)).stdout.startswith(f"{out}: 36 events of 3 days, ")
    manifest = json.loads((out / "views.manifest.json").read_bytes())
    assert list(manifest["days"]) == [f"{DAYS[0] - timedelta(days=1)}", *map(str, DAYS)]
    (out / "views" / f"day={DAYS[0]}" / "views.parquet").unlink()
    assert vitrina(*new, str(out)).stdout == f"{out}: 0 events of 0 days; 4 days were complete already\n"
    write_table_export(tmp_path / "s3", raw_items)
    staged = vitrina(*new, str(tmp_path / "staged"), "--table-export", str(tmp_path / "s3"))
    assert staged.stdout.startswith(f"{tmp_path / 'staged'}: 36 events of 3 days, ")
    asyncio.run(late())
    assert vitrina(*new, str(out)).stdout.startswith(f"{out}: 1 events of 1 days, ")
    open_days = vitrina("views", "export", "--new", "--from", f"{now().date()}", "--out", str(tmp_path / "open"))
    assert open_days.stdout == f"{tmp_path / 'open'}: 0 events of 0 days\n"


@pytest.mark.usefixtures("raw_items")
def test_a_clock_that_is_ahead_closes_no_day(vitrina: Vitrina, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its views of the rest of the day would be missing from the files for good."""
    today, out = f"{now().date()}", tmp_path / "out"

    def ahead() -> datetime:
        return now() + timedelta(hours=26)

    monkeypatch.setattr("vitrina.cli.view_export.now", ahead)
    monkeypatch.setitem(cast("dict[str, object]", Services.__init__.__kwdefaults__), "clock", ahead)
    done = vitrina("views", "export", "--new", "--from", today, "--to", today, "--out", str(out))
    assert done.stdout == f"{out}: 0 events of 0 days\n"


@pytest.mark.usefixtures("raw_items")
def test_a_day_is_exported_again_when_its_views_came_late(
    vitrina: Vitrina, environment: dict[str, str], tmp_path: Path
) -> None:
    """A complete day is not read without `--again`."""
    arguments = ("views", "export", *RANGE, "--out", str(tmp_path))
    assert "36 events of 3 days" in vitrina(*arguments).stdout

    async def add() -> None:
        async with connect(Settings()) as clients:
            store = ViewStore(Table(clients, name=environment["VITRINA_TABLE_NAME"], deadline=30))
            await store.put(store.segments([View(new_id(), midnight_ms(FIRST), bytes(12), None, bot=False)]))

    asyncio.run(add())
    assert "0 events of 0 days; 3 days were complete already" in vitrina(*arguments).stdout
    assert "37 events of 3 days" in vitrina(*arguments, "--again").stdout
    assert duckdb.connect().execute(f"SELECT count(*) FROM '{tmp_path}/views/*/*.parquet'").fetchall() == [(37,)]


@pytest.mark.usefixtures("raw_items")
def test_a_bucket_gets_the_same_files_as_a_folder(vitrina: Vitrina, moto: str, tmp_path: Path) -> None:
    """A second run finds every day complete."""
    bucket = BucketOut(moto)
    arguments = ("views", "export", *RANGE, "--format", "jsonl", "--out")
    assert vitrina(*arguments, str(tmp_path)).exit_code == 0
    done = vitrina(*arguments, bucket.name, VITRINA_S3_ENDPOINT=moto)
    assert done.stdout.startswith(f"{bucket.name}: 36 events of 3 days, ")
    files = {name: hashlib.sha256(content).hexdigest() for name, content in bucket.files().items()}
    assert sorted(set(files) - set(digests(tmp_path))) == ["views.manifest.json"]
    assert digests(tmp_path).items() <= files.items()
    done = vitrina(*arguments, bucket.name, "--json", VITRINA_S3_ENDPOINT=moto)
    assert json.loads(done.stdout) == {"out": bucket.name, "events": 0, "days": [], "complete": 3, "kept": []}


@pytest.mark.usefixtures("raw_items")
def test_prices_are_exported_to_each_place(vitrina: Vitrina, moto: str, tmp_path: Path) -> None:
    """The same file in a folder, in a bucket, and on standard output, where nothing else is written."""
    bucket = BucketOut(moto)
    export = ("prices", "export", "--format", "csv", "--out")
    for name in (str(tmp_path), bucket.name):
        done = vitrina(*export, name, VITRINA_S3_ENDPOINT=moto)
        assert (done.exit_code, done.stdout) == (0, f"{name}: 2 prices of 2 products\n"), done.output
    written = (tmp_path / "prices" / "prices.csv").read_bytes()
    assert bucket.files()["prices/prices.csv"] == written
    done = vitrina(*export, str(tmp_path), "--json")
    assert json.loads(done.stdout) == {"out": str(tmp_path), "prices": 2, "products": 2}
    done = vitrina(*export, "-")
    assert (done.stdout_bytes, done.stderr) == (written, "")
    header, lamp, gone = written.decode().splitlines()
    assert header == "product_id,sku,price,currency,valid_from,valid_to"
    assert lamp.endswith(",'=LAMP,19.99,USD,2026-11-10T00:00:00.000Z,")
    assert gone.endswith(",GONE,19.99,USD,2026-11-09T00:00:00.000Z,2026-11-24T07:01:00.000Z")
    done = vitrina(*export, "-", "--from", "2026-11-25")
    assert [line.split(",")[1] for line in done.stdout.splitlines()[1:]] == ["'=LAMP"]
    done = vitrina("prices", "export", "--from", "2026-11-02", "--to", "2026-11-01", "--out", "-")
    assert (done.exit_code, done.stderr) == (2, "Error: --from: 2026-11-02 is after the last day, 2026-11-01\n")


def test_days_that_an_export_of_the_table_does_not_cover_are_made_by_the_next(
    vitrina: Vitrina, raw_items: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The time of the table export counts, not the present; without a manifest it is unknown."""
    write_table_export(tmp_path / "s3", raw_items, at=f"{DAYS[2]}T12:00:00.000Z")
    (tmp_path / "bare").mkdir()
    for file in (tmp_path / "s3" / "data").iterdir():
        (tmp_path / "bare" / file.name).write_bytes(file.read_bytes())
    for source, made in (("s3", 1), ("bare", 3)):
        out = tmp_path / f"out-{source}"
        done = Vitrina()("views", "export", *RANGE, "--table-export", str(tmp_path / source), "--out", str(out))
        assert done.exit_code == 0, done.output
        done = vitrina("views", "export", *RANGE, "--out", str(out))
        assert f" events of {made} days" in done.stdout
        assert vitrina("views", "export", *RANGE, "--out", str(out)).stdout.endswith("3 days were complete already\n")


def test_a_day_that_has_fewer_events_than_its_file_keeps_it(
    vitrina: Vitrina, raw_items: list[dict[str, Any]], tmp_path: Path
) -> None:
    """An older state of the table has fewer; the exit code is 1 and the message names the day."""
    views = [item for item in raw_items if item["type"]["S"] == "views"]
    write_table_export(
        tmp_path / "s3", [item for item in raw_items if item not in views[1:]], at=f"{DAYS[0]}T12:00:00Z"
    )
    (tmp_path / "s3" / "manifest-summary.json").unlink()
    out = tmp_path / "out"
    assert vitrina("views", "export", *RANGE, "--format", "csv", "--out", str(out)).exit_code == 0
    before = digests(out)
    (out / "views" / f"day={DAYS[0]}" / "views.csv").write_text("not what it was")
    damaged = digests(out)
    arguments = ("--table-export", str(tmp_path / "s3"), "--format", "csv", "--out", str(out))
    done = Vitrina()("views", "export", *RANGE, *arguments)
    assert done.exit_code == 1
    assert f"days that now have fewer events keep their files (export to another place): {DAYS[0]}\n" in done.stderr
    assert digests(out) == damaged
    assert vitrina("views", "export", *RANGE, "--format", "csv", "--out", str(out)).exit_code == 0
    assert digests(out) == before


@pytest.mark.usefixtures("raw_items")
def test_standard_output_is_one_file_and_nothing_else(
    vitrina: Vitrina, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed pipe is no error; progress appears on terminals only."""
    screen = io.StringIO()
    monkeypatch.setattr(
        "vitrina.cli.progress.Console", lambda **_: Console(file=screen, force_terminal=True, width=200)
    )
    done = vitrina("views", "export", *RANGE, "--format", "jsonl", "--out", "-")
    assert (done.exit_code, done.stderr) == (0, "")
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 36
    assert "36 events" in screen.getvalue()
    command = [sys.executable, "-m", "vitrina", "views", "export", *RANGE, "--format", "csv", "--out", "-"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment}
    ) as closed:
        assert closed.stdout is not None
        assert closed.stderr is not None
        closed.stdout.close()
        assert closed.stderr.read() == b""


@pytest.mark.usefixtures("raw_items")
@pytest.mark.parametrize("command", [("views", "export", *RANGE, "--format", "csv"), ("products", "export")])
def test_standard_output_without_room_is_said_in_a_sentence(
    environment: dict[str, str], command: tuple[str, ...]
) -> None:
    """The message must not repeat at interpreter exit."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "vitrina", *command, "--out", "-"],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
            check=False,
        )
    assert done.stderr == b"Error: standard output: No space left on device\n"
    assert done.returncode == 1


@pytest.mark.usefixtures("raw_items")
def test_a_disk_without_room_is_said_in_a_sentence_and_left_as_it_was(
    vitrina: Vitrina, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By each command that writes files. A limit on the size of files fails a write as a full disk does."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # It would write files of bytecode in part.
    (tmp_path / "products.csv").write_text("before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for command in (
        ("views", "export", *RANGE, "--out", str(tmp_path)),
        ("prices", "export", "--out", str(tmp_path)),
        ("products", "export", "--out", str(tmp_path / "products.csv")),
        ("views", "report", *RANGE, "--out", str(tmp_path / "report.html")),
    ):
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))
        try:
            done = vitrina(*command)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.stderr
        assert done.stderr.startswith("Error: "), done.stderr
        assert "File too large" in done.stderr
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"products.csv"}
    assert (tmp_path / "products.csv").read_text() == "before"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--from", "2026-11-02", "--to", "2026-11-01"), "--from: 2026-11-02 is after the last day, 2026-11-01"),
        (("--to", "2999-01-01"), "--to: 2999-01-01 is in the future"),
        (("--from", "yesterday"), "'yesterday' does not match the format"),
        (("--format", "xml"), "'xml' is not one of"),
        (("--new", "--again"), "--new needs the manifest of a place, and goes with neither"),
        (("--out", "-", "--json"), "standard output cannot take both the export and --json"),
        (("--out", "gs://bucket/prefix"), "gs://bucket/prefix is neither a folder nor s3://bucket/prefix"),
        (("--out", "s3:///prefix"), "s3:///prefix names no bucket"),
    ],
)
def test_days_and_formats_that_will_not_do_are_said_in_a_sentence(
    vitrina: Vitrina, tmp_path: Path, options: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, before anything is written."""
    monkeypatch.chdir(tmp_path)
    done = vitrina("views", "export", "--out", str(tmp_path / "out"), *options)
    assert done.exit_code == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_stands_in_the_way_is_said_in_a_sentence(
    vitrina: Vitrina, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing table (after several tries) and a folder of another format."""
    monkeypatch.setattr(exports, "TRIES", 2)
    done = vitrina("views", "export", *RANGE, "--out", str(tmp_path / "out"))
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: There is no such table")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "views.manifest.json").write_text('{"version": 2, "format": "csv", "days": {}}')
    done = vitrina("views", "export", *RANGE, "--out", str(tmp_path / "other"))
    assert (done.exit_code, done.stderr) == (
        1, f"Error: {tmp_path / 'other'} holds an export as csv: export parquet to another place\n",
    )  # fmt: skip
    done = vitrina("views", "export", "--to", "0001-01-02", "--out", str(tmp_path / "early"))
    assert done.exit_code == 1
    assert "Traceback" not in done.output


def test_a_table_export_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    """An incomplete table export must not pass for a complete one."""
    items = [product_item(product()).serialize()] * 4

    def export(change: Callable[[Path], object]) -> str:
        folder = tmp_path / new_id()
        write_table_export(folder, items)
        change(folder)
        done = Vitrina()("views", "export", *RANGE, "--table-export", str(folder), "--out", str(tmp_path / new_id()))
        assert done.exit_code == 1, done.output
        return done.stderr

    def other(name: str, content: bytes) -> Callable[[Path], object]:
        return lambda folder: (folder / name).write_bytes(content)

    part = "data/part0.json.gz"
    whole = gzip.compress(b'{"Item": {}}\n')
    assert "1 of 3 files are missing" in export(lambda folder: (folder / part).unlink())
    assert "has 1 items, and should have 2" in export(other(part, whole))
    assert "can't be read" in export(other(part, whole[:-9]))
    assert "is not an export in DynamoDB JSON (line 1)" in export(other(part, gzip.compress(b'{"NewImage": {}}\n')))
    assert "is missing" in export(lambda folder: (folder / "manifest-files.json").unlink())
    assert "are not those of an export" in export(other("manifest-summary.json", b"{}"))
    ion = b'{"outputFormat": "ION", "exportTime": "2026-11-24T07:00:00.000Z"}'
    assert "only a FULL_EXPORT in DYNAMODB_JSON will do" in export(other("manifest-summary.json", ion))
    (tmp_path / "empty").mkdir()
    done = Vitrina()("views", "export", "--table-export", str(tmp_path / "empty"), "--out", str(tmp_path / "x"))
    assert "no .json.gz files" in done.stderr


def test_segments_that_had_expired_or_are_there_twice(tmp_path: Path) -> None:
    """Expired items are skipped; duplicate items mean two exports in one folder."""
    at = datetime(2026, 11, 24, tzinfo=UTC)
    store = ViewStore.__new__(ViewStore)
    store._retention_days = 5
    view = View(new_id(), midnight_ms(FIRST), bytes(12), None, bot=False)
    old = [item.serialize() for item in store.segments([view])]
    assert int(old[0]["expires_at"]["N"]) < at.timestamp()
    write_table_export(tmp_path / "s3", old, files=1)
    out = ("--format", "jsonl", "--out", "-")
    assert Vitrina()("views", "export", *RANGE, "--table-export", str(tmp_path / "s3"), *out).stdout == ""
    write_table_export(tmp_path / "twice", old * 2, files=1)
    (tmp_path / "twice" / "manifest-summary.json").unlink()
    done = Vitrina()("views", "export", *RANGE, "--table-export", str(tmp_path / "twice"), *out)
    assert (done.exit_code, done.stderr) == (1, "Error: it has the same items twice: is it more than one export?\n")
