"""`vitrina products import` and `export`."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Vitrina, settings
from vitrina.cli import product_import
from vitrina.services.imports import plan as workbook
from vitrina.services.imports.parsing import parse

NOT_A_SKU = "is not a SKU: 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', but not '.' or '..' alone"
UNSETTLED = "no other price of the file tells: give --decimal-mark point or comma"
PASSWORD = "purple monkey dishwasher 9"
ROWS = 'sku,name,brand,price,description\nA,=Lamp,Brightwell,19.99,"Oak\n+ brass"\nB,Rug,Juniper,5,\n'


@pytest.fixture
def vitrina(engine: str, table_name: str) -> Vitrina:
    """The command line for a table with one super_admin."""
    command = Vitrina(**settings(engine, table_name))
    assert command("table", "create").exit_code == 0
    make_super_admin(command, "sol@example.com")
    return command


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A CSV file of two products."""
    path = tmp_path / "products.csv"
    path.write_text(ROWS)
    return path


def make_super_admin(vitrina: Vitrina, email: str) -> None:
    """Create a super_admin."""
    done = vitrina("users", "create-super-admin", "--email", email, "--name", "Sol", typed=PASSWORD)
    assert done.exit_code == 0, done.output


def run(vitrina: Vitrina, *arguments: str | Path, typed: str | None = None) -> tuple[int, list[str]]:
    """Run `vitrina products` and return the exit code and the lines of the output."""
    done = vitrina("products", *map(str, arguments), typed=typed)
    return done.exit_code, (done.stdout + done.stderr if done.exit_code == 2 else done.stdout).splitlines()


def parse_late(path: Path, content: str, *arguments: Any) -> None:  # noqa: ANN401 - those of `parse`
    """Change a file before it is parsed."""
    path.write_text(content)
    parse(*arguments)


def exported(vitrina: Vitrina) -> list[dict[str, object]]:
    """Return all products, by SKU."""
    code, lines = run(vitrina, "export", "--format", "jsonl")
    assert code == 0
    return sorted((json.loads(line) for line in lines), key=lambda entry: str(entry["sku"]))


def test_a_dry_run_says_what_would_be_done_and_does_nothing(vitrina: Vitrina, file: Path) -> None:
    """A dry run needs no account; bad rows are reported by line, with exit code 1."""
    creates = "line 2 (A): create: sku 'A', name '=Lamp', brand 'Brightwell', description 'Oak\\n+ brass',"
    assert run(vitrina, "import", file, "--dry-run") == (
        0,
        [
            f"{creates} price '19.99', currency 'USD'",
            "line 4 (B): create: sku 'B', name 'Rug', brand 'Juniper', price '5.00', currency 'USD'",
            "2 to create, 0 to update, 0 unchanged, 0 skipped, 0 refused",
        ],
    )
    file.write_text(ROWS + "C,,Juniper,1e2,\nb,Rug,Juniper,5,\n\x1b[2J,x,x,1,\n")
    assert run(vitrina, "import", file, "--dry-run") == (
        1,
        [
            f"{creates} price '19.99', currency 'USD'",
            "line 4 (B): refused: its SKU is on line 6 too",
            "line 5 (C): refused: price '1e2' is not a plain decimal number such as 19.99",
            "line 6 (b): refused: its SKU is on line 4 too",
            f"line 7 ('\\x1b[2J'): refused: sku {NOT_A_SKU}",
            "1 to create, 0 to update, 0 unchanged, 0 skipped, 4 refused",
        ],
    )
    assert exported(vitrina) == []


