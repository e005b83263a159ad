"""The lock files pin every installed package by hash, agree with each other, and name no package index."""

import re
from pathlib import Path

import pytest

LOCKS = Path(__file__).parents[2] / "scripts" / "requirements"


def pins(name: str) -> dict[str, str]:
    """Return the versions by package name and environment marker."""
    lock = (LOCKS / f"{name}.txt").read_text()
    return {
        package + condition: version
        for package, version, condition in re.findall(r"^([\w.-]+)==([^\s;]+)( ;[^\\\n]+)?", lock, re.MULTILINE)
    }


@pytest.mark.parametrize("name", ["server", "reports", "tracing", "dev", "ministack", "lambda"])
def test_every_package_is_pinned_by_hash(name: str) -> None:
    """Pip refuses a file with a missing hash; the package index is each machine's own setting."""
    lock = (LOCKS / f"{name}.txt").read_text()
    packages = re.split(r"^(?=\w)", lock, flags=re.MULTILINE)[1:]
    assert packages
    assert all("--hash=sha256:" in package and "==" in package for package in packages)
    assert "://" not in lock
    assert "--index-url" not in lock


def test_tests_run_on_what_is_deployed() -> None:
    assert pins("server").items() < pins("reports").items() < pins("dev").items()
