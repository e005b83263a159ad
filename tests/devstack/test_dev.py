"""`scripts/dev` as a user runs it: the ready line, the curls of the README, Ctrl-C, and a restart after a crash."""

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
from pathlib import Path
from typing import Any

import pytest

from scripts.devstack.engines import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PASSWORD = "blue-lantern-2026"


@contextmanager
def demo(data: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the demo; yields its URL once it is ready, and stops it unless the test has."""
    port = free_port()
    command = [sys.executable, "-m", "scripts.devstack.dev", "--port", str(port), "--data", str(data), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line == f"ready http://127.0.0.1:{port}\n", process.stderr and process.stderr.read()
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()
            process.communicate(timeout=30)


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


def children(process: subprocess.Popen[str]) -> list[int]:
    """Return the process ids of a process's children."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def is_running(pid: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_readme_curls_work_as_printed_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    """All of them in one shell, on the demo data that api.md describes."""
    lines = re.search(r"```sh\n(curl .*?)```", README, re.DOTALL)
    assert lines is not None
    assert lines[1].count("curl ") == 7
    with demo(tmp_path) as (url, process):
        parts = children(process)
        assert len(parts) == 3
        script = lines[1].replace("http://127.0.0.1:8080", url).replace("curl -s", "curl -sS --fail-with-body -w '\\n'")
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
        products = _all(f"{url}/v1/products?limit=100")
        assert len(products) >= 200
        assert len({product["brand"] for product in products}) == 10
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert not [pid for pid in parts if is_running(pid)]


def test_empty_has_four_accounts_and_nothing_else() -> None:
    """Each account has the role given in api.md; commands run against the demo with the line that it prints."""
    with demo(Path("unused"), "--empty") as (url, process):
        assert ask(f"{url}/v1/products") == {"items": [], "next_cursor": None}
        token = sign_in(url, "super@example.com")
        users = ask(f"{url}/v1/users", token=token)["items"]
        assert {(user["email"], user["role"]) for user in users} == {
            ("super@example.com", "super_admin"),
            ("ana@example.com", "admin"),
            ("luis@example.com", "admin"),
            ("uma@example.com", "user"),
        }
        with pytest.raises(urllib.error.HTTPError, match="403"):
            ask(f"{url}/v1/users", token=sign_in(url, "ana@example.com"))
        assert process.stderr is not None
        said = next(line for line in process.stderr if line.startswith("Commands  export "))
        commands = f"{said.removeprefix('Commands  ')}\n{sys.executable} -m vitrina table status"
        shell = subprocess.run(["sh", "-ec", commands], capture_output=True, text=True, timeout=30, check=False)
        assert "state                   ACTIVE" in shell.stdout, shell.stderr
    assert not Path("unused").exists()


def test_a_changed_price_is_in_the_others_inbox_and_mail_at_each_start(tmp_path: Path) -> None:
    """The seeded prices cause no notices: the first one is about ana's change, of which she gets none herself."""
    for start in (1, 2):
        with demo(tmp_path) as (url, _):
            ana, luis, sol = (sign_in(url, f"{name}@example.com") for name in ("ana", "luis", "super"))
            product = ask(f"{url}/v1/products/by-sku/AA-LAM-OAK")
            price = str(100 + start)
            ask(f"{url}/v1/products/{product['id']}", body={"price": price}, token=ana, method="PATCH")
            _until(lambda: len(list((tmp_path / "embedded" / "mails").glob("*.eml"))) == 2 * start)  # noqa: B023
            for told in (luis, sol):
                inbox = ask(f"{url}/v1/notifications", token=told)["items"]
                assert len(inbox) == start
                assert inbox[0]["changed_by"]["name"] == "Ana Admin"
            assert ask(f"{url}/v1/notifications", token=ana)["items"] == []
            with urllib.request.urlopen(f"{url}/dev/mails", timeout=10) as response:
                page = response.read().decode()
            assert page.count("luis@example.com") == page.count("super@example.com") == start
            assert "ana@example.com" not in page


@pytest.mark.requires_dynamodb_local("what DynamoDB Local acknowledged survives SIGKILL")
def test_a_killed_demo_keeps_acknowledged_writes(tmp_path: Path) -> None:
    """SIGKILL during writes: every product with a response exists and can be found by its SKU."""
    acknowledged: list[str] = []
    with demo(tmp_path, "--engine", "dynamodb-local") as (url, process):
        token = sign_in(url, "luis@example.com")
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            sku = f"CRASH-{len(acknowledged)}"
            ask(f"{url}/v1/products", body={"sku": sku, "name": "A", "brand": "B", "price": "1"}, token=token)
            acknowledged.append(sku)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    started = time.monotonic()
    with demo(tmp_path, "--engine", "dynamodb-local") as (url, _):
        assert time.monotonic() - started < 60
        assert acknowledged
        for sku in acknowledged:
            assert ask(f"{url}/v1/products/by-sku/{sku}")["sku"] == sku


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _all(url: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = ask(f"{url}&cursor={cursor}" if cursor else url)
        items += page["items"]
        cursor = page["next_cursor"]
    return items
