"""A run of the tests fails on CI if a test is skipped, and names skipped tests elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAMPLE = """
import pytest

async def test_semantics(dynamodb_local: str) -> None:
    assert dynamodb_local.startswith("http://127.0.0.1:")

@pytest.mark.engine("dynamodb_local", "ministack")
@pytest.mark.requires_dynamodb_local("units are exact")
def test_units(engine: str) -> None:
    pass
"""


def run(folder: Path, sample: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run tests under the project's configuration without Java, on CI if the environment says so."""
    (folder / "test_sample.py").write_text(sample)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-c", str(ROOT / "pyproject.toml"), str(folder)]
    command += options
    left_out = ("CI", "COV_CORE_", "COVERAGE_")  # This run executes nothing of vitrina.
    without = {key: value for key, value in os.environ.items() if not key.startswith(left_out)} | {"PATH": str(folder)}
    return subprocess.run(command, cwd=ROOT, env=without | environment, capture_output=True, text=True, check=False)


ONE_PROCESS_OR_TWO = pytest.mark.parametrize("options", [(), ("--numprocesses", "2")], ids=["one", "two"])


@ONE_PROCESS_OR_TWO
def test_without_java_ministack_is_used_and_the_summary_names_skipped_tests(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """The summary names the tests that require DynamoDB Local."""
    done = run(tmp_path, SAMPLE, *options)
    assert done.returncode == pytest.ExitCode.OK, done.stdout
    title, reason, unproven, outcome = done.stdout.splitlines()[-4:]
    assert "not proven by this run" in title
    assert "needs Java" in reason
    assert "MiniStack" in unproven
    assert "1 passed, 2 skipped" in outcome
    assert "units are exact" in done.stdout


@ONE_PROCESS_OR_TWO
def test_on_ci_java_is_required(tmp_path: Path, options: tuple[str, ...]) -> None:
    """No test runs on a replacement engine."""
    done = run(tmp_path, SAMPLE, *options, CI="true")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "needs Java" in done.stdout
    assert "passed" not in done.stdout


@ONE_PROCESS_OR_TWO
def test_on_ci_a_skipped_test_fails_the_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    """A run that skips a test for a missing dependency proves nothing about it."""
    skip = "import pytest\n\ndef test_skipped() -> None:\n    pytest.skip('something is missing')\n"
    assert run(tmp_path, skip, *options).returncode == pytest.ExitCode.OK
    done = run(tmp_path, skip, *options, CI="true", PATH=os.environ["PATH"])
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 tests were skipped" in done.stdout


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    """A test with a misspelt mark would run on no engine."""
    done = run(tmp_path, "import pytest\n\n@pytest.mark.engine('mote')\ndef test_it(engine: str) -> None: ...\n")
    assert done.returncode != pytest.ExitCode.OK
    assert "no such engine: mote" in done.stdout + done.stderr


def test_files_with_slow_tests_run_first(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("def test_quick() -> None: ...\n")
    slow = "import pytest\n\ndef test_other() -> None: ...\n\n@pytest.mark.slow\ndef test_slow() -> None: ...\n"
    done = run(tmp_path, slow, "--collect-only", "--quiet")
    names = [line.rpartition("::")[2] for line in done.stdout.splitlines() if "::" in line]
    assert names == ["test_other", "test_slow", "test_quick"]
