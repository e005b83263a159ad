"""What the commands share: settings, and failures that are said in plain words."""

import asyncio
import logging
import os
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, BinaryIO, Final, TypeVar

import click
import structlog
from pydantic import ValidationError
from uvloop import new_event_loop

from vitrina.aws import connect
from vitrina.config import Settings
from vitrina.errors import NoRoom, QueueUnavailable, TableUnavailable, VitrinaError
from vitrina.store.table import Table

T = TypeVar("T")
PATIENCE: Final = 10.0
"""Seconds for one answer of the table."""


class CommandFailed(click.ClickException):
    """Ends a command with a sentence and 1: the table or the catalogue said no."""

    exit_code = 1


class UsageError(CommandFailed):
    """Ends a command with a sentence and 2: what it was given will not do."""

    exit_code = 2


def load_settings(*, with_keys: bool = False) -> Settings:
    """Read the settings, with the secrets if the command needs them.

    Raises Misused, which says of each variable what is wrong and never what was in it.
    """
    try:
        settings = Settings()
        if with_keys:
            settings.require_keys()
    except ValidationError as error:
        lines = [_sentence(problem["loc"], problem["msg"]) for problem in error.errors(include_input=False)]
        raise UsageError("\n".join(["invalid settings:", *lines])) from error
    except ValueError as error:
        raise UsageError(f"invalid settings:\n  {error}") from error
    return settings


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do a command's work. Raises Refused with the words of a failure that can be expected."""
    # What fails is said once, by the command.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(work)
    except (QueueUnavailable, TableUnavailable) as error:
        raise CommandFailed(f"{error}\n{error.__cause__ or ''}".rstrip()) from error
    except VitrinaError as error:
        raise CommandFailed(str(error)) from error


@asynccontextmanager
async def patient_table(settings: Settings) -> AsyncIterator[Table]:
    """Open the table for a command: an answer may take ten seconds, for no request waits for it."""
    patient = settings.model_copy(update={"read_timeout": max(settings.read_timeout, PATIENCE)})
    async with connect(patient) as clients:
        yield Table(clients, name=settings.table_name, deadline=2 * PATIENCE)


@contextmanager
def temporary_files() -> Iterator[None]:
    """Have temporary files, which hold what memory must not. Raises Refused where there is no room for one."""
    try:
        yield
    except (sqlite3.OperationalError, NoRoom) as error:
        folder = tempfile.gettempdir()
        raise CommandFailed(f"a temporary file in {folder}: {error}; TMPDIR names another folder for it") from error


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Have standard output as bytes. Raises Refused where it can't be written; who stops reading it is no failure."""
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise  # click ends quietly.
    except OSError as error:
        # What is left in the buffer must not fail once more when the process ends (Python's note on SIGPIPE).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CommandFailed(f"standard output: {error.strerror}") from error


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"  VITRINA_{str(location[0]).upper()}: {message}" if location else f"  {message}"
