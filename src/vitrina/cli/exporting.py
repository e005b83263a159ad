"""What the exports of views and of prices share: where they write, in which format, and their failures."""

import asyncio
import re
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from datetime import date
from typing import Any, Final

import click

from vitrina.cli.running import CommandFailed, UsageError, standard_output, temporary_files
from vitrina.clock import now
from vitrina.domain.reports import Format
from vitrina.files import FilesRefused
from vitrina.s3 import SCHEME
from vitrina.store.table_export import TableExportRefused

STANDARD_OUTPUT: Final = "-"
TRIES: Final = 6
"""Tries per page, with growing pauses of half a minute in all: an export of hours must survive brief throttling."""


class _Out(click.ParamType[str]):
    name = "place"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return a folder, `s3://bucket/prefix` or `-`; other schemes would become the names of folders."""
        if value.startswith(SCHEME) and not value.removeprefix(SCHEME).partition("/")[0]:
            self.fail(f"{value} names no bucket", param, ctx)
        if re.match(r"[\w+.-]+:/", value) and not value.startswith(SCHEME):
            self.fail(f"{value} is neither a folder nor {SCHEME}bucket/prefix", param, ctx)
        return value


out_option: Final = click.option(
    "--out",
    type=_Out(),
    required=True,
    metavar="DIR|s3://BUCKET/PREFIX|-",
    help="A folder, a place in S3, or - for standard output.",
)
format_option: Final = click.option(
    "--format",
    "form",
    type=click.Choice(Format, case_sensitive=False),
    default=Format.PARQUET,
    help="A place holds one format.  [default: parquet]",
)


def last_day(last: date | None) -> date:
    """Return the last day of an export, by default today. Raises UsageError if it is in the future."""
    today = now().date()
    if last and last > today:
        raise UsageError(f"--to: {last} is in the future; today is {today}, UTC")
    return last or today


def check_order(first: date, last: date) -> None:
    """Raise UsageError if the first day is after the last one."""
    if first > last:
        raise UsageError(f"--from: {first} is after the last day, {last}")


@contextmanager
def exporting(out: str, form: Format, *, as_json: bool) -> Iterator[None]:
    """Turn the expected failures of an export into CommandFailed.

    Raises UsageError if standard output would have to take a second thing, or Parquet on a terminal.
    """
    if out == STANDARD_OUTPUT and as_json:
        raise UsageError("standard output cannot take both the export and --json: give --out a folder")
    if out == STANDARD_OUTPUT and form is Format.PARQUET and sys.stdout.isatty():
        raise UsageError("a terminal cannot show Parquet: redirect standard output, or give --out a folder")
    try:
        with temporary_files():
            yield
    except (FilesRefused, TableExportRefused) as error:
        raise CommandFailed(str(error)) from error


async def to_standard_output(pieces: AsyncGenerator[memoryview, Any]) -> None:
    """Write a file to standard output. Raises CommandFailed when that is not possible."""
    with standard_output() as output:
        async with aclosing(pieces):
            async for piece in pieces:
                await asyncio.to_thread(output.write, piece)
        await asyncio.to_thread(output.flush)
