"""What `scripts/deploy/up` needs: each thing that is missing is one sentence, which says how to get it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts.deploy import commands
from scripts.devstack.engines import LOOPBACK, free_port

COMMANDS = ("up", "down", "status", "logs")
KEYS = {
    "CodeKey": "code.zip",
    "LayerKey": "layer.zip",
    "ReportsLayerKey": "reports.zip",
    "TracingLayerKey": "tracing.zip",
}


def refused(command: str, build: Path, *options: str) -> str:
    """Run a command of `scripts/deploy` that must fail, and return its sentence."""
    where = ("--build", str(build)) if command == "up" else ()
    done = CliRunner().invoke(commands.main, [command, *where, *options])
    assert (done.exit_code, done.output.startswith("Error: ")) == (1, True), done.output
    return done.output


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build for a Python of AWS."""
    for name in KEYS.values():
        (tmp_path / name).touch()
    describe(tmp_path, "python3.13")
    return tmp_path


def describe(build: Path, runtime: str) -> None:
    """Write what a build is."""
    (build / "artifacts.json").write_text(json.dumps(KEYS | {"Runtime": runtime}))


def test_nothing_is_built(tmp_path: Path, build: Path) -> None:
    assert "run scripts/deploy/build --out" in refused("up", tmp_path / "none")
    (build / "code.zip").unlink()
    assert "code.zip is missing: run scripts/deploy/build" in refused("up", build)


def test_a_build_for_another_python(build: Path) -> None:
    """AWS would run it, and fail at the first import of a compiled package."""
    describe(build, "python3.11")
    assert "this is Python 3.11, but the functions of template.yaml run on Python 3.12 or 3.13" in refused("up", build)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_emulator_runs(command: str, build: Path) -> None:
    printed = refused(command, build, "--to", "emulator", "--endpoint", f"http://{LOOPBACK}:{free_port()}")
    assert "run scripts/deploy/emulator in another terminal" in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_no_credentials(command: str, build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert "No credentials of AWS are here" in refused(command, build)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_region(command: str, build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    assert "No region is named" in refused(command, build)