def test_an_import_is_planned_written_and_told(vitrina: Vitrina, file: Path, tmp_path: Path) -> None:
    """The only super_admin is the author; a second run changes nothing; a bad row stops no other row."""
    code, lines = run(vitrina, "import", file)
    assert code == 0
    assert lines[:2] == [
        "2 to create, 0 to update, 0 unchanged, 0 skipped, 0 refused",
        "2 created, 0 updated, 0 unchanged, 0 skipped, 0 refused, 0 failed",
    ]
    assert lines[2].startswith("request ids: import-")
    assert run(vitrina, "import", file) == (0, ["0 to create, 0 to update, 2 unchanged, 0 skipped, 0 refused"])
    file.write_text(f"sku,price,description\nA,21,{'x' * 61}\nX,1,x\nB,5.00,\n")
    code, lines = run(vitrina, "import", file, "--dry-run")
    assert (code, lines[0]) == (
        1,
        f"line 2 (A): update: description 'Oak\\n+ brass' -> '{'x' * 60}…', price '19.99' -> '21.00'",
    )
    file.write_text("sku,price\nA,21\nX,1\nB,5.00\n")
    report = tmp_path / "report.jsonl"
    code, lines = run(vitrina, "import", file, "--report", report)
    assert (code, lines[2]) == (1, "0 created, 1 updated, 1 unchanged, 0 skipped, 1 refused, 0 failed")
    assert [json.loads(line) for line in report.read_text().splitlines()] == [
        {
            "line": 2,
            "outcome": "updated",
            "sku": "A",
            "reason": None,
            "changes": {"price": {"from": "19.99", "to": "21.00"}},
        },
        {
            "line": 3,
            "outcome": "refused",
            "sku": "X",
            "reason": "no product has this SKU, and a new one needs a name and a brand",
            "changes": {},
        },
        {"line": 4, "outcome": "unchanged", "sku": "B", "reason": None, "changes": {}},
    ]
    lamp, _ = exported(vitrina)
    assert (lamp["name"], lamp["description"], lamp["price"], lamp["version"]) == ("=Lamp", "Oak\n+ brass", "21.00", 2)


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_what_was_exported_changes_nothing(vitrina: Vitrina, file: Path, tmp_path: Path, name: str) -> None:
    """From a file or standard input; an export leaves no temporary file."""
    run(vitrina, "import", file)
    before = exported(vitrina)
    out = tmp_path / "exported" / name
    out.parent.mkdir()
    assert vitrina("products", "export", "--out", str(out)).stderr == "2 products\n"
    assert [path.name for path in out.parent.iterdir()] == [name]
    unchanged = (0, ["0 to create, 0 to update, 2 unchanged, 0 skipped, 0 refused"])
    assert run(vitrina, "import", out) == unchanged
    assert run(vitrina, "import", "-", "--format", out.suffix[1:], typed=out.read_bytes().decode()) == unchanged
    assert exported(vitrina) == before


def test_other_shops_files_are_read_by_their_profiles(vitrina: Vitrina, tmp_path: Path) -> None:
    """--brand and --currency fill the missing values."""
    shopify = tmp_path / "shopify.csv"
    shopify.write_text(
        "Handle,Title,Body (HTML),Vendor,Option1 Name,Option1 Value,Variant SKU,Variant Price,Image Src\n"
        "cap,Cap,<p>Warm</p>,Fjord,Size,M,,20,\ncap,,,,,L,,21,\ncap,,,,,,,,https://example.com/cap.jpg\n"
    )
    code, lines = run(vitrina, "import", shopify, "--profile", "shopify", "--currency", "EUR")
    assert (code, lines[:2]) == (
        0,
        [
            "line 4: skipped: holds only an image",
            "2 to create, 0 to update, 0 unchanged, 1 skipped, 0 refused",
        ],
    )
    woocommerce = tmp_path / "woocommerce.csv"
    woocommerce.write_text(
        "ID,Type,SKU,Name,Published,Sale price,Regular price,Parent,Attribute 1 value(s)\n"
        '1,variable,tee,Tee,1,,,,"Red, Blue"\n2,variation,tee-red,,1,,15,tee,Red\n3,grouped,set,Set,1,,,,\n'
    )
    code, lines = run(vitrina, "import", woocommerce, "--profile", "woocommerce", "--brand", "Acme")
    assert (code, lines[2]) == (0, "1 to create, 0 to update, 0 unchanged, 2 skipped, 0 refused")
    assert [
        (entry["sku"], entry["name"], entry["brand"], entry["price"], entry["currency"]) for entry in exported(vitrina)
    ] == [
        ("CAP-L", "Cap - L", "Fjord", "21.00", "EUR"),
        ("CAP-M", "Cap - M", "Fjord", "20.00", "EUR"),
        ("tee-red", "Tee - Red", "Acme", "15.00", "USD"),
    ]


