"""Several processes on one port: started, watched, restarted when they crash, stopped together."""

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
from vitrina.config import Settings

log = structlog.get_logger(__name__)

MULTIPROC_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable, prometheus-client's own, of the directory in which the processes of a service count."""
_SPAWN: Final = multiprocessing.get_context("spawn")  # A fork would share the loop, and lose the log's thread.
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_STEADY: Final = 60.0
"""Seconds of life after which a crash counts as the first one again."""


class WorkerFailed(Exception):
    """A first worker ended before it was ready, so that others would as well; it has said why."""


def serve(create_app: CreateApp, settings: Settings, *, workers: int, on_ready: OnReady) -> int:
    """Serve in several processes until told to stop; `on_ready` gets the URL once all are ready.

    `create_app` must be importable, for each process imports it anew. Returns the exit code: 0 when all of them
    drained. Raises OSError when the port is taken, and WorkerFailed.
    """
    logging.configure(level=settings.log_level, style=settings.log_format)
    with _counting_together(), _reserved_port(settings) as port:
        supervisor = Supervisor(create_app, settings.model_copy(update={"port": port}))
        return asyncio.run(supervisor.run(workers, on_ready))


class Supervisor:
    """Keeps workers alive until told to stop."""

    def __init__(self, create_app: CreateApp, settings: Settings) -> None:
        """Take what each worker serves."""
        self._create_app = create_app
        self._settings = settings
        self._processes: set[SpawnProcess] = set()
        self._stopping = asyncio.Event()

    async def run(self, workers: int, on_ready: OnReady) -> int:
        """Keep `workers` until a signal; the second one ends them at once. Raises WorkerFailed."""
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
        """Run a worker, and another when it dies; `up` is set when the first is ready. Returns the last exit code."""
        time = asyncio.get_running_loop().time
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            began = time()
            was_ready, code = await self._work(up)
            if self._stopping.is_set():
                return code if was_ready else 0
            if not up.is_set():
                raise WorkerFailed(f"a worker ended with {code} before it was ready")
            pause = _FIRST_PAUSE if time() - began > _STEADY else pause
            log.error("worker_died", code=code, restart_in=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        return 0

    async def _work(self, up: asyncio.Event) -> tuple[bool, int]:
        """Run one worker to its end; returns whether it was ever ready, and its exit code."""
        receiver, sender = _SPAWN.Pipe(duplex=False)
        process = _SPAWN.Process(target=_serve, args=(self._create_app, self._settings, sender))
        process.start()
        sender.close()
        self._processes.add(process)
        try:
            with receiver:
                await _readable(receiver.fileno())
                was_ready = _heard(receiver)
            if was_ready:
                up.set()
            await _readable(process.sentinel)
        finally:
            self._processes.discard(process)
        process.join()
        multiprocess.mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
        return was_ready, process.exitcode or 0


def _serve(create_app: CreateApp, settings: Settings, ready: Connection) -> None:
    """Be a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(server.serve(create_app, settings, on_ready=ready.send, supervised=True))


def _heard(receiver: Connection) -> bool:
    """Say whether something was sent before the other end closed."""
    try:
        receiver.recv()
    except EOFError:
        return False
    return True


async def _readable(file: int) -> None:
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(file, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(file)


@contextmanager
def _counting_together() -> Iterator[None]:
    """Give the workers a directory in which they count for one another's `/metrics`."""
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
    """Hold the port without listening, so that workers can share it and come and go. Raises OSError if it is taken."""
    family, _, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    if settings.port:
        socket.create_server(address[:2], family=family).close()  # To share is possible only with one's own kind.
    with socket.socket(family, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
        yield held.getsockname()[1]
