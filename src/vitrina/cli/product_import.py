"""`vitrina products import`."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import click

from vitrina.bootstrap import Services
from vitrina.cli import example
from vitrina.cli.import_report import PLANNED, WRITTEN, show, totals, write_report
from vitrina.cli.progress import progress
from vitrina.cli.running import (
    PATIENCE,
    CommandFailed,
    UsageError,
    json_option,
    load_settings,
    print_result,
    run,
    temporary_files,
)
from vitrina.config import Settings
from vitrina.domain.money import check_currency
from vitrina.domain.users import PRODUCT_MANAGERS, Role, User
from vitrina.ids import new_id
from vitrina.services.imports.import_file import EXTENSIONS, FileFormat, ImportFile
from vitrina.services.imports.importer import AT_ONCE, Importer
from vitrina.services.imports.parsing import parse
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import DecimalMark, ImportOptions, Outcome, Profile, UnreadableFile
from vitrina.store.users import UserStore


def _currency(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    try:
        return value and check_currency(value)
    except ValueError as error:
        raise click.BadParameter(f"it {error}") from error


def _columns(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.rpartition("=") for value in values]
    if bad := [value for value, (column, _, field) in zip(values, pairs, strict=True) if not (column and field)]:
        raise click.BadParameter(f"{bad[0]!r} is not COLUMN=FIELD")
    return {column.strip(): field.strip() for column, _, field in pairs}


@click.command("import", epilog=example("vitrina products import products.csv --as ana@example.com"))
@click.argument("file", metavar="FILE|-")
@click.option("--dry-run", is_flag=True, help="Print what would change, product by product, and write nothing.")
@click.option("--format", "format_name", type=click.Choice([*map(str, FileFormat)]), help="[default: by the extension]")
@click.option(
    "--profile",
    "profile_name",
    type=click.Choice([*map(str, Profile)]),
    default=str(Profile.VITRINA),
    show_default=True,
    help="The shop whose column layout the CSV file has.",
)
@click.option(
    "--as",
    "email",
    metavar="EMAIL",
    help="The admin who makes the changes.  [default: the super_admin, if there is one only]",
)
@click.option("--brand", help="Brand of rows without one.")
@click.option("--currency", callback=_currency, help="Currency of rows without one.")
@click.option(
    "--decimal-mark",
    type=click.Choice([*map(str, DecimalMark)]),
    help="What stands before the decimals of prices.  [default: as in the prices that have only one reading]",
)
@click.option("--require-sku", is_flag=True, help="Refuse rows of another shop without a SKU, instead of deriving one.")
@click.option(
    "--derive-skus", is_flag=True, help="Derive SKUs for rows of another shop whose own are not allowed or repeated."
)
@click.option(
    "--map",
    "columns",
    multiple=True,
    metavar="COLUMN=FIELD",
    callback=_columns,
    help="Read FIELD (sku, name, brand, description, price, currency, or a column of the profile) from this column.",
)
@click.option(
    "--unpublished",
    is_flag=True,
    help="Include the products that another shop hides: drafts, private and archived ones.",
)
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=AT_ONCE, show_default=True, help="Writes in parallel."
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the outcome of every row, and what changes from what to what, to this file as JSON Lines.",
)
@json_option
def import_products(
    *,
    file: str,
    format_name: str | None,
    profile_name: str,
    email: str | None,
    brand: str | None,
    currency: str | None,
    decimal_mark: str | None,
    concurrency: int,
    report: Path | None,
    columns: dict[str, str],
    dry_run: bool,
    require_sku: bool,
    derive_skus: bool,
    unpublished: bool,
    as_json: bool,
) -> None:
    """Create and update products from FILE (CSV, JSON Lines or a JSON array), matched by SKU.

    The command reads the whole file, compares it with the catalogue, prints the plan, and only then writes. An invalid
    row does not stop the others. After an interruption, run the command again: rows already written count as
    unchanged. The exit code is 1 when a row was refused or failed.

    Vitrina's own layout has the columns sku and any of name, brand, description, price and currency, in any order;
    other columns are ignored. A row whose id, from an export, is that of a product with another SKU is refused: a
    spreadsheet may have changed the SKU. So is a text that a spreadsheet saves for a failed formula, such as #N/A. An
    empty cell leaves the value as it is, but an empty description removes the description. The apostrophe that an
    export puts before a spreadsheet formula is removed.

    Prices may have thousands separators and a currency symbol. Whether the point or the comma marks decimals, the
    whole file decides: prices such as 19,99 or 1.234,50 have only one reading. A price that has two (1,800), or one
    that contradicts another, is refused; --decimal-mark settles it.

    Shopify: each variant becomes a product. A variant without a SKU gets its handle and options, in upper case and
    joined by `-`. WooCommerce, with column names in English, German, Spanish, French, Italian, Portuguese, Dutch,
    Polish or Russian: each simple product and each variation becomes a product, at its regular price. One without a
    SKU gets `WC-` and its ID. A derived SKU ends with a short digest when its characters alone would lose something,
    or are the SKU of another product: it never updates a product that was made from another handle, options or ID.
    """
    defaults = {name: text for name, text in (("brand", brand), ("currency", currency)) if text}
    options = ImportOptions(
        profile=Profile(profile_name),
        require_sku=require_sku,
        derive_skus=derive_skus,
        unpublished=unpublished,
        defaults=defaults,
        columns=columns,
        decimal_mark=DecimalMark(decimal_mark) if decimal_mark else None,
    )
    if derive_skus and options.profile is Profile.VITRINA:
        raise UsageError("--derive-skus needs --profile shopify or woocommerce: own files have nothing to derive from")
    file_format = FileFormat(format_name) if format_name else _format_of(file)
    if report:
        _check_report(report, file)
    settings = load_settings()
    with temporary_files(), ImportPlan() as plan:
        with _opened_file(file) as binary:
            _read(binary, file_format, options, plan)
        try:
            run(_plan_and_apply(settings, plan, email=email, dry_run=dry_run, at_once=concurrency, as_json=as_json))
        finally:
            if report:
                write_report(report, plan)
        counts = plan.counts()
    sys.exit(1 if counts[Outcome.REFUSED] or counts[Outcome.FAILED] else 0)


def _format_of(file: str) -> FileFormat:
    try:
        return (EXTENSIONS | {".tsv": FileFormat.CSV})[Path(file).suffix.casefold()]
    except KeyError:
        advice = "save a workbook as CSV; for another text file add --format csv or --format jsonl"
        raise UsageError(f"{file}: unknown extension: {advice}") from None


def _check_report(report: Path, file: str) -> None:
    """Raise UsageError if the report would replace the imported file, or cannot be written."""
    if report.exists() and Path(file).exists() and report.samefile(file):
        raise UsageError(f"--report: {report} is the file to import")
    if (report.is_file() or not report.exists()) and not os.access(report.parent, os.W_OK):
        raise UsageError(f"--report: {report.parent} is not a writable folder")


@contextmanager
def _opened_file(file: str) -> Iterator[BinaryIO]:
    """Open a file that can be read twice; a pipe is copied to a temporary file first. Raises UsageError.

    Raises CommandFailed if the file has changed meanwhile, such as by an upload: its last price may be half a number.
    """
    try:
        with ExitStack() as stack:
            given = sys.stdin.buffer if file == "-" else stack.enter_context(Path(file).open("rb"))
            if file != "-" and given.seekable():
                before = os.fstat(given.fileno())
                yield given
                after = os.fstat(given.fileno())
                if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                    raise CommandFailed(f"{file} was changed while it was read: import it when it is complete")
                return
            copy = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(given, copy)
            yield copy
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error


def _read(file: BinaryIO, file_format: FileFormat, options: ImportOptions, plan: ImportPlan) -> None:
    try:
        source = ImportFile(file, file_format)
        with progress() as display:
            task = display.add_task("Reading", total=source.size, unit="bytes")
            parse(source, options, plan, partial(display.advance, task))
        if source.unread and options.profile is Profile.VITRINA:
            click.echo(f"ignored columns: {', '.join(map(repr, source.unread))}", err=True)
    except UnreadableFile as error:
        raise UsageError(f"the file can't be imported: {error}") from error


async def _plan_and_apply(
    settings: Settings, plan: ImportPlan, *, email: str | None, dry_run: bool, at_once: int, as_json: bool
) -> None:
    say = partial(click.echo, err=as_json)
    name: str | None = None
    async with Services(settings, patient=PATIENCE) as services:
        importer = Importer(services.products, services.product_store, plan)
        account = None if dry_run and email is None else await _account(services.user_store, email)
        with progress() as display:
            task = display.add_task("Comparing", total=plan.counts()[Outcome.WAITING], unit="rows")
            await importer.compare(partial(display.advance, task))
        if dry_run:
            show(plan, say, Outcome.CREATE, Outcome.UPDATE)
        show(plan, say, Outcome.SKIPPED, Outcome.REFUSED)
        counts = plan.counts()
        say(totals(counts, PLANNED))
        writes = counts[Outcome.CREATE] + counts[Outcome.UPDATE]
        try:
            if dry_run or account is None or not writes:
                return
            name = f"import-{new_id()}"
            with progress() as display:
                task = display.add_task("Writing", total=writes, unit="products")
                advance = partial(display.advance, task)
                await importer.apply(by=account.id, run=name, at_once=at_once, advance=advance)
        finally:
            counts = plan.counts()
            if name is not None:
                show(plan, say, Outcome.FAILED)
                left = counts[Outcome.CREATE] + counts[Outcome.UPDATE]
                say(totals(counts, WRITTEN) + (f", {left:,} left: run the command again" if left else ""))
                say(f"request ids: {name}/<line>")
            if as_json:
                outcomes = {outcome: count for outcome, count in counts.items() if outcome is not Outcome.WAITING}
                print_result({"dry_run": dry_run, "run": name, "outcomes": outcomes}, "", as_json=True)


async def _account(users: UserStore, email: str | None) -> User:
    """Return the account that makes the changes. Raises UsageError."""
    if email is not None:
        user = await users.by_email(email.strip())
        if user is None or not user.active or user.role not in PRODUCT_MANAGERS:
            raise UsageError("--as: no active admin has this e-mail")
        return user
    page = await users.page(role=Role.SUPER_ADMIN, limit=2, start=None)
    if len(page.items) != 1 or not page.items[0].active:
        raise UsageError("name the author with --as EMAIL: there is a default only with exactly one active super_admin")
    return page.items[0]
