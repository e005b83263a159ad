"""The wheel holds what production runs, and its `vitrina` works where nothing but the locked packages is installed."""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
WALK = """
import contextlib, json, sys
import click
from click.testing import CliRunner
import vitrina
from vitrina.__main__ import main

def commands(group, *path):
    context = click.Context(group)
    for name in group.list_commands(context):
        yield *path, name
        with contextlib.suppress(click.ClickException):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                yield from commands(command, *path, name)

def call(*arguments):
    result = CliRunner().invoke(main, arguments)
    return [" ".join(arguments), result.exit_code, result.stdout[:200], result.stderr, repr(result.exception)]

helps = [call(*path, "--help") for path in commands(main)]
calls = [call(*line.split()) for line in sys.argv[1:]]
print(json.dumps({"place": vitrina.__file__, "helps": helps, "calls": calls}))
"""
NEEDS_KEYS = "VITRINA_SIGNING_KEYS"
NEEDS_AWS = "AWS needs valid credentials"
NEEDS = {
    "openapi": None,
    "api": NEEDS_KEYS,
    "table status": NEEDS_AWS,
    "table create": NEEDS_AWS,
    "table migrate": NEEDS_AWS,
    "table check": NEEDS_AWS,
    "users remove-super-admin --email sol@example.com": NEEDS_AWS,
    "users create-super-admin --email sol@example.com --name Sol": "the password must have 12 to 128 characters",
    "products export": NEEDS_AWS,
    "products import missing.csv": "missing.csv: No such file or directory",
    "queue status": NEEDS_AWS,
    "queue create": NEEDS_AWS,
    "queue dlq list": NEEDS_AWS,
}
"""Commands without settings, and what each reports as missing (relay and notifier wait for table and queue)."""
NEEDS_REPORTS = "Reports and exports need the extra `reports`, which is not installed."
REPORTS = {
    "prices export --out prices --to 2999-01-01": "2999-01-01 is in the future",  # else it retries for half a minute
    "views rollup": NEEDS_AWS,
    "views report --out report.html": NEEDS_AWS,
    "views export --out views --to 2999-01-01": "2999-01-01 is in the future",
}
"""Commands that need the extra `reports` first."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources: setuptools writes beside them."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    done = subprocess.run([sys.executable, "-c", BUILD, "dist"], cwd=folder, capture_output=True, text=True, check=True)
    return folder / "dist" / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module", params=["server", "reports"])
def lock(request: pytest.FixtureRequest) -> str:
    """The name of a lock file."""
    return str(request.param)


@pytest.fixture(scope="module")
def environment(wheel: Path, lock: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel installed by pip; a .pth file adds the packages of a lock, and no others."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(wheel)], check=True)
    [site] = folder.glob("lib/python*/site-packages")
    locked = folder / "locked"
    locked.mkdir()
    for name in re.findall(r"^([\w.-]+)==", (ROOT / f"scripts/requirements/{lock}.txt").read_text(), re.MULTILINE):
        with contextlib.suppress(PackageNotFoundError):  # Some are for other systems and Pythons.
            for part in {file.parts[0] for file in distribution(name).files or ()} - {"..", "__pycache__"}:
                (locked / part).symlink_to(Path(sysconfig.get_path("purelib")) / part)
    (site / "locked.pth").write_text(str(locked))
    return folder


def test_it_holds_the_package_with_its_templates_and_nothing_else(wheel: Path) -> None:
    sources = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src/vitrina").rglob("*") if path.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {name for name in sources if "__pycache__" not in name}
    assert {"vitrina/mail/templates/", "vitrina/services/analytics/report/"} <= {
        name.rpartition("/")[0] + "/" for name in names if not name.endswith(".py")
    }


def test_every_command_works_or_says_what_it_needs(environment: Path, lock: str, tmp_path: Path) -> None:
    """The commands run with no setting but the region."""
    wanted = NEEDS | dict.fromkeys(REPORTS, NEEDS_REPORTS) if lock == "server" else REPORTS
    python = environment / "bin" / "python"
    variables = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1", "HOME": str(tmp_path)}
    script = subprocess.run(
        [environment / "bin" / "vitrina", "--version"], env=variables, capture_output=True, text=True, check=True
    )
    assert script.stdout.startswith("vitrina, version ")
    done = subprocess.run(
        [python, "-c", WALK, *wanted], cwd=tmp_path, env=variables, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["place"].startswith(str(environment))
    assert len(found["helps"]) > 20
    for command, code, output, said, exception in found["helps"]:
        helps = (code, output[:7]) == (0, "Usage: ")
        assert helps or (lock == "server" and NEEDS_REPORTS in said), (command, exception)
    for command, code, _, said, exception in found["calls"]:
        needs = wanted[command]
        assert (code == 0) == (needs is None), (command, said, exception)
        assert needs is None or needs in said, (command, said, exception)
        assert "Traceback" not in said


def test_what_the_demo_installs_can_roll_up_its_views(environment: Path, lock: str) -> None:
    """`scripts/dev` is the first command of README, on a machine that has nothing else."""
    [installed] = re.findall(r'scripts/install" (\w+) ministack', (ROOT / "scripts/dev").read_text())
    code = "import scripts.devstack.dev, vitrina.services.analytics.rollups"
    done = subprocess.run(
        [environment / "bin" / "python", "-c", code],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or lock != installed, done.stderr
