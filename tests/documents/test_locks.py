"""The lock files pin every installed package by hash, agree with each other, and name no package index."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "scripts" / "requirements"


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


@pytest.mark.parametrize("folder", ["scripts/postman", "tests/api/clients", "tests/deploy/simulator"])
def test_every_package_of_npm_is_pinned_by_hash(folder: str) -> None:
    packages = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
    asked = packages.pop("")["dependencies"]
    assert asked == json.loads((ROOT / folder / "package.json").read_text())["dependencies"]
    assert packages
    assert all("integrity" in package and "resolved" not in package for package in packages.values())


def test_tests_run_on_what_is_deployed() -> None:
    assert pins("server").items() < pins("reports").items() < pins("dev").items()
