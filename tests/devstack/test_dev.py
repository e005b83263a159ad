"""`scripts/dev` as a user runs it: the ready line, the curls of the README, Ctrl-C, and a restart after a crash.

The tests of one demo share it, and stand in the order of its life: the last of them kills it and starts it again.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from scripts.devstack.data_folder import claimed
from scripts.devstack.dev import dev
from scripts.devstack.engines import dynamodb_local, free_port
from vitrina.bootstrap import Services
from vitrina.cli.running import CommandFailed
from vitrina.config import Settings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PASSWORD = "blue-lantern-2026"
DEV: Final = ("-m", "scripts.devstack.dev")
_CODE: Final = """
from scripts.devstack import demo, dev
make = demo.make
demo.make = lambda settings, catalogue: make(settings, catalogue=False)
dev.dev()
"""
WITHOUT_CATALOGUE: Final = ("-c", _CODE)
"""The demo with four accounts in its folder, for a test that needs no products: it starts in a third of the time."""


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that is ready: its API, its process, and the folder for temporary files of all its processes."""

    url: str
    process: subprocess.Popen[str]
    scratch: Path

    @property
    def said(self) -> str:
        """What it has written to standard error until now."""
        return (self.scratch.parent / f"{self.scratch.name}.err").read_text()

    def row(self, title: str) -> str:
        """Return what the last lines say under a title."""
        found = re.search(rf"^{title} +(.+)$", self.said, re.MULTILINE)
        assert found, self.said
        return found[1]

    def parts(self) -> dict[str, int]:
        """Return the process ids of its engine and workers, by the last word of their commands."""
        found = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=True,
        )
        return {line.split()[-1]: int(line.split()[0]) for line in found.stdout.splitlines() if "python" in line}

    def stop(self, number: signal.Signals) -> None:
        """Stop it by a signal; it must end with 0 and leave no process and no temporary file."""
        parts = self.parts()
        self.process.send_signal(number)
        assert self.process.wait(timeout=30) == 0
        assert not [name for name, pid in parts.items() if is_running(pid)]
        assert not list(self.scratch.iterdir())


