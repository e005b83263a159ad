"""Several processes on one port: starts them, restarts those that crash, and stops them together."""

import asyncio
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final

import structlog
from prometheus_client import multiprocess

from vitrina import logging
from vitrina.api.server import process as server
from vitrina.api.server.process import CreateApp, OnReady, url_of
from vitrina.backoff import Backoff
from vitrina.config import Settings

log = structlog.get_logger(__name__)

MULTIPROC_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable, prometheus-client's own, of the directory in which the processes of a service count."""
_SPAWN: Final = multiprocessing.get_context("spawn")
"""A fork would share the event loop, and lose the thread of the log."""
_BACKOFF: Final = Backoff(first=0.5, longest=30.0, jitter=0)
_STEADY: Final = 60.0
"""Seconds after which a crash no longer lengthens the pause before the next start."""


class WorkerFailed(Exception):
    """A worker ended before any was ready, so a restart would fail too. The worker has logged why."""


def serve(create_app: CreateApp, settings: Settings, *, workers: int, on_ready: OnReady) -> int:
    """Serve in several processes until a signal; `on_ready` gets the URL once all are ready.

    `create_app` must be importable, because each process imports it anew. Returns the exit code: 0 when all of them
    stopped completely. Raises OSError when the port is taken, and WorkerFailed.
    """
    logging.configure(level=settings.log_level, style=settings.log_format)
    with _shared_metrics(), _reserved_port(settings) as port:
        supervisor = Supervisor(create_app, settings.model_copy(update={"port": port}))
        return asyncio.run(supervisor.run(workers, on_ready))


class Supervisor:
    """Keeps worker processes running until a signal."""

    def __init__(self, create_app: CreateApp, settings: Settings) -> None:
        self._create_app = create_app
        self._settings = settings
        self._processes: set[SpawnProcess] = set()
        self._stopping = asyncio.Event()

    async def run(self, workers: int, on_ready: OnReady) -> int:
        """Run `workers` processes until a signal; a second signal ends them at once. Raises WorkerFailed."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop)
        ups = [asyncio.Event() for _ in range(workers)]
        announcing = asyncio.create_task(self._announce(ups, on_ready))
        keeping = [asyncio.create_task(self._keep(up)) for up in ups]
        try:
            return 0 if not any(await asyncio.gather(*keeping)) else 1
        finally:
            announcing.cancel()
            self._stop()
            await asyncio.gather(*keeping, return_exceptions=True)

    def _stop(self) -> None:
        self._stopping.set()
        for process in self._processes:
            process.terminate()

    async def _announce(self, ups: list[asyncio.Event], on_ready: OnReady) -> None:
        for up in ups:
            await up.wait()
        on_ready(url_of(self._settings.host, self._settings.port))

    async def _keep(self, up: asyncio.Event) -> int:
        """Run a worker, and another when it crashes; set `up` when the first is ready. Return the last exit code."""
        time = asyncio.get_running_loop().time
        crashes = 0
        while not self._stopping.is_set():
            began = time()
            was_ready, code = await self._work(up)
            if self._stopping.is_set():
                return code if was_ready else 0
            if not up.is_set():
                raise WorkerFailed(f"a worker ended with {code} before it was ready")
            crashes = 1 if time() - began > _STEADY else crashes + 1
            pause = _BACKOFF.pause(crashes)
            log.error("worker_died", code=code, restart_in=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
        return 0

    async def _work(self, up: asyncio.Event) -> tuple[bool, int]:
        """Run one worker to its end; return whether it was ever ready, and its exit code."""
        receiver, sender = _SPAWN.Pipe(duplex=False)
        process = _SPAWN.Process(target=_serve, args=(self._create_app, self._settings, sender))
        process.start()
        sender.close()
        self._processes.add(process)
        was_ready = False
        try:
            with receiver, suppress(EOFError):  # It closed its end without a message.
                await _readable(receiver.fileno())
                receiver.recv()
                was_ready = True
                up.set()
            await _readable(process.sentinel)
        finally:
            self._processes.discard(process)
        process.join()
        multiprocess.mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
        return was_ready, process.exitcode or 0


def _serve(create_app: CreateApp, settings: Settings, ready: Connection) -> None:
    """Serve as a worker; the entry point of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(server.serve(create_app, settings, on_ready=ready.send, supervised=True))


async def _readable(file: int) -> None:
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(file, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(file)


@contextmanager
def _shared_metrics() -> Iterator[None]:
    """Give the workers one directory for their metrics, so that `/metrics` of any shows the sum of all."""
    if MULTIPROC_DIR in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="vitrina-metrics-", ignore_cleanup_errors=True) as directory:
        os.environ[MULTIPROC_DIR] = directory
        try:
            yield
        finally:
            del os.environ[MULTIPROC_DIR]


@contextmanager
def _reserved_port(settings: Settings) -> Iterator[int]:
    """Bind the port without listening, so that workers can join and leave it. Raises OSError if it is taken."""
    family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    if settings.port:
        # Without SO_REUSEPORT, which would let the port be shared with another service of the same user.
        socket.create_server(address[:2], family=family).close()
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
        yield held.getsockname()[1]
