"""Worker processes start together, stop in order, and are replaced when they crash."""

import asyncio
import os
import re
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.api.client import Client
from tests.api.small import SECRET, settings
from tests.api.small_process import announce, create_app
from vitrina import logging
from vitrina.api.server import process as server, supervisor
from vitrina.api.server.supervisor import MULTIPROC_DIR

ROOT = Path(__file__).parents[3]


class Served:
    """A service in its own processes."""

    def __init__(self, process: Process, client: Client) -> None:
        self.process = process
        self.client = client

    def workers(self) -> list[int]:
        """The ids of the worker processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]

    async def left(self) -> tuple[int, list[str]]:
        """Wait until the process ends; return the exit code and the lines printed since the start."""
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            printed = await self.process.stdout.read()
            return await self.process.wait(), printed.decode().split("\n")[:-1]

    def in_flight(self, seconds: float) -> asyncio.Task[Any]:
        """Start a request that takes a number of seconds."""
        return asyncio.create_task(self.client.get(f"/v1/sleep-long?seconds={seconds}"))


@asynccontextmanager
async def _served(
    http: aiohttp.ClientSession,
    workers: int,
    *,
    environment: dict[str, str] | None = None,
    **options: Any,  # noqa: ANN401 - a setting's own field checks its value
) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.api.small_process",
        str(workers),
        orjson.dumps(options).decode(),
        cwd=ROOT,
        env=os.environ | (environment or {}),
        stdout=PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            url = (await process.stdout.readline()).decode().strip()
        yield Served(process, Client(http, url))
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - processes send no events
            await asyncio.sleep(0.05)


async def _is_closed(client: Client) -> bool:
    try:
        await client.get("/healthz")
    except aiohttp.ClientConnectionError:
        return True
    return False


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_stop_goes_in_order(http: aiohttp.ClientSession, workers: int) -> None:
    """Readiness fails, the port closes, requests in flight finish, resources are closed, and the exit code is 0."""
    async with _served(http, workers, drain_delay=0.5) as served:
        assert (await served.client.get("/readyz")).status == 200
        answer = served.in_flight(1.5)
        await asyncio.sleep(0.2)
        served.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        for _ in range(4):
            reply = await served.client.get("/readyz")
            assert (reply.status, reply.headers.get("Connection")) == (503, "close")  # RFC 9112 section 9.6.
        assert (await served.client.get("/healthz")).status == 200
        await asyncio.sleep(0.7)
        assert await _is_closed(served.client)
        assert not answer.done()
        reply = await answer
        assert (reply.json, reply.headers.get("Connection")) == ("slept", "close")
        assert await served.left() == (0, ["let go"] * workers)


@pytest.mark.parametrize("workers", [1, 2])
async def test_ctrl_c_sent_to_all_processes_stops_them_once(http: aiohttp.ClientSession, workers: int) -> None:
    """A terminal sends the signal to the whole process group."""
    async with _served(http, workers) as served:
        answer = served.in_flight(0.7)
        await asyncio.sleep(0.2)
        os.killpg(served.process.pid, signal.SIGINT)
        assert (await answer).json == "slept"
        assert await served.left() == (0, ["let go"] * workers)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_second_signal_ends_the_process_at_once(http: aiohttp.ClientSession, workers: int) -> None:
    """The exit code is 1."""
    async with _served(http, workers) as served:
        answer = served.in_flight(30)
        await asyncio.sleep(0.2)
        began = time.monotonic()
        for _ in range(2):
            served.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
        code, _ = await served.left()
        assert code == 1
        assert time.monotonic() - began < 5
        with pytest.raises(aiohttp.ClientConnectionError):
            await answer


async def test_requests_beyond_the_shutdown_timeout_are_cut_off(http: aiohttp.ClientSession) -> None:
    """After `Settings.shutdown_timeout` the resources are closed as well."""
    async with _served(http, 1, shutdown_timeout=0.3) as served:
        answer = served.in_flight(30)
        await asyncio.sleep(0.2)
        served.process.send_signal(signal.SIGTERM)
        assert await served.left() == (0, ["let go"])
        with pytest.raises(aiohttp.ClientConnectionError):
            await answer


async def test_workers_that_crash_are_replaced(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Meanwhile the others serve, and the metrics of the crashed worker are kept.

    A stop does not wait for the restart delay.
    """
    async with _served(http, 2, environment={MULTIPROC_DIR: str(tmp_path)}) as served:
        await asyncio.gather(*(served.client.get("/v1/who") for _ in range(40)))
        await asyncio.sleep(0.2)  # Metrics are written after a short delay.
        before = served.workers()
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        await _until(lambda: len(served.workers()) == 2 and before[0] not in served.workers())
        assert (await served.client.get("/v1/who")).status == 200
        assert await _requests(served.client) >= 40
        assert f"counter_{before[0]}.db" in _names(tmp_path)
        after = served.workers()
        os.kill(after[0], signal.SIGKILL)
        await _until(lambda: not Path(f"/proc/{after[0]}").exists())  # The parent has noticed the crash.
        served.process.send_signal(signal.SIGTERM)
        code, _ = await served.left()
        assert code == 0


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def _requests(client: Client) -> float:
    metrics = (await client.get("/metrics")).body.decode()
    found = re.search(r'requests_total\{method="GET",route="/v1/who",status="200"\} ([\d.]+)', metrics)
    return float(found[1]) if found else 0


async def test_workers_do_not_outlive_their_parent(http: aiohttp.ClientSession) -> None:
    """No other process would stop them."""
    async with _served(http, 2) as served:
        workers = served.workers()
        answer = served.in_flight(0.5)
        await asyncio.sleep(0.2)
        served.process.kill()
        assert (await answer).json == "slept"
        await _until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


@pytest.fixture
def logs_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a service in this process from changing the logging of the tests."""
    monkeypatch.setattr(logging, "configure", lambda **_options: None)


@pytest.mark.usefixtures("logs_as_they_are")
def test_a_taken_port_is_an_error() -> None:
    """Otherwise SO_REUSEPORT would let workers share it with another service of the same user."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = settings(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            supervisor.serve(create_app, options, workers=2, on_ready=announce)
        with pytest.raises(OSError, match="in use"):
            server.serve(create_app, options, on_ready=announce)


@pytest.mark.usefixtures("logs_as_they_are")
def test_workers_that_cannot_start_are_not_restarted_forever(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The log has the reason without a secret."""
    monkeypatch.setenv("SMALL_FAILS", "1")
    with pytest.raises(supervisor.WorkerFailed, match="before it was ready"):
        supervisor.serve(create_app, settings(), workers=2, on_ready=announce)
    error = capfd.readouterr().err
    assert "cannot start" in error
    assert SECRET not in error


@pytest.mark.parametrize(("host", "url"), [("127.0.0.1", "http://127.0.0.1:80"), ("::1", "http://[::1]:80")])
def test_an_address_has_a_url(host: str, url: str) -> None:
    assert server.url_of(host, 80) == url