@contextmanager
def demo(folder: Path, *options: str, port: int | None = None, program: tuple[str, ...] = DEV) -> Iterator[Demo]:
    """Run the demo with its data in `folder`; yields it once it is ready, and stops it unless the test has."""
    port = port or free_port()
    scratch = folder.parent / f"scratch-{time.monotonic_ns()}"
    scratch.mkdir()
    command = [sys.executable, *program, "--port", str(port), "--data", str(folder), *options]
    environment = os.environ | {"TMPDIR": str(scratch), "VITRINA_RELAY_LEASE_TIME": "2"}
    with (
        (scratch.parent / f"{scratch.name}.err").open("w") as err,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True, cwd=ROOT, env=environment) as process,
    ):
        started = Demo(f"http://127.0.0.1:{port}", process, scratch)
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"ready {started.url}\n", started.said
            yield started
        finally:
            process.terminate()
            process.communicate(timeout=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of the shared demo."""
    return tmp_path_factory.mktemp("dev") / "data"


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[Demo]:
    """The demo that most tests share, with all demo data."""
    with demo(folder) as started:
        yield started


def ask(url: str, *, body: object = None, token: str | None = None, method: str | None = None) -> Any:  # noqa: ANN401 - any JSON
    """Send a request and return the JSON of the response."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=10) as response:
        return json.load(response)


def sign_in(url: str, email: str) -> str:
    """Return the access token of a demo account."""
    token: str = ask(f"{url}/v1/auth/login", body={"email": email, "password": PASSWORD})["access_token"]
    return token


def change_price(url: str, price: str) -> None:
    """Change the price of a product as ana."""
    product = ask(f"{url}/v1/products/by-sku/AA-LAM-OAK")
    ask(
        f"{url}/v1/products/{product['id']}",
        body={"price": price},
        token=sign_in(url, "ana@example.com"),
        method="PATCH",
    )


def is_running(pid: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_readme_curls_work_as_printed(shared: Demo) -> None:
    """All of them in one shell, on the demo data that api.md describes."""
    lines = re.search(r"```sh\n(curl .*?)```", README, re.DOTALL)
    assert lines is not None
    assert lines[1].count("curl ") == 7
    assert len(shared.parts()) == 3
    script = lines[1].replace("http://127.0.0.1:8080", shared.url)
    script = script.replace("curl -s", "curl -sS --fail-with-body -w '\\n'")
    shell = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, timeout=30, check=False)
    assert shell.returncode == 0, shell.stdout + shell.stderr
    cheapest, lamp, created, deleted, changed = (json.loads(line) for line in shell.stdout.splitlines() if line)
    prices = [float(product["price"]) for product in cheapest["items"]]
    assert len(prices) == 3
    assert prices == sorted(prices)
    assert lamp["sku"] == "AA-LAM-OAK"
    assert (created["name"], created["price"], created["version"]) == ("Enamel kettle", "24.50", 1)
    assert deleted == {"items": [], "next_cursor": None}
    assert (changed["id"], changed["price"], changed["version"]) == (created["id"], "19.90", 2)
    products = _all(f"{shared.url}/v1/products?limit=100")
    assert len(products) >= 200
    assert len({product["brand"] for product in products}) == 10


def test_the_commands_that_it_prints_work(shared: Demo) -> None:
    """In one shell, as a user would paste them; the log of each worker is the file that it names."""
    export, curl = shared.row("Commands"), shared.row("Try")
    table = shared.said.partition(curl)[2].splitlines()[1].strip()
    shell = subprocess.run(
        ["sh", "-ec", f"{export}\n{table}\n{curl}"], capture_output=True, text=True, timeout=30, check=False
    )
    assert "state                   ACTIVE" in shell.stdout, shell.stderr
    assert '"items":[' in shell.stdout
    for worker in ("Relay", "Notifier"):
        log = Path(shared.row(worker).rpartition(" ")[2])
        assert '"event":"started"' in log.read_text()
    assert '"event":"started"' not in shared.said


def test_the_root_leads_a_browser_to_the_docs(shared: Demo) -> None:
    """Other clients get the problem of an unknown path."""
    request = urllib.request.Request(f"{shared.url}/", headers={"Accept": "text/html,*/*;q=0.8"})
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.url == f"{shared.url}/docs"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(f"{shared.url}/")


@pytest.mark.parametrize("port", ["x", "", "0", "70000", "-1", "٣", "9" * 5_000])
def test_a_bad_port_is_refused_in_one_sentence(port: str) -> None:
    done = CliRunner().invoke(dev, ["--port", port])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"Error: --port: {port!r} is not a port, a number from 1 to 65535\n"


def test_a_port_or_a_folder_in_use_is_said_before_anything_starts(shared: Demo, folder: Path) -> None:
    """The sentence says who uses the folder."""
    port = shared.url.rpartition(":")[2]
    done = CliRunner().invoke(dev, ["--port", port])
    listens = f"cannot listen on port {port} (Address already in use): stop what listens there, or use --port"
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"Error: {listens}\n")
    claims = f"the data folder {folder} is in use by the demo on port {port} (process {shared.process.pid})"
    with pytest.raises(CommandFailed) as refused, claimed(folder, "embedded", port=1, fresh=True):
        pass
    assert refused.value.message == f"{claims}: stop it, or use --data"


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """Also when only a folder inside it refuses, for example after a start by another user."""
    (tmp_path / "file").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "embedded").symlink_to("/proc/self/fdinfo")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "data"):
        with pytest.raises(CommandFailed) as refused, claimed(folder, "embedded", port=1, fresh=False):
            pass
        assert re.fullmatch(rf"the data folder {folder} cannot be written \(.+\): use --data", refused.value.message)


def test_fresh_or_unfinished_data_are_deleted(tmp_path: Path) -> None:
    """A demo that was killed while it wrote its data leaves no `seeded`."""
    for fresh, seeded, kept in ((False, True, True), (True, True, False), (False, False, False)):
        with claimed(tmp_path, "embedded", port=1, fresh=False) as state:
            (state / "rows").touch()
            if seeded:
                (state / "seeded").touch()
        with claimed(tmp_path, "embedded", port=1, fresh=fresh) as state:
            assert (state / "rows").exists() == kept
            (state / "seeded").unlink(missing_ok=True)


def test_a_changed_price_is_in_the_others_inbox_and_mail_after_the_workers_were_killed(shared: Demo) -> None:
    """Each is started again and says so in one line. The seeded prices cause no notices, and ana gets none herself."""
    before = shared.parts()
    for name in ("relay", "notifier"):
        os.kill(before[name], signal.SIGKILL)
    ana, luis, sol = (sign_in(shared.url, f"{name}@example.com") for name in ("ana", "luis", "super"))
    told_before = {token: len(ask(f"{shared.url}/v1/notifications", token=token)["items"]) for token in (luis, sol)}
    change_price(shared.url, "101")
    for token, number in told_before.items():
        inbox = _until(lambda: ask(f"{shared.url}/v1/notifications", token=token)["items"], lambda it: len(it) > number)  # noqa: B023
        assert len(inbox) == number + 1
        assert (inbox[0]["changed_by"]["name"], inbox[0]["new_price"]) == ("Ana Admin", "101.00")
    assert ask(f"{shared.url}/v1/notifications", token=ana)["items"] == []
    page = _until(lambda: _mails(shared.url), lambda page: page.count("Ana Admin") or page.count("luis@example.com"))
    assert "ana@example.com" not in page
    after = shared.parts()
    for name in ("relay", "notifier"):
        assert after[name] != before[name]
        assert len(re.findall(rf"^{name} ended with -9, and starts again in 1 s; .+$", shared.said, re.MULTILINE)) == 1


