"""The engines that stand in for AWS on one machine: child processes that end with whoever started them.

Each listens on a free port and answers a moment later; `async with embedded() as url` waits for that and ends it after.
On Linux the kernel ends an engine whose starter dies, even of SIGKILL (`setpriv --pdeathsig`, from util-linux);
elsewhere only a starter that gets as far as its `finally` ends its engines.
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
# Below the range from which Linux takes the ports of outgoing connections, so that none of those can come between
# choosing a port here and the engine's opening it.
PORTS = range(15_000, 32_768)


class EngineError(Exception):
    """An engine is not installed, did not start, or died; the message says which and what it wrote last."""


class Engine:
    """One engine as a process of its own; also an async context manager that yields its URL.

    The kernel's tie is to the thread that starts it: start it on one that lives as long as the engine should. What it
    writes goes to this process's standard error if it `speaks`, and is kept for its last words if not.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int], list[str]],
        *,
        environment: Callable[[int], Mapping[str, str]] = lambda _: {},
        data: Path | None = None,
        probe: str = "/",
        speaks: bool = False,
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self._data = data
        self._probe = probe
        self._speaks = speaks
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def start(self) -> Self:
        """Start the process and return at once, or as soon as an earlier engine has let go of the data.

        One that is started again listens where it did.

        Raises EngineError when that one does not, and what building the command raises.
        """
        self._port = self._port or free_port()
        command = self._command(self._port)
        self._folder = tempfile.TemporaryDirectory(prefix="vitrina-", ignore_cleanup_errors=True)
        self._log = Path(self._folder.name) / "log"
        # An engine is not ours to measure, and its temporary files go with its folder.
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
        with self._log.open("wb") as log, _claimed(self._data) as lock:
            self._process = subprocess.Popen(
                [*_tether(), *command],
                cwd=self._folder.name,
                env={**inherited, "TMPDIR": self._folder.name, **self._environment(self._port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=None if self._speaks else log,
                pass_fds=lock,
                # Ctrl-C reaches a whole process group, and the service must outlive it to drain into the engine.
                start_new_session=True,
            )
        return self

    @property
    def url(self) -> str:
        """Where it listens, whether or not it answers yet."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process; raises EngineError before the start."""
        if self._process is None:
            raise EngineError(f"{self.name} was not started")
        return self._process

    def wait(self, *, timeout: float = 60.0) -> str:
        """Block until it answers HTTP and return its URL; raises EngineError when it dies or the seconds are over."""
        process = self.process
        deadline = time.monotonic() + timeout
        while not self._answers():
            if process.poll() is not None:
                raise EngineError(f"{self.name} ended with {process.returncode}:\n{self._last_words()}")
            if time.monotonic() > deadline:
                raise EngineError(f"{self.name} did not answer within {timeout:g} s:\n{self._last_words()}")
            time.sleep(0.05)
        return self.url

    def stop(self, *, grace: float = 10.0) -> None:
        """End the process, if there is one: SIGTERM, and SIGKILL after the seconds of grace."""
        if self._process is None:
            return
        self._process.terminate()
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

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=5)
        try:
            connection.request("GET", self._probe)
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2_000:]


def embedded(*, state: Path | None = None) -> Engine:
    """Return MiniStack, from the virtual environment that `scripts/install` makes for it.

    With a folder for its state, tables and queues are read from there at the start and written there when it ends by
    SIGTERM, which the kernel sends it too when its starter is killed. What a SIGKILL of the engine itself, or a crash
    of the machine, takes is all that changed since its start. Records of streams are never kept.

    Starting it raises EngineError when it is not installed.
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
            # It would sweep up containers of the machine's Docker at its start; it needs none for these services.
            "DOCKER_HOST": "unix:///nonexistent",
            "LOG_LEVEL": "WARNING",
            **({"PERSIST_STATE": "1", "STATE_DIR": str(state.resolve())} if state else {}),
        }

    return Engine("MiniStack", command, environment=environment, data=state, probe="/_ministack/health")


def dynamodb_local(*, db_path: Path | None = None) -> Engine:
    """Return AWS's DynamoDB Local, in memory or in a folder, where the data survive even SIGKILL.

    The first start downloads it. Starting it raises as `scripts.devstack.dynamodb_local.command` does.
    """
    return Engine("DynamoDB Local", lambda port: simulator.command(port=port, db_path=db_path), data=db_path)


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    while True:
        port = random.choice(PORTS)  # noqa: S311 - not a secret
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port


@contextmanager
def _claimed(folder: Path | None, *, patience: float = 10.0) -> Iterator[tuple[int, ...]]:
    """Lock a folder of data and yield the lock's descriptor: a process that inherits it holds the lock until it ends.

    An engine whose starter was killed may still be writing there. Raises EngineError when the lock is not free within
    `patience` seconds.
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
    # BusyBox has a setpriv too, one that does not know the option.
    works = tether and not subprocess.run([*tether, "true"], stderr=subprocess.DEVNULL, check=False).returncode
    return tether if works else []
