"""The scripts of scripts/deploy: each installs what it needs and starts a module that exists, from any directory."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.deploy import commands
from scripts.devstack.engines import ROOT

SCRIPTS = {
    "build": ("dev", "scripts.deploy.artifacts"),
    "down": ("dev", "scripts.deploy.commands", "down"),
    "emulator": ("dev ministack", "scripts.deploy.emulator"),
    "logs": ("dev", "scripts.deploy.commands", "logs"),
    "status": ("dev", "scripts.deploy.commands", "status"),
    "up": ("dev", "scripts.deploy.commands", "up"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_starts_its_command_with_the_options_that_it_is_given(tmp_path: Path, name: str) -> None:
    root = tmp_path / "a checkout"
    for path, text in {
        "scripts/install": '#!/bin/sh\necho "installed $*"\n',
        ".venv/bin/python": '#!/bin/sh\necho "$PYTHONPATH"\nprintf "%s\\n" "$@"\n',
    }.items():
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(text)
        (root / path).chmod(0o755)
    (root / "scripts" / "deploy").mkdir()
    script = shutil.copy(ROOT / "scripts" / "deploy" / name, root / "scripts" / "deploy")
    given = ["--stack", "a shop", "--yes"]
    done = subprocess.run([script, *given], cwd=tmp_path, capture_output=True, text=True, timeout=10, check=True)
    packages, module, *words = SCRIPTS[name]
    assert done.stdout.splitlines() == [f"installed {packages}", str(root), "-m", module, *words, *given]
    assert importlib.util.find_spec(module)
    assert set(words) <= commands.main.commands.keys()


def test_every_script_is_here() -> None:
    made = {path.name for path in (ROOT / "scripts" / "deploy").iterdir() if path.is_file() and not path.suffix}
    assert made - {"Dockerfile"} == SCRIPTS.keys()
