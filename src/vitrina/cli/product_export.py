"""`vitrina products export`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from vitrina.cli.progress import progress
from vitrina.cli.running import CommandFailed, UsageError, load_settings, patient_table, run, standard_output
from vitrina.config import Settings
from vitrina.services.exports.products import WRITERS, live_products
from vitrina.services.imports.import_file import FileFormat
from vitrina.store.listings import ProductListings


@click.command()
@click.option(
    "--format",
    "format_name",
    type=click.Choice([*map(str, FileFormat)]),
    help="[default: by the extension of --out, else csv]",
)
@click.option("--out", default="-", show_default=True, metavar="FILE|-", help="A file, or `-` for standard output.")
def export(format_name: str | None, out: str) -> None:
    """Write all live products, newest first; a file is there whole or not at all.

    `vitrina products import` reads it back, and changes nothing then. Text that a spreadsheet would run (it begins with
    `=`, `+`, `-`, `@` or a tab) gets an apostrophe before it in CSV, which the import takes away again.
    """
    by_extension = FileFormat.JSONL if Path(out).suffix.casefold() in {".jsonl", ".ndjson"} else FileFormat.CSV
    settings = load_settings()
    with _writing(out) as file:
        count = run(_export(settings, file, FileFormat(format_name or by_extension)))
    click.echo(f"{count:,} products", err=True)


async def _export(settings: Settings, file: BinaryIO, file_format: FileFormat) -> int:
    head, write = WRITERS[file_format]
    file.write(head)
    count = 0
    async with patient_table(settings) as table:
        listings = ProductListings(table)
        with progress() as display:
            task = display.add_task("Products", total=None)
            async for products in live_products(listings):
                file.write(write(products))
                count += len(products)
                display.advance(task, len(products))
    return count


@contextmanager
def _writing(out: str) -> Iterator[BinaryIO]:
    """Open standard output, or a file beside `out` that takes its name when all is written. Raises Refused, Misused."""
    if out == "-":
        with standard_output() as output:
            yield output
        return
    target = Path(out)
    if target.is_dir():
        raise UsageError(f"{out} is a folder: name a file")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        raise CommandFailed(f"{out}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