def test_a_machine_gets_one_json_object(vitrina: Vitrina, file: Path) -> None:
    """With the number of rows of each outcome; the lines for people are on standard error."""
    file.write_text(ROWS + "C,,Juniper,1e2,\n")
    done = vitrina("products", "import", str(file), "--dry-run", "--json")
    nothing = dict.fromkeys(["update", "unchanged", "skipped", "created", "updated", "failed"], 0)
    assert json.loads(done.stdout) == {
        "dry_run": True,
        "run": None,
        "outcomes": nothing | {"create": 2, "refused": 1},
    }
    assert (done.exit_code, done.stderr.splitlines()[-1][:11]) == (1, "2 to create")
    done = vitrina("products", "import", str(file), "--json")
    result = json.loads(done.stdout)
    assert result.pop("run").startswith("import-")
    assert result == {"dry_run": False, "outcomes": nothing | {"create": 0, "created": 2, "refused": 1}}
    done = vitrina("products", "import", str(file), "--json")
    assert json.loads(done.stdout)["outcomes"]["unchanged"] == 2


def test_columns_are_mapped_and_unread_ones_are_named(vitrina: Vitrina, file: Path) -> None:
    """A misspelt column is not lost silently; --derive-skus is for the rows of shops."""
    file.write_text("Code;nmae;Name;Marke;price\nA;x;Lamp;Acme;5\n")
    done = vitrina("products", "import", str(file), "--dry-run", "--map", "Code=sku", "--map", "Marke=brand")
    assert (done.exit_code, done.stderr) == (0, "ignored columns: 'nmae'\n")
    assert done.stdout.startswith("line 2 (A): create: sku 'A', name 'Lamp', brand 'Acme', price '5.00'")
    for option, words in (("--map=Code", "'Code' is not COLUMN=FIELD"), ("--derive-skus", "needs --profile shopify")):
        done = vitrina("products", "import", str(file), "--dry-run", option)
        assert (done.exit_code, words in done.stderr) == (2, True)


def test_a_price_with_two_readings_is_refused_until_the_option_settles_it(vitrina: Vitrina, tmp_path: Path) -> None:
    """A profile for another layout is named, with exit code 2."""
    file = tmp_path / "shop.csv"
    file.write_text('Type,SKU,Name,Regular price,Brands\nsimple,DESK,Desk,"1,800",Acme\n')
    arguments = ("import", file, "--profile", "woocommerce")
    code, lines = run(vitrina, *arguments, "--dry-run")
    assert (code, lines[0]) == (
        1,
        f"line 2 (DESK): refused: price '1,800' may mean 1800 or 1.800, and {UNSETTLED}",
    )
    for mark, price in (("point", "1800.00"), ("comma", "1.80")):
        assert run(vitrina, *arguments, "--decimal-mark", mark)[0] == 0
        assert [entry["price"] for entry in exported(vitrina)] == [price]
    code, lines = run(vitrina, "import", file)
    assert (code, lines[-1]) == (
        2,
        "Error: the file can't be imported: it looks like WooCommerce's: use --profile woocommerce",
    )


