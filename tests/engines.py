"""The engines that tests run on. Each is started once a session, in parallel, when a test needs it."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from scripts.devstack import dynamodb_local as simulator, engines

ON_CI = os.environ.get("CI") == "true"
"""There nothing may be left out: DynamoDB Local is required, and a skipped test is a failure."""

CANNOT_RUN = (simulator.MissingToolError, simulator.DownloadError, engines.EngineError)
"""What starting an engine raises when it is not installed or could not be downloaded."""

UNPROVEN = (
    "AWS's own validation of requests",
    "capacity units (MiniStack ignores size on reads)",
    "TTL deletes and their stream records",
    "stream shards that split",
)
"""What rests on DynamoDB Local alone."""


def moto_server() -> engines.Engine:
    """Return moto's server as a separate process, since in the tests' process it would share the GIL.

    For sequential tests only: it lets two writers satisfy one condition, and applies a transaction's token twice.
    """
    serve = [sys.executable, "-m", "moto.server", "-H", engines.LOOPBACK, "-p"]
    return engines.Engine("moto", lambda port: [*serve, str(port)], probe="/moto-api/")


def dynamodb_local(*, db_path: Path | None = None) -> engines.Engine:
    """Return DynamoDB Local without Java's optimising compiler, which takes half of a short run's processor time."""
    return engines.Engine(
        "DynamoDB Local",
        lambda port: simulator.command(port=port, db_path=db_path),
        environment=lambda _: {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"},
        data=db_path,
    )


class Engines:
    """The running engines by name. Where DynamoDB Local cannot run, MiniStack replaces it, except on CI."""

    kinds: ClassVar[Mapping[str, Callable[[], engines.Engine]]] = {
        "moto": moto_server,
        "dynamodb_local": dynamodb_local,
        "ministack": engines.embedded,
    }

    def __init__(self, *, missing: str | None = None) -> None:
        self.missing = missing
        """Why DynamoDB Local cannot run here, once that is known."""
        self._started: dict[str, engines.Engine] = {}

    def check(self) -> None:
        """Download DynamoDB Local if necessary and check that it can run, before parallel processes would do the same.

        On CI, where it must run, raises one of CANNOT_RUN.
        """
        try:
            simulator.command(port=0)
        except CANNOT_RUN as error:
            if ON_CI:
                raise
            self.missing = str(error)

    def start(self, names: Iterable[str]) -> None:
        """Start the engines without waiting for them."""
        for name in names:
            self._start(name)

    def url(self, name: str) -> str:
        """Return the engine's URL once it responds; raises the errors of its start."""
        return self._start(name).wait()

    def actual(self, name: str) -> str:
        """Return the name of the engine that runs in place of the named one."""
        return "ministack" if name == "dynamodb_local" and self.missing else name

    def stop(self) -> None:
        """Stop all engines."""
        for engine in self._started.values():
            engine.stop()

    def _start(self, name: str) -> engines.Engine:
        name = self.actual(name)
        if name in self._started:
            return self._started[name]
        try:
            self._started[name] = self.kinds[name]().start()
        except CANNOT_RUN as error:
            if ON_CI or name != "dynamodb_local":
                raise
            self.missing = str(error)
            return self._start("ministack")
        return self._started[name]
