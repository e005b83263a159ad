"""The machine and the versions behind the figures, which mean nothing without them."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("vitrina", "aiohttp", "aioboto3", "aiobotocore", "pynamodb", "uvloop")


def facts() -> dict[str, str]:
    """Name the machine, the interpreter, the libraries, the engine and the load generator."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "engine": "DynamoDB Local, in memory",
        "load": _first_line("wrk", "-v"),
        **{package: version(package) for package in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _first_line(*command: str) -> str:
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return next(iter(output.splitlines()), "unknown").partition(" Copyright")[0]
