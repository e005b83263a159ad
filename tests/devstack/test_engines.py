"""Engines end with the process that started them, and report why they failed."""

import asyncio
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aioboto3
import pytest

from scripts.devstack import engines
from scripts.devstack.engines import Engine, EngineError, embedded

HOLDER = """
import asyncio, pathlib, sys
from scripts.devstack.engines import embedded

async def hold():
    engine = embedded(state=pathlib.Path(sys.argv[1]))
    async with engine as url:
        print(engine.process.pid, url, flush=True)
        await asyncio.sleep(60)

asyncio.run(hold())
"""


def python(code: str) -> Engine:
    """An engine whose program is Python code."""
    return Engine("Sham", lambda port: [sys.executable, "-c", code, str(port)])


def has_ended(pid: int) -> bool:
    """Whether a process has ended (a zombie counts as ended)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def table_names(url: str) -> list[str]:
    """List the tables of an engine."""
    async with aioboto3.Session().client("dynamodb", endpoint_url=url, region_name="us-east-1") as client:
        answer: dict[str, list[str]] = await client.list_tables()
        return answer["TableNames"]


async def make_table(url: str, name: str) -> None:
    """Create a table with a key and no index."""
    async with aioboto3.Session().client("dynamodb", endpoint_url=url, region_name="us-east-1") as client:
        await client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        )


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's tie is Linux's")
async def test_embedded_ends_and_keeps_its_state_when_its_starter_is_killed(tmp_path: Path, table_name: str) -> None:
    """A killed scripts/dev must leave no process behind and keep its data."""
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDER, tmp_path, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    pid, url = (await holder.stdout.readline()).decode().split()
    await make_table(url, table_name)
    holder.kill()
    await holder.wait()
    # Without a pause: the new engine waits until the old one has released the folder.
    async with embedded(state=tmp_path) as url:
        assert has_ended(int(pid))
        assert await table_names(url) == [table_name]


async def test_embedded_without_a_folder_starts_empty() -> None:
    async with embedded() as url:
        assert await table_names(url) == []


async def test_dynamodb_local_responds(dynamodb_local: str, table_name: str) -> None:
    await make_table(dynamodb_local, table_name)
    assert table_name in await table_names(dynamodb_local)


def test_a_folder_serves_one_engine_at_a_time(tmp_path: Path) -> None:
    """Two engines would overwrite each other's state."""
    with (
        engines._claimed(tmp_path),
        pytest.raises(EngineError, match="in use by another engine"),
        engines._claimed(tmp_path, patience=0.1),
    ):
        pass


async def test_an_engine_that_dies_reports_its_last_output() -> None:
    """The output is the only information about the cause."""
    with pytest.raises(EngineError, match=r"(?s)Sham ended with 3.*no such luck"):
        async with python("print('no such luck', flush=True); raise SystemExit(3)"):
            pass


def test_an_engine_that_never_responds_times_out() -> None:
    engine = python("import time; time.sleep(60)").start()
    try:
        with pytest.raises(EngineError, match=r"did not respond within 0\.2 s"):
            engine.wait(timeout=0.2)
    finally:
        engine.stop()


def test_an_engine_that_ignores_sigterm_is_killed() -> None:
    engine = python(
        "import http.server, signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.BaseHTTPRequestHandler).serve_forever()"
    ).start()
    engine.wait()
    begun = time.monotonic()
    engine.stop(grace=0.2)
    assert engine.process.returncode == -signal.SIGKILL
    assert time.monotonic() - begun < 5


def test_stopping_an_engine_that_never_started_is_harmless() -> None:
    """The caller need not know whether it was started."""
    engine = python("")
    engine.stop()
    with pytest.raises(EngineError, match="not started"):
        engine.wait()


def test_a_missing_ministack_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engines, "ROOT", tmp_path)
    with pytest.raises(EngineError, match="run scripts/install ministack"):
        embedded().start()


def test_a_port_in_use_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = python("import time; time.sleep(60)")
    with socket.socket() as taken:
        taken.bind((engines.LOOPBACK, 0))
        number = taken.getsockname()[1]
        other = engines.free_port()
        chosen = iter([number, other])
        monkeypatch.setattr(random, "choice", lambda _: next(chosen))
        engine.start()
    engine.stop()
    assert engine.url == f"http://127.0.0.1:{other}"


@pytest.mark.parametrize("setpriv", [None, "/bin/false"])
def test_an_engine_runs_without_a_suitable_setpriv(monkeypatch: pytest.MonkeyPatch, setpriv: str | None) -> None:
    """It still ends when its starter ends normally."""
    monkeypatch.setattr(shutil, "which", lambda _: setpriv)
    assert engines._tether.__wrapped__() == []
