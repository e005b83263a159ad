"""`vitrina`: help without imports, and messages about settings and outages."""

import subprocess
import sys

import pytest

from tests.cli.command import Vitrina, settings
from vitrina.__main__ import main


def test_help_names_every_group_without_importing_any() -> None:
    """Importing all commands takes a second."""
    code = (
        "import sys; from vitrina.__main__ import main; main(['--help'], standalone_mode=False); "
        "print([name for name in sys.modules if name in ('aiohttp', 'botocore', 'pydantic', 'vitrina.cli.table')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    for name in ("api", "products", "table", "users", "openapi"):
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("group", ["api", "openapi", "products", "table", "users"])
def test_every_group_can_be_imported_and_helps(group: str) -> None:
    """A LazyCommand's place is text that no type checker follows."""
    done = Vitrina()(group, "--help")
    assert done.exit_code == 0, done.output
    assert done.output.startswith(f"Usage: vitrina {group}")


def test_a_command_that_is_not_there_is_a_misuse() -> None:
    done = Vitrina()("tabel")
    assert done.exit_code == 2
    assert "No such command 'tabel'" in done.output
    assert main.name == "vitrina"


def test_settings_that_will_not_do_are_told_by_name_and_never_by_value() -> None:
    """No traceback and no secret in the output (R14)."""
    done = Vitrina(VITRINA_SECRET_KEY="too-short", VITRINA_PORT="canary")("table", "status")
    assert done.exit_code == 2
    assert "VITRINA_PORT: " in done.stderr
    assert "Traceback" not in done.output
    assert "canary" not in done.output
    done = Vitrina(VITRINA_SECRET_KEY="too-short", VITRINA_SIGNING_KEYS="k:" + "x" * 32)("table", "status")
    assert (done.exit_code, "VITRINA_SECRET_KEY: at least 32 bytes" in done.stderr) == (2, True)
    assert "too-short" not in done.output


@pytest.mark.parametrize(
    "command",
    [
        ("table", "create"),
        ("table", "status"),
        ("table", "migrate"),
        ("table", "check"),
        ("users", "remove-super-admin", "--email", "sol@example.com"),
    ],
    ids=" ".join,
)
def test_a_table_that_does_not_answer_is_said_plainly(command: tuple[str, ...]) -> None:
    """The message includes the endpoint."""
    nowhere = settings("http://127.0.0.1:9", "vitrina")
    done = Vitrina(**nowhere)(*command)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: The table does not answer right now: try again.\n")
    assert "http://127.0.0.1:9" in done.stderr
    assert done.stdout == ""


def test_the_module_can_be_run() -> None:
    done = subprocess.run([sys.executable, "-m", "vitrina", "--help"], capture_output=True, text=True, check=True)
    assert "Commands:" in done.stdout
