"""What an installation without extras costs: its size on disk, its start, and the memory of an idle API."""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Final

from rich.progress import Progress

from scripts.benchmarks.figures import Figure, Report
from scripts.benchmarks.service import create_table, service, settings_for
from scripts.devstack.engines import ROOT, dynamodb_local

_MB: Final = 1_000_000
_STARTS: Final = 9
_LOCK: Final = ROOT / "scripts" / "requirements" / "server.txt"


async def measure(folder: Path, progress: Progress) -> Report:
    """Install server.txt into a new environment, import the API there, and serve it idle."""
    report = Report("footprint")
    task = progress.add_task("installing server.txt", total=None)
    environment = folder / "environment"
    python, uv = str(environment / "bin" / "python"), str(Path(sys.executable).with_name("uv"))
    await _run(uv, "venv", "--quiet", "--python", sys.executable, str(environment))
    await _run(
        uv, "pip", "install", "--quiet", "--python", python,
        "--no-deps", "--require-hashes", "--compile-bytecode", "--requirement", str(_LOCK),
    )  # fmt: skip
    files = [*environment.rglob("*"), *(ROOT / "src" / "vitrina").rglob("*")]
    size = sum(file.lstat().st_size for file in files if not file.is_dir())
    report.add(Figure(name="installation, MB", value=size / _MB, at_most=120))
    progress.update(task, description="importing the API", total=_STARTS)
    await _run(python, "-c", "import vitrina.api.application")  # Compiles Vitrina itself.
    seconds = []
    for _ in range(_STARTS):
        seconds.append(await _run(python, "-c", "import vitrina.api.application") - await _run(python, "-c", ""))
        progress.advance(task)
    report.add(Figure(name="import of the API, fastest of 9, s", value=min(seconds), at_most=0.7))
    async with dynamodb_local() as endpoint:
        settings = settings_for(endpoint, "footprint")
        await create_table(settings)
        async with service("vitrina", settings, folder=folder, vitrina=(python, "-m", "vitrina")) as running:
            memory = await running.memory()
    report.add(Figure(name="idle API, MB", value=memory / _MB, at_most=100))
    return report


async def _run(*command: str) -> float:
    """Run a command, and return how many seconds it took. Raises RuntimeError if it fails."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""})
    if await process.wait():
        raise RuntimeError(f"{' '.join(command)} failed")
    return time.perf_counter() - began
