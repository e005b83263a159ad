"""The load generator wrk, run as a process, and its results."""

import asyncio
import json
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SCRIPT: Final = Path(__file__).with_name("load.lua")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The use of the table meanwhile: capacity units, write calls, stored views, and those that were stored late."""

    read_units: float
    write_units: float
    write_calls: float
    views: float
    late_views: float

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(
            read_units=self.read_units - earlier.read_units,
            write_units=self.write_units - earlier.write_units,
            write_calls=self.write_calls - earlier.write_calls,
            views=self.views - earlier.views,
            late_views=self.late_views - earlier.late_views,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run of wrk: responses per second, and the median and 99th percentile of their milliseconds.

    `cpu` are the seconds of CPU time that the server used meanwhile.
    """

    requests: int
    rate: float
    p50: float
    p99: float
    errors: int
    cpu: float = 0.0
    usage: Usage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The requests to send for `seconds` over `connections`.

    In the body, `{n}` is replaced by a number unique to the request, and `{run}` by a word unique to the run.
    """

    paths: Sequence[str]
    connections: int
    seconds: float
    method: str = "GET"
    token: str = ""
    body: str | None = None


def missing() -> str | None:
    """Return a message about a missing program, or None."""
    if shutil.which("wrk"):
        return None
    return "the load generator wrk is not installed: `apt-get install wrk`, `brew install wrk`, or github.com/wg/wrk"


async def drive(url: str, load: Load) -> Sample:
    """Run wrk against `url` and return its results. Raises RuntimeError with wrk's output when it fails."""
    with tempfile.NamedTemporaryFile("w", prefix="vitrina-bench-", suffix=".paths") as paths:
        paths.write("\n".join(load.paths))
        paths.flush()
        body = () if load.body is None else (load.body.replace("{run}", secrets.token_hex(4)),)
        wrk = await asyncio.create_subprocess_exec(
            *("wrk", "-t1", f"-c{load.connections}", f"-d{load.seconds:.0f}s", "-s", str(SCRIPT), url),
            *("--", load.method, paths.name, load.token, *body),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await wrk.communicate()
        finally:
            if wrk.returncode is None:
                wrk.kill()
    lines = output.decode().splitlines()
    if wrk.returncode or not lines:
        raise RuntimeError(f"wrk failed: {output.decode()}")
    found = json.loads(lines[-1])
    return Sample(
        requests=found["requests"],
        rate=found["requests"] / found["seconds"],
        p50=found["p50"] / 1000,
        p99=found["p99"] / 1000,
        errors=found["errors"],
    )
