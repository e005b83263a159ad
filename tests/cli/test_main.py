"""`vitrina`: help without imports, and messages about settings and outages."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from tests.cli.command import Vitrina, settings
from vitrina.__main__ import main
from vitrina.cli import advice
from vitrina.cli.running import UsageError, load_settings, read_env_file, run
from vitrina.errors import TableUnavailable

SAMPLE = Path(__file__).parents[2] / ".env.example"


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


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (NoCredentialsError(), "aws sso login"),
        ("ExpiredTokenException", "aws sso login"),
        ("UnrecognizedClientException", "aws sso login"),
        ("AccessDeniedException", "lack a right"),
        ("ResourceNotFoundException", "check VITRINA_TABLE_NAME and VITRINA_REGION"),
        ("AWS.SimpleQueueService.NonExistentQueue", "check VITRINA_QUEUE_NAME and VITRINA_REGION"),
        ("InternalServerError", "try again"),
    ],
)
def test_what_an_operator_can_mend_is_said(cause: str | Exception, words: str) -> None:
    """No time ends it, so "try again" would be the wrong advice; AWS's own words follow."""
    if isinstance(cause, str):
        cause = ClientError({"Error": {"Code": cause, "Message": "words of AWS"}}, "GetItem")
    error = TableUnavailable()
    error.__cause__ = cause
    first, rest = advice.sentence(error).split("\n")
    assert (words in first, rest) == (True, str(cause))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_PROFILE", "not-there"),
        ("VITRINA_REGION", "us east 1"),
        ("VITRINA_WRITER_ENDPOINT", "localhost:8000"),
        ("VITRINA_QUEUE_ENDPOINT", "localhost"),
        ("VITRINA_QUEUE_NAME", "vitrina-notices.fifo"),
        ("VITRINA_TABLE_NAME", "v2"),
    ],
)
@pytest.mark.parametrize("command", [("table", "status"), ("relay",)], ids=" ".join)
def test_a_connection_that_cannot_be_is_a_misuse(command: tuple[str, ...], name: str, value: str) -> None:
    """The exit code is 2, with the name of the variable and without a traceback."""
    done = Vitrina(**settings("http://127.0.0.1:9", "vitrina") | {name: value})(*command)
    assert (done.exit_code, type(done.exception)) == (2, SystemExit), done.output
    assert name in done.stderr


@pytest.mark.parametrize("command", [["openapi"], ["keys", "list"]], ids=" ".join)
def test_a_full_disk_is_said_plainly(command: list[str]) -> None:
    environment = os.environ | {"VITRINA_SIGNING_KEYS": "k:" + "x" * 32}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "vitrina", *command], stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env=environment,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "Error: standard output: No space left on device\n")


def test_sigterm_ends_a_command_like_ctrl_c() -> None:
    """It deletes its drafts and reports what it has done, in the background too, where shells ignore SIGINT.

    Another handler, such as that of the demo, stays.
    """
    events: list[str] = []

    async def work() -> None:
        signal.raise_signal(signal.SIGTERM)
        try:
            await asyncio.sleep(5)
        finally:
            events.append("ended")

    before = signal.signal(signal.SIGINT, signal.SIG_IGN), signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(work())
        signal.signal(signal.SIGTERM, lambda *_: events.append("other"))
        with pytest.raises(TimeoutError):
            run(asyncio.wait_for(work(), 0.1))
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    assert events == ["ended", "other", "ended"]


