"""`vitrina products export`."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import click

from vitrina.bootstrap import Services
from vitrina.cli import example
from vitrina.cli.progress import progress
from vitrina.cli.running import (
    PATIENCE,
    UsageError,
    json_option,
    load_settings,
    output_file,
    print_result,
    run,
    standard_output,
)
from vitrina.config import Settings
from vitrina.services.exports.products import WRITERS, live_products
from vitrina.services.imports.import_file import EXTENSIONS, FileFormat


@click.command(epilog=example("vitrina products export --out catalogue.csv"))
@click.option(
    "--format",
    "format_name",
    type=click.Choice([*map(str, FileFormat)]),
    help="[default: by the extension of --out, csv without one]",
)
@click.option("--out", default="-", show_default=True, metavar="FILE|-", help="A file, or `-` for standard output.")
@json_option
def export(format_name: str | None, out: str, *, as_json: bool) -> None:
    """Write all products that are not deleted, newest first; the file appears only when it is complete.

    `vitrina products import` reads the file back and then changes nothing. In CSV, text that a spreadsheet would run
    as a formula (it begins with `=`, `+`, `-`, `@` or a tab) gets an apostrophe in front, also behind `;`, `|`, a tab
    or a line break, where some spreadsheets begin a cell; the import removes it.
    """
    if as_json and out == "-":
        raise UsageError("standard output cannot take both the export and --json: give --out a file")
    file_format = FileFormat(format_name) if format_name else _format_of(out)
    settings = load_settings()
    with _output(out) as file:
        count = run(_export(settings, file, file_format))
    if as_json:
        print_result({"out": out, "products": count}, "", as_json=True)
    else:
        click.echo(f"{count:,} products", err=True)


async def _export(settings: Settings, file: IO[bytes], file_format: FileFormat) -> int:
    head, write = WRITERS[file_format]
    file.write(head)
    count = 0
    async with Services(settings, patient=PATIENCE) as services:
        with progress() as display:
            task = display.add_task("Exporting", total=None, unit="products")
            async for products in live_products(services.product_listings):
                file.write(write(products))
                count += len(products)
                display.advance(task, len(products))
    return count


def _format_of(out: str) -> FileFormat:
    """Return the format that the extension names, CSV without one. Raises UsageError."""
    try:
        return ({"": FileFormat.CSV} | EXTENSIONS)[Path(out).suffix.casefold()]
    except KeyError:
        raise UsageError(f"{out}: unknown extension: add --format csv or --format jsonl") from None


def _output(out: str) -> AbstractContextManager[IO[bytes]]:
    """Open standard output or a file. Raises UsageError for a folder."""
    if out == "-":
        return standard_output()
    if Path(out).is_dir():
        raise UsageError(f"{out} is a folder: name a file")
    return output_file(Path(out))
