"""What the commands share: settings, output, files, and expected failures reported as one sentence."""

import asyncio
import functools
import io
import json
import logging
import os
import re
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Concatenate, Final, ParamSpec, TypeVar

import click
import structlog
from dotenv.parser import Original, parse_stream
from pydantic import ValidationError
from uvloop import new_event_loop

from vitrina.aws import RequestRefused, check_profile
from vitrina.cli import advice
from vitrina.config import Settings
from vitrina.errors import NoRoom, QueueUnavailable, TableUnavailable, VitrinaError
from vitrina.files import whole_file

T = TypeVar("T")
P = ParamSpec("P")
PATIENCE: Final = 10.0
"""Seconds to wait for one response of the table (`Services(patient=…)`): no HTTP client waits for it."""


class CommandFailed(click.ClickException):
    """Ends a command with a message and exit code 1: the table, the catalogue or the machine prevents the work."""

    exit_code = 1


class UsageError(CommandFailed):
    """Ends a command with a message and exit code 2: an argument or a setting is invalid."""

    exit_code = 2


class _Day(click.DateTime):
    """A day as YYYY-MM-DD."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 - click's signature
        """Return how the help shows the value."""
        return "YYYY-MM-DD"


DAY: Final = _Day(["%Y-%m-%d"])
"""The type of every option that takes a day."""
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON object; messages go to standard error."
)
"""The option of every command that reports; the command ends with `print_result`."""


def print_result(result: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print a command's result on standard output: as a JSON object in one line, or the text for people.

    Raises CommandFailed when it cannot be written.
    """
    with standard_output():
        click.echo(json.dumps(result, default=str) if as_json else text)


def load_settings(*, with_keys: bool = False, env_file: Path | None = Path(".env")) -> Settings:
    """Read the settings from the environment and `env_file`; `with_keys` requires the secrets too.

    Raises UsageError, which names each invalid variable, its file and its problem, never its value; also if the AWS
    SDK's own files or AWS_PROFILE are invalid.
    """
    from_file = set() if env_file is None else read_env_file(env_file)
    try:
        settings = Settings()
        check_profile()
        if with_keys:
            settings.require_keys()
    except ValidationError as error:
        lines = [_sentence(problem["loc"], problem["msg"]) for problem in error.errors(include_input=False)]
        problems = "\n".join(["invalid settings:", *lines])
        for name in from_file:
            problems = re.sub(rf"\b{name}:", f"{name} in {env_file}:", problems)
        raise UsageError(problems) from error
    except ValueError as error:
        raise UsageError(f"invalid settings:\n  {error}") from error
    return settings


def read_env_file(path: Path) -> set[str]:
    """Set the VITRINA_ and AWS_ variables of a file that the environment does not have, and return their names.

    A missing file has none. Values are taken as they are: `$NAME` is not replaced. Raises UsageError with the number
    of the line that is not `NAME=value`.
    """
    try:
        text = path.read_text("utf-8-sig")  # Editors on Windows begin a file with the mark.
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: cannot be read: it is not UTF-8") from error
    names: set[str] = set()
    for binding in parse_stream(io.StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            raise UsageError(f"{path}: line {_first_line(binding.original)} is not NAME=value")
        if binding.key is not None and binding.key.startswith(("VITRINA_", "AWS_")) and binding.key not in os.environ:
            os.environ[binding.key] = binding.value or ""
            names.add(binding.key)
    return names


def _first_line(original: Original) -> int:
    """Return the line of a binding, whose text may begin with empty lines."""
    text = original.string
    return original.line + text[: len(text) - len(text.lstrip())].count("\n")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine. Raises CommandFailed with the message of an expected failure."""
    # The command reports its failure once; a log entry would repeat it.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(_cancelled_by_sigterm(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except (QueueUnavailable, TableUnavailable) as error:
        raise CommandFailed(advice.sentence(error)) from error
    except VitrinaError as error:
        raise CommandFailed(str(error)) from error
    except RequestRefused as error:
        raise CommandFailed(advice.of_refusal(error)) from error


async def _cancelled_by_sigterm(work: Coroutine[Any, Any, T]) -> T:
    """Cancel work at SIGTERM, as Ctrl-C does, so that it deletes its drafts and reports what it has done.

    It does not send SIGINT itself, which a shell lets its background processes ignore.
    """
    task = asyncio.current_task()
    if task is None or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return await work
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await work
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def with_settings(work: Callable[Concatenate[Settings, P], Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a command's coroutine what click calls: it gets the settings, and runs as by `run`."""

    @functools.wraps(work)
    def command(*arguments: P.args, **options: P.kwargs) -> None:
        run(work(load_settings(), *arguments, **options))

    return command


@contextmanager
def temporary_files() -> Iterator[None]:
    """Wrap work that spills to temporary files. Raises CommandFailed when the disk has no room for them."""
    try:
        yield
    except (sqlite3.OperationalError, NoRoom) as error:
        folder = tempfile.gettempdir()
        raise CommandFailed(f"cannot write to {folder}: {error}; set TMPDIR to another folder") from error


@contextmanager
def output_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that appears when the block ends (`whole_file`). Raises CommandFailed when it cannot be written.

    A symbolic link stays one, and a pipe or a device is written as it is: no file takes the name of `/dev/null`.
    """
    try:
        is_special = path.exists() and not path.is_file()
        with path.open("wb") if is_special else whole_file(Path(os.path.realpath(path))) as file:
            yield file
    except OSError as error:
        raise CommandFailed(f"cannot write {path}: {error.strerror}") from error


@contextmanager
def standard_output() -> Iterator[IO[bytes]]:
    """Yield standard output as bytes. Raises CommandFailed when it cannot be written.

    A reader that closes the pipe early (BrokenPipeError) is not a failure.
    """
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise  # click ends the process without a message.
    except OSError as error:
        # The interpreter flushes the buffer once more at exit; that must not fail again (Python's note on SIGPIPE).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandFailed(f"standard output: {error.strerror}") from error


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"  VITRINA_{str(location[0]).upper()}: {message}" if location else f"  {message}"