def test_the_module_can_be_run() -> None:
    done = subprocess.run([sys.executable, "-m", "vitrina", "--help"], capture_output=True, text=True, check=True)
    assert "Commands:" in done.stdout


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A `.env` in the current directory; variables that are read from it are unset at the end."""
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    yield tmp_path / ".env"
    os.environ.clear()
    os.environ.update(before)


def test_settings_are_read_from_a_file_in_the_current_directory(env_file: Path) -> None:
    """The environment has precedence, an empty variable too; other tools' variables are left to them."""
    env_file.write_text(
        "\ufeff# local\n\nexport VITRINA_PORT=8181\nVITRINA_HOST='::1' # v6\nAWS_SDK_UA_APP_ID=shop\nHOME=/x\n"
    )
    os.environ["VITRINA_HOST"] = "127.0.0.2"
    home = os.environ["HOME"]
    loaded = load_settings()
    assert (loaded.port, loaded.host, os.environ["AWS_SDK_UA_APP_ID"], os.environ["HOME"]) == (
        8181,
        "127.0.0.2",
        "shop",
        home,
    )
    assert load_settings(env_file=None).port == 8181, "a file that was read is part of the environment"
    env_file.write_text("VITRINA_SIGNING_KEYS=k:$HOME$$\n")
    assert read_env_file(env_file) == {"VITRINA_SIGNING_KEYS"}
    assert os.environ["VITRINA_SIGNING_KEYS"] == "k:$HOME$$"


def test_a_file_without_sense_is_refused_by_its_name_and_line(env_file: Path) -> None:
    for text, line in (("A=1\n\n\ncanary\n", 4), ("VITRINA_SECRET_KEY='canary\nA=1\n", 1), ("A=1\n \n=canary", 3)):
        env_file.write_text(text)
        done = Vitrina()("table", "status")
        assert (done.exit_code, done.stderr) == (2, f"Error: .env: line {line} is not NAME=value\n")
    env_file.write_bytes(b"VITRINA_SECRET_KEY=\xff\n")
    assert Vitrina()("table", "status").stderr == "Error: .env: cannot be read: it is not UTF-8\n"
    env_file.unlink()
    env_file.mkdir()
    assert Vitrina()("table", "status").stderr == "Error: .env: cannot be read: Is a directory\n"


def test_a_bad_value_in_a_file_is_told_with_the_file_and_never_the_value(env_file: Path) -> None:
    env_file.write_text("VITRINA_PORT=canary\nVITRINA_QUEUE_MAX_RECEIVES=0\n")
    done = Vitrina(VITRINA_BCRYPT_COST="canary")("table", "status")
    assert done.exit_code == 2
    assert "  VITRINA_PORT in .env: Input should be a valid integer" in done.stderr
    assert "  VITRINA_QUEUE_MAX_RECEIVES in .env: Input should be greater than or equal to 1" in done.stderr
    assert "  VITRINA_BCRYPT_COST: " in done.stderr
    assert "canary" not in done.output
    del os.environ["VITRINA_PORT"], os.environ["VITRINA_QUEUE_MAX_RECEIVES"]
    env_file.write_text("VITRINA_SECRET_KEY=canary\n")
    with pytest.raises(UsageError, match=r"VITRINA_SECRET_KEY in \.env: at least 32 bytes"):
        load_settings()


def test_the_sample_file_is_accepted_as_it_is(env_file: Path) -> None:
    """It points to the demo's kind of installation, with keys to replace."""
    env_file.write_text(SAMPLE.read_text())
    assert load_settings(with_keys=True).environment == "development"


def test_bash_completes_commands_and_options() -> None:
    """README's line defines the completion; a list of commands is completed without importing them."""
    script = """
eval "$(_VITRINA_COMPLETE=bash_source vitrina)"
for words in "vitrina ta" "vitrina table check --r"; do
    COMP_WORDS=($words) COMP_CWORD=$(($(wc -w <<<"$words") - 1))
    COMPREPLY=()
    _vitrina_completion vitrina
    echo "${COMPREPLY[@]}"
done
"""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["table", "--repair"]


def test_the_exit_codes_are_in_the_help_and_are_kept() -> None:
    """0 success, 1 a failure or problems, 2 usage: `table check` and `table status` have tests of their own for 1."""
    done = Vitrina()("--help")
    said = " ".join(done.stdout.split())
    assert "Exit codes: 0 success; 1 the work failed or found problems; 2 an argument or a setting is invalid." in said
    assert done.exit_code == 0
    assert Vitrina(**settings("http://127.0.0.1:9", "none"))("table", "check").exit_code == 1
    for usage in (("table", "check", "--no-such-option"), ("no-such-command",), ("table", "migrate", "--again", "99")):
        assert Vitrina()(*usage).exit_code == 2