def test_somebody_does_it(vitrina: Vitrina, file: Path) -> None:
    """The author is an active admin or super_admin; the default is the only super_admin."""
    make_super_admin(vitrina, "luna@example.com")
    code, lines = run(vitrina, "import", file)
    assert (code, lines[-1][:40]) == (2, "Error: name the author with --as EMAIL: ")
    code, lines = run(vitrina, "import", file, "--as", "nobody@example.com")
    assert (code, lines) == (2, ["Error: --as: no active admin has this e-mail"])
    assert run(vitrina, "import", file, "--as", "LUNA@example.com")[0] == 0
    assert len(exported(vitrina)) == 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.csv", "name,price\n", "the file can't be imported: it has no column 'sku'; --map names another"),
        ("x.xlsx", "", "unknown extension: save a workbook as CSV; for another text file add --format csv or"),
        ("missing.csv", None, "missing.csv: No such file or directory"),
    ],
)
def test_a_file_that_will_not_do_ends_with_2(
    vitrina: Vitrina, tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    code, lines = run(vitrina, "import", tmp_path / name)
    assert (code, words in lines[-1]) == (2, True), lines


def test_many_refusals_are_cut_short_on_the_screen(vitrina: Vitrina, file: Path) -> None:
    file.write_text("sku,price\n" + "".join(f"S{number},x\n" for number in range(103)))
    code, lines = run(vitrina, "import", file, "--dry-run")
    assert (code, len(lines)) == (1, 102)
    assert lines[100] == "... and 3 more refused: --report FILE writes all"


def test_a_currency_must_be_one_and_a_report_a_place(vitrina: Vitrina, file: Path, tmp_path: Path) -> None:
    code, lines = run(vitrina, "import", file, "--currency", "usd")
    assert (code, "Invalid value for '--currency': it is not an ISO 4217" in lines[-1]) == (2, True)
    done = vitrina("products", "import", str(file), "--dry-run", "--report", str(tmp_path / "no" / "where"))
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"--report: {tmp_path / 'no'} is not a writable folder" in done.stderr
    done = vitrina("products", "export", "--out", str(tmp_path / "no" / "where"))
    assert (done.exit_code, "No such file or directory" in done.stderr) == (1, True)
    done = vitrina("products", "export", "--out", str(tmp_path))
    assert (done.exit_code, f"{tmp_path} is a folder: name a file" in done.stderr) == (2, True)
    done = vitrina("products", "export", "--out", str(tmp_path / "out.xlsx"))
    assert (done.exit_code, "out.xlsx: unknown extension: add --format csv" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_written_replaces_no_pipe_no_link_and_not_the_imported_file(
    vitrina: Vitrina, file: Path, tmp_path: Path
) -> None:
    """Whatever a folder or `/dev` holds under the name stays what it is."""
    run(vitrina, "import", file)
    pipe, link, target = tmp_path / "pipe", tmp_path / "link.csv", tmp_path / "target.csv"
    os.mkfifo(pipe)
    target.touch()
    link.symlink_to(target.name)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        for out in (pipe, link):
            assert run(vitrina, "export", "--out", out) == (0, [])
        assert reader.communicate(timeout=10)[0] == target.read_bytes()
    assert (target.read_bytes()[:7], pipe.is_fifo(), link.is_symlink()) == (b"id,sku,", True, True)
    assert run(vitrina, "export", "--out", tmp_path / "out.json") == (0, [])
    assert run(vitrina, "import", tmp_path / "out.json")[0] == 0
    code, lines = run(vitrina, "import", file, "--dry-run", "--report", file)
    assert (code, lines) == (2, [f"Error: --report: {file} is the file to import"])
    assert file.read_text() == ROWS


def test_a_file_that_changes_while_it_is_read_is_not_imported(
    vitrina: Vitrina, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last price of an upload may be half a number, and a file may be cut to nothing."""
    for content in (ROWS + "C,Lamp,Brightwell,1", ""):
        file.write_text(ROWS)
        with monkeypatch.context() as patch:
            patch.setattr(product_import, "parse", partial(parse_late, file, content))
            done = vitrina("products", "import", str(file))
        words = f"Error: {file} was changed while it was read: import it when it is complete\n"
        assert (done.exit_code, done.stderr) == (1, words)
    assert exported(vitrina) == []


def test_a_disk_without_room_is_said_in_a_sentence(
    vitrina: Vitrina, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan of a large file is on disk; nothing has been written to the table then."""
    monkeypatch.setattr(workbook, "_SCHEMA", f"{workbook._SCHEMA} PRAGMA max_page_count = 8;")
    file.write_text("sku,name,brand,price\n" + "".join(f"S{number},Lamp,Brightwell,1\n" for number in range(1_000)))
    done = vitrina("products", "import", str(file))
    assert done.exit_code == 1
    assert "database or disk is full; set TMPDIR to another folder" in done.stderr
    assert exported(vitrina) == []


@pytest.fixture
def killed(engine: str, table_name: str, tmp_path: Path) -> Vitrina:
    """A table whose import of 300 products was killed midway."""
    command = Vitrina(**settings(engine, table_name))
    assert command("table", "create").exit_code == 0
    make_super_admin(command, "sol@example.com")
    file = tmp_path / "many.csv"
    file.write_text("sku,name,brand,price\n" + "".join(f"S-{n},Lamp {n},Brightwell,{n}\n" for n in range(300)))
    process = subprocess.Popen(
        [sys.executable, "-m", "vitrina", "products", "import", str(file), "--concurrency", "2"],
        env=os.environ | command.environment,
        stdout=subprocess.DEVNULL,
    )
    while not exported(command):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return command


def test_a_killed_import_goes_on_where_it_was(killed: Vitrina, tmp_path: Path) -> None:
    """No product is duplicated or incomplete, and rows already written count as unchanged."""
    done = len(exported(killed))
    code, lines = run(killed, "import", tmp_path / "many.csv")
    # One or two writes may have arrived after the last look.
    assert (code, lines[1].split(", ")[3:]) == (0, ["0 skipped", "0 refused", "0 failed"])
    created = int(lines[1].split()[0])
    assert 0 < created <= 300 - done
    products = exported(killed)
    assert (len(products), {entry["version"] for entry in products}) == (300, {1})
    assert killed("table", "check").exit_code == 0
