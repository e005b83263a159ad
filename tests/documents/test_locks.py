"""The lock files pin all that is installed, agree with each other, and name no place to download from."""

import re
from pathlib import Path

import pytest

LOCKS = Path(__file__).parents[2] / "scripts" / "requirements"


def pins(name: str) -> dict[str, str]:
    """Return the versions by the name of the package and the condition on the machine, if it has one."""
    lock = (LOCKS / f"{name}.txt").read_text()
    return {
        package + condition: version
        for package, version, condition in re.findall(r"^([\w.-]+)==([^\s;]+)( ;[^\\\n]+)?", lock, re.MULTILINE)
    }


@pytest.mark.parametrize("name", ["server", "dev", "ministack"])
def test_every_package_is_pinned_by_hash(name: str) -> None:
    """Pip refuses the whole file otherwise; and where a machine downloads from is its own affair."""
    lock = (LOCKS / f"{name}.txt").read_text()
    packages = re.split(r"^(?=\w)", lock, flags=re.MULTILINE)[1:]
    assert packages
    assert all("--hash=sha256:" in package and "==" in package for package in packages)
    assert "://" not in lock
    assert "--index-url" not in lock


def test_tests_run_on_what_is_deployed() -> None:
    """The development lock holds the server's, version for version."""
    assert pins("server").items() <= pins("dev").items()