def test_a_restart_after_a_crash_keeps_data_and_addresses_and_raises_no_alarm(shared: Demo, folder: Path) -> None:
    """MiniStack forgets its stream, so a relay must not go on after an old record. Ctrl-C leaves nothing behind."""
    titles = ("DynamoDB", "SQS", "Relay", "Notifier", "Commands")
    rows = [shared.row(title) for title in titles]
    shared.process.kill()
    shared.process.wait()
    started = time.monotonic()
    with demo(folder, port=int(shared.url.rpartition(":")[2])) as again:
        assert time.monotonic() - started < 60
        assert [again.row(title) for title in titles] == rows
        luis = sign_in(again.url, "luis@example.com")
        before = ask(f"{again.url}/v1/notifications", token=luis)["items"]
        assert before[0]["new_price"] == "101.00"
        change_price(again.url, "102")
        _until(lambda: ask(f"{again.url}/v1/notifications", token=luis)["items"], lambda it: len(it) == len(before) + 1)
        assert not re.search(r'"level":"(warning|error)"', (folder / "embedded" / "relay.log").read_text())
        again.stop(signal.SIGINT)


def test_empty_has_four_accounts_and_nothing_else(tmp_path: Path) -> None:
    """Each account has the role given in api.md, and SIGTERM leaves nothing behind."""
    with demo(tmp_path / "unused", "--empty") as empty:
        assert ask(f"{empty.url}/v1/products") == {"items": [], "next_cursor": None}
        token = sign_in(empty.url, "super@example.com")
        users = ask(f"{empty.url}/v1/users", token=token)["items"]
        assert {(user["email"], user["role"]) for user in users} == {
            ("super@example.com", "super_admin"),
            ("ana@example.com", "admin"),
            ("luis@example.com", "admin"),
            ("uma@example.com", "user"),
        }
        with pytest.raises(urllib.error.HTTPError, match="403"):
            ask(f"{empty.url}/v1/users", token=sign_in(empty.url, "ana@example.com"))
        empty.stop(signal.SIGTERM)
    assert not (tmp_path / "unused").exists()


def test_a_signal_before_it_is_ready_leaves_nothing(tmp_path: Path) -> None:
    """The engine runs by then, and the API's own handlers are not installed yet."""
    (scratch := tmp_path / "scratch").mkdir()
    command = [sys.executable, *DEV, "--port", str(free_port()), "--empty"]
    environment = os.environ | {"TMPDIR": str(scratch)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        assert process.stderr is not None
        assert any("Preparing" in line for line in process.stderr)
        engines = Demo("", process, scratch).parts().values()
        process.terminate()
        assert process.wait(timeout=30) == 0
        assert not [pid for pid in engines if is_running(pid)]
        assert not list(scratch.iterdir())


@pytest.mark.requires_dynamodb_local("what DynamoDB Local acknowledged survives SIGKILL")
async def test_a_killed_demo_keeps_acknowledged_writes(tmp_path: Path) -> None:
    """SIGKILL during writes: every product with a response is in the folder and can be found by its SKU."""
    acknowledged: list[str] = []
    options = ("--engine", "dynamodb-local")
    with demo(tmp_path / "data", *options, program=WITHOUT_CATALOGUE) as killed:
        token = sign_in(killed.url, "luis@example.com")
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            sku = f"CRASH-{len(acknowledged)}"
            ask(f"{killed.url}/v1/products", body={"sku": sku, "name": "A", "brand": "B", "price": "1"}, token=token)
            acknowledged.append(sku)
        killed.process.kill()
        killed.process.wait()
    async with (
        dynamodb_local(db_path=tmp_path / "data" / "dynamodb-local") as url,
        Services(Settings(writer_endpoint=url), patient=30) as services,
    ):
        assert acknowledged
        for sku in acknowledged:
            assert (await services.products.get_by_sku(sku)).sku == sku


def _mails(url: str) -> str:
    with urllib.request.urlopen(f"{url}/dev/mails", timeout=10) as response:
        page: str = response.read().decode()
        return page


def _until(read: Callable[[], Any], holds: Callable[[Any], object]) -> Any:  # noqa: ANN401 - what `read` returns
    """Read until the value is as it should be, and return it."""
    deadline = time.monotonic() + 60
    while not holds(value := read()):
        assert time.monotonic() < deadline, value
        time.sleep(0.05)
    return value


def _all(url: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = ask(f"{url}&cursor={cursor}" if cursor else url)
        items += page["items"]
        cursor = page["next_cursor"]
    return items
