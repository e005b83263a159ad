"""`scripts/install` shows that it works, and leaves nothing behind; pip and venv are replaced by a slow program."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """\
#!/bin/sh
case "$1 $2" in
    "-m venv") mkdir -p "$4/bin" && cp "$0" "$4/bin/python" && echo "$PWD/$4" >"$4/bin/activate" ;;
    "-m pip") exec sleep "$PIP_SECONDS" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The part of a checkout that the script needs, and the program in place of Python."""
    shutil.copytree(ROOT / "scripts" / "requirements", tmp_path / "scripts" / "requirements")
    for name in ("scripts/install", "scripts/_python", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    program = tmp_path / "slow-python"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return tmp_path


def install(checkout: Path, *, pip_seconds: int) -> subprocess.Popen[str]:
    """Start the script for the emulator's environment, in a process group of its own."""
    return subprocess.Popen(
        [checkout / "scripts" / "install", "ministack"],
        env=os.environ | {"PYTHON": str(checkout / "slow-python"), "PIP_SECONDS": str(pip_seconds)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def timed(lines: Iterator[str]) -> Iterator[tuple[float, str]]:
    """Yield each line with the seconds since the one before."""
    before = time.monotonic()
    for line in lines:
        now = time.monotonic()
        yield now - before, line
        before = now


def test_it_is_never_silent_for_five_seconds_and_does_nothing_the_second_time(checkout: Path) -> None:
    """Pip prints nothing for a minute, and people stop what seems to hang."""
    with install(checkout, pip_seconds=4) as process:
        assert process.stderr is not None
        lines = list(timed(process.stderr))
    assert process.returncode == 0
    assert lines[0][1].startswith("Installing scripts/requirements/ministack.txt into .venv-ministack")
    assert re.fullmatch(r"  3 s: downloading \d+ packages\n", lines[1][1])
    assert max(silence for silence, _ in lines) < 5
    with install(checkout, pip_seconds=60) as process:
        assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 0


def test_a_stop_ends_the_progress_too(checkout: Path) -> None:
    """Otherwise lines would appear below the shell's next prompt. A shell in the background ignores SIGINT."""
    with install(checkout, pip_seconds=60) as process:
        assert process.stderr is not None
        assert process.stderr.readline()
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(timeout=30) == 143
        # The end of the file: no process holds it. A shell may report that pip was ended.
        assert process.stderr.read() in {"", "Terminated\n"}
