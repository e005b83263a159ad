"""Local engines in place of AWS: child processes that end with the process that started them.

`async with embedded() as url` starts one on a free port, waits until it responds, and stops it at the end. On Linux the
kernel ends an engine when its starter dies, even by SIGKILL (`setpriv --pdeathsig`, from util-linux); elsewhere an
engine outlives a starter that is killed before its `finally` blocks run.
"""

import asyncio
import fcntl
import functools
import http.client
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from scripts.devstack import dynamodb_local as simulator

ROOT = Path(__file__).parents[2]
LOOPBACK = "127.0.0.1"
# Below the range that Linux uses for outgoing connections, so that none of those can take a port between its choice
# here and the engine's bind.
PORTS = range(15_000, 32_768)


class EngineError(Exception):
    """An engine is not installed, did not start, or died; the message has its name and its last output."""


class Engine:
    """One engine process; also an async context manager that yields its URL.

    The kernel ties the engine to the thread that starts it: use a thread that lives as long as the engine should. Its
    output is kept for error messages, or appended to the file `log`. `port` 0 takes a free one.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int], list[str]],
        *,
        environment: Callable[[int], Mapping[str, str]] = lambda _: {},
        data: Path | None = None,
        probe: str = "/",
        port: int = 0,
        log: Path | None = None,
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._data = data
        self._probe = probe
        self._process: subprocess.Popen[bytes] | None = None
        self._terminated = False
        self._port = port
        self.log = log

    def start(self) -> Self:
        """Start the process without waiting for it; waits only until an earlier engine has released the data folder.

        An engine that is started again uses the same port. Raises EngineError when the folder stays in use, and
        whatever the command's builder raises.
        """
        self._port = self._port or free_port()
        self._terminated = False
        command = self._command(self._port)
        self._folder = tempfile.TemporaryDirectory(prefix="vitrina-", ignore_cleanup_errors=True)
        self._output = self.log or Path(self._folder.name) / "log"
        # Coverage must not measure engines, and their temporary files belong in the folder that is deleted.
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
        with self._output.open("ab") as output, _claimed(self._data) as lock:
            self._process = subprocess.Popen(
                [*_tether(), *command],
                cwd=self._folder.name,
                env={**inherited, "TMPDIR": self._folder.name, **self._environment(self._port)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=lock,
                # Ctrl-C reaches a whole process group, and the service must outlive it to drain into the engine.
                start_new_session=True,
            )
        return self

    @property
    def url(self) -> str:
        """The URL, valid before the engine responds."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process. Raises EngineError before the start."""
        if self._process is None:
            raise EngineError(f"{self.name} was not started")
        return self._process

    def wait(self, *, timeout: float = 60.0) -> str:
        """Block until the engine responds to HTTP; returns its URL. Raises EngineError when it dies or times out."""
        process = self.process
        deadline = time.monotonic() + timeout
        while not self._responds():
            if process.poll() is not None:
                raise EngineError(f"{self.name} ended with {process.returncode}:\n{self._last_output()}")
            if time.monotonic() > deadline:
                raise EngineError(f"{self.name} did not respond within {timeout:g} s:\n{self._last_output()}")
            time.sleep(0.05)
        return self.url

    def terminate(self) -> None:
        """Send SIGTERM to the process, if there is one, and only once: a worker takes the second as an interruption."""
        if self._process is not None and not self._terminated:
            self._terminated = True
            self._process.terminate()

    def stop(self, *, grace: float = 10.0) -> None:
        """End the process, if there is one: by SIGTERM, and by SIGKILL after `grace` seconds."""
        self.terminate()
        if self._process is None:
            return
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    async def __aenter__(self) -> str:
        self.start()
        try:
            return await asyncio.to_thread(self.wait)
        except BaseException:
            self.stop()
            raise

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    def _responds(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=5)
        try:
            connection.request("GET", self._probe)
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def _last_output(self) -> str:
        return self._output.read_text(errors="replace")[-2_000:]


def embedded(*, state: Path | None = None, port: int = 0) -> Engine:
    """Return MiniStack, from the virtual environment that `scripts/install` creates for it.

    With a `state` folder it reads tables and queues from there at the start and writes them there on SIGTERM, which the
    kernel also sends when the starter is killed. A SIGKILL of the engine, or a crash of the machine, loses all changes
    since the start. Stream records are never saved. `start` raises EngineError when MiniStack is not installed.
    """
    python = ROOT / ".venv-ministack" / "bin" / "python"

    def command(_: int) -> list[str]:
        if not python.exists():
            raise EngineError(f"MiniStack is not installed ({python} is missing): run scripts/install ministack")
        return [str(python), "-m", "ministack"]

    def environment(port: int) -> dict[str, str]:
        return {
            "BIND_HOST": LOOPBACK,
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": LOOPBACK,
            "SERVICES": "dynamodb,dynamodbstreams,sqs,ses",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # With access to Docker it would remove containers at its start; these services need none.
            "DOCKER_HOST": "unix:///nonexistent",
            "LOG_LEVEL": "WARNING",
            **({"PERSIST_STATE": "1", "STATE_DIR": str(state.resolve())} if state else {}),
        }

    return Engine("MiniStack", command, environment=environment, data=state, probe="/_ministack/health", port=port)


def dynamodb_local(*, db_path: Path | None = None, port: int = 0) -> Engine:
    """Return AWS's DynamoDB Local, in memory or in a folder.

    In a folder, a SIGKILL loses a few of the transactions that were acknowledged just before (section 12 of
    table_design.md). The first start downloads it. `start` raises what `dynamodb_local.command` raises.
    """
    return Engine("DynamoDB Local", lambda port: simulator.command(port=port, db_path=db_path), data=db_path, port=port)


def free_port(chance: random.Random | None = None) -> int:
    """Return a loopback port on which nothing listens; a `chance` with the same seed proposes the same ports."""
    while True:
        port = (chance or random).choice(PORTS)
        try:
            # With SO_REUSEADDR, as servers set it: connections that a server has closed do not occupy its port.
            socket.create_server((LOOPBACK, port)).close()
        except OSError:
            continue
        return port


@contextmanager
def _claimed(folder: Path | None, *, patience: float = 10.0) -> Iterator[tuple[int, ...]]:
    """Lock a data folder and yield the lock's descriptor; a process that inherits it holds the lock until it ends.

    An engine whose starter was killed may still be writing to the folder. Raises EngineError when the lock is not free
    within `patience` seconds.
    """
    if folder is None:
        yield ()
        return
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with (folder / "lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EngineError(f"{folder} is in use by another engine") from None
                time.sleep(0.05)
        yield (lock.fileno(),)


@functools.cache
def _tether() -> list[str]:
    setpriv = shutil.which("setpriv")
    tether = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
    # BusyBox's setpriv does not know the option.
    works = tether and not subprocess.run([*tether, "true"], stderr=subprocess.DEVNULL, check=False).returncode
    return tether if works else []
