"""The API as a Lambda function: its cold start, and what it adds to the service's own response time.

The function runs under AWS's runtime client in an environment that holds its layer, its code and nothing else.
"""

import asyncio
import statistics
import sys
import time
import zipfile
from pathlib import Path
from typing import Any, Final

import aiohttp
from rich.progress import Progress

from scripts.benchmarks import catalogue
from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.reads import HOT
from scripts.benchmarks.service import create_table, environment, service, settings_for
from scripts.deploy.artifacts import code, packages
from scripts.deploy.local_function import LocalFunction, http_event
from scripts.devstack.engines import ROOT, dynamodb_local

_STARTS: Final = 5
_READS: Final = 300
_LOCK: Final = ROOT / "scripts" / "requirements" / "lambda.txt"


async def measure(folder: Path, progress: Progress) -> Report:
    """Build the function, start it a few times, then read one product through it and through the service."""
    report = Report("lambda")
    task = progress.add_task("building", total=_STARTS)
    python = str(folder / "client" / "bin" / "python")
    uv = Path(sys.executable).with_name("uv")
    await _run(uv, "venv", "--quiet", "--python", sys.executable, folder / "client")
    install = ("pip", "install", "--quiet", "--python", python, "--compile-bytecode", "--no-deps", "--require-hashes")
    await _run(uv, *install, "--requirement", _LOCK)
    for name, build in (("layer", packages), ("code", code)):
        artifact = await asyncio.to_thread(build, folder)
        with zipfile.ZipFile(artifact.path) as archive:
            await asyncio.to_thread(archive.extractall, folder / name)
    async with dynamodb_local() as endpoint:
        settings = settings_for(endpoint, "lambda")
        await create_table(settings)
        await catalogue.load(settings, 1, advance=lambda _: None)
        function: dict[str, Any] = {
            "python": python,
            "code": folder / "code",
            "layers": [folder / "layer"],
            "environment": environment(settings) | {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"},
        }
        progress.update(task, description="starting")
        starts = []
        for _ in range(_STARTS):
            starts.append(await asyncio.to_thread(_start, function))
            progress.advance(task)
        warm = await asyncio.to_thread(_invoke, function)
        async with service("vitrina", settings, folder=folder) as running, aiohttp.ClientSession() as client:
            own = []
            for _ in range(_READS):
                began = time.perf_counter()
                async with client.get(running.url + HOT[0], raise_for_status=True) as response:
                    await response.read()
                own.append(time.perf_counter() - began)
    beyond = statistics.median(warm) - statistics.median(own)
    report.add(
        Figure(name="cold start to the first response, fastest of 5, s", value=min(starts), at_most=1.3),
        Figure(name="cold start, median, s", value=statistics.median(starts)),
        Figure(name="read of a product, p50, ms", value=statistics.median(warm) * 1000),
        Figure(name="beyond the service's own p50, ms", value=beyond * 1000, at_most=10),
    )
    return report


def _start(function: dict[str, Any]) -> float:
    """Return the seconds from the start of the process to its first response."""
    began = time.perf_counter()
    with LocalFunction("vitrina.aws_lambda.api.handler", **function) as running:
        _read(running)
        return time.perf_counter() - began


def _invoke(function: dict[str, Any]) -> list[float]:
    """Return the seconds of each of many reads."""
    seconds = []
    with LocalFunction("vitrina.aws_lambda.api.handler", **function) as running:
        _read(running)
        for _ in range(_READS):
            began = time.perf_counter()
            _read(running)
            seconds.append(time.perf_counter() - began)
    return seconds


def _read(running: LocalFunction) -> None:
    response = running.invoke(http_event("GET", HOT[0]))
    if response["statusCode"] != 200:  # noqa: PLR2004 - OK
        raise RuntimeError(response["body"])


async def _run(*command: str | Path) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        raise RuntimeError(f"{' '.join(map(str, command))} failed")
