"""`vitrina products import`."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import click

from vitrina.cli.progress import progress
from vitrina.cli.running import CommandFailed, UsageError, load_settings, patient_table, run, temporary_files
from vitrina.config import Settings
from vitrina.domain.money import check_currency
from vitrina.domain.users import PRODUCT_MANAGERS, Role, User
from vitrina.ids import new_id
from vitrina.services.imports.import_file import FileFormat, ImportFile, UnreadableFile
from vitrina.services.imports.importer import AT_ONCE, Importer
from vitrina.services.imports.parsing import parse
from vitrina.services.imports.plan import ImportPlan, RowResult
from vitrina.services.imports.rows import ImportOptions, Outcome, Profile
from vitrina.services.products.cache import NoCache
from vitrina.services.products.products import Products
from vitrina.store.listings import ProductListings
from vitrina.store.products import ProductStore
from vitrina.store.users import UserStore

_SHOWN: Final = 100
"""Rows that are shown of each outcome; `--report` has all."""
_EXTENSIONS: Final = {".csv": FileFormat.CSV, ".jsonl": FileFormat.JSONL, ".ndjson": FileFormat.JSONL}
_PLANNED: Final = (
    (Outcome.CREATE, "to create"),
    (Outcome.UPDATE, "to update"),
    (Outcome.UNCHANGED, "unchanged"),
    (Outcome.SKIPPED, "skipped"),
    (Outcome.REFUSED, "refused"),
)
_DONE: Final = (
    (Outcome.CREATED, "created"),
    (Outcome.UPDATED, "updated"),
    (Outcome.UNCHANGED, "unchanged"),
    (Outcome.SKIPPED, "skipped"),
    (Outcome.REFUSED, "refused"),
    (Outcome.FAILED, "failed"),
)


class _Opened(NamedTuple):
    importer: Importer
    users: UserStore


def _currency(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    try:
        return value and check_currency(value)
    except ValueError as error:
        raise click.BadParameter(f"it {error}") from error


@click.command("import")
@click.argument("file", metavar="FILE|-")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--format", "format_name", type=click.Choice([*map(str, FileFormat)]), help="[default: by the extension]")
@click.option(
    "--profile",
    "profile_name",
    type=click.Choice([*map(str, Profile)]),
    default=str(Profile.VITRINA),
    show_default=True,
    help="Whose layout of columns a CSV file has.",
)
@click.option(
    "--as",
    "email",
    metavar="EMAIL",
    help="E-mail of its author, an admin.  [default: the one super_admin]",
)
@click.option("--brand", help="Brand of rows that name none.")
@click.option("--currency", callback=_currency, help="Currency of rows that name none.")
@click.option("--require-sku", is_flag=True, help="Refuse a row of another shop that has no SKU; else one is derived.")
@click.option("--unpublished", is_flag=True, help="Also what another shop does not show: drafts, private and archived.")
@click.option("--concurrency", type=click.IntRange(1, 64), default=AT_ONCE, show_default=True, help="Writes at a time.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write every row's outcome as JSON Lines."
)
def import_products(
    *,
    file: str,
    format_name: str | None,
    profile_name: str,
    email: str | None,
    brand: str | None,
    currency: str | None,
    concurrency: int,
    report: Path | None,
    dry_run: bool,
    require_sku: bool,
    unpublished: bool,
) -> None:
    """Create and update products from FILE, by SKU: CSV or JSON Lines, our own or another shop's (--profile).

    All of it is read and compared with the catalogue before anything is written, and the plan is shown. A bad row stops
    no other. Run it again after whatever stopped it: what is done is unchanged then. Ends with 1 when a row was refused
    or failed.

    Our own columns are those of an export, in any order: sku, and what is to be said of name, brand, description, price
    and currency; the others of an export are ignored. An empty cell says nothing, but for a description, which it
    removes. An apostrophe before what a spreadsheet would run is taken away, as the export put it there.

    Of Shopify's products each variant is a product; one without a SKU gets its handle and options, upper case, joined
    by `-`, with a short digest where that is more than a SKU can hold. Of WooCommerce's the simple products and the
    variations are, at their regular price; one without a SKU gets `WC-` and its ID.
    """
    filling = {name: text for name, text in (("brand", brand), ("currency", currency)) if text}
    reading = ImportOptions(
        profile=Profile(profile_name), require_sku=require_sku, unpublished=unpublished, defaults=filling
    )
    file_format = FileFormat(format_name) if format_name else _format_of(file)
    if report and not os.access(report.parent, os.W_OK):
        raise UsageError(f"--report: {report.parent} is no folder that can be written to")
    settings = load_settings()
    with temporary_files(), ImportPlan() as book:
        with _opened_file(file) as binary:
            _read(binary, file_format, reading, book)
        try:
            run(_plan_and_apply(settings, book, email=email, dry_run=dry_run, at_once=concurrency))
        finally:
            if report:
                _write_report(report, book)
        counts = book.counts()
    sys.exit(1 if counts[Outcome.REFUSED] or counts[Outcome.FAILED] else 0)


def _format_of(file: str) -> FileFormat:
    try:
        return _EXTENSIONS[Path(file).suffix.casefold()]
    except KeyError:
        raise UsageError(f"{file}: say by --format whether it is csv or jsonl") from None


@contextmanager
def _opened_file(file: str) -> Iterator[BinaryIO]:
    """Open a file that can be read more than once: of what cannot, such as a pipe, a copy. Raises Misused."""
    try:
        with ExitStack() as stack:
            given = sys.stdin.buffer if file == "-" else stack.enter_context(Path(file).open("rb"))
            if file != "-" and given.seekable():
                yield given
                return
            copy = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(given, copy)
            yield copy
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error


def _read(binary: BinaryIO, file_format: FileFormat, reading: ImportOptions, book: ImportPlan) -> None:
    try:
        source = ImportFile(binary, file_format)
        with progress() as display:
            task = display.add_task("Reading (bytes)", total=source.size)
            parse(source, reading, book, lambda more: display.advance(task, more))
    except UnreadableFile as error:
        raise UsageError(f"the file can't be imported: {error}") from error


async def _plan_and_apply(
    settings: Settings, book: ImportPlan, *, email: str | None, dry_run: bool, at_once: int
) -> None:
    async with _open(settings, book) as opened:
        account = None if dry_run and email is None else await _account(opened.users, email)
        with progress() as display:
            task = display.add_task("Comparing", total=book.counts()[Outcome.WAITING])
            await opened.importer.compare(lambda more: display.advance(task, more))
        _show(book, Outcome.SKIPPED, Outcome.REFUSED)
        counts = book.counts()
        click.echo(_totals(counts, _PLANNED))
        writes = counts[Outcome.CREATE] + counts[Outcome.UPDATE]
        if dry_run or account is None or not writes:
            return
        name = f"import-{new_id()}"
        try:
            with progress() as display:
                task = display.add_task("Writing", total=writes)
                advance = lambda more: display.advance(task, more)  # noqa: E731 - as above
                await opened.importer.apply(by=account.id, run=name, at_once=at_once, advance=advance)
        finally:
            _show(book, Outcome.FAILED)
            counts = book.counts()
            left = counts[Outcome.CREATE] + counts[Outcome.UPDATE]
            click.echo(_totals(counts, _DONE) + (f", {left:,} left: run it again" if left else ""))
        click.echo(f"request ids: {name}/<line>")


@asynccontextmanager
async def _open(settings: Settings, book: ImportPlan) -> AsyncIterator[_Opened]:
    async with patient_table(settings) as table:
        store = ProductStore(table)
        products = Products(store, ProductListings(table), NoCache())
        yield _Opened(Importer(products, store, book), UserStore(table))


async def _account(users: UserStore, email: str | None) -> User:
    """Return who the changes are by. Raises Misused."""
    if email is not None:
        user = await users.by_email(email.strip())
        if user is None or not user.active or user.role not in PRODUCT_MANAGERS:
            raise UsageError("--as: no active admin has this e-mail")
        return user
    page = await users.page(role=Role.SUPER_ADMIN, limit=2, start=None)
    if len(page.items) != 1 or not page.items[0].active:
        raise UsageError("say who does it by --as EMAIL: only where there is one super_admin, it is the default")
    return page.items[0]


def _show(book: ImportPlan, *outcomes: Outcome) -> None:
    for outcome in outcomes:
        for number, row in enumerate(book.results(outcome)):
            if number == _SHOWN:
                click.echo(f"... and {book.counts()[outcome] - _SHOWN:,} more {outcome}: --report FILE has all")
                break
            click.echo(_said(row))


def _said(row: RowResult) -> str:
    # What a file holds must not command the terminal.
    sku = row.sku[:80] if row.sku.isprintable() else ascii(row.sku[:80])
    return f"line {row.line}{sku and f' ({sku})'}: {row.outcome}: {row.reason}"


def _totals(counts: dict[Outcome, int], words: Iterable[tuple[Outcome, str]]) -> str:
    return ", ".join(f"{counts[outcome]:,} {word}" for outcome, word in words)


def _write_report(path: Path, book: ImportPlan) -> None:
    try:
        with path.open("w") as file:
            for row in book.results(*Outcome):
                entry = {"line": row.line, "outcome": row.outcome, "sku": row.sku, "reason": row.reason or None}
                file.write(json.dumps(entry) + "\n")
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}") from error
