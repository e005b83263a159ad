"""Our own columns, and what was exported."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import example, given, strategies as st

from tests.services.imports.files import csv_file, source
from tests.store.samples import product
from vitrina.domain.money import DECIMALS, fit
from vitrina.domain.product_rows import clean, complete
from vitrina.domain.products import Product
from vitrina.domain.text import clean_line, clean_paragraphs
from vitrina.services.exports.products import WRITERS
from vitrina.services.imports.entries import Outcome, ParsedRow, SkippedRow
from vitrina.services.imports.import_file import FileFormat, UnreadableFile
from vitrina.services.imports.importer import read
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.profiles import ImportOptions, Profile, entries

OURS = ImportOptions()


def read_back(content: bytes, file_format: FileFormat) -> Iterator[ParsedRow | SkippedRow]:
    """Read what an export wrote."""
    with ImportPlan() as book:
        yield from entries(source(content, file_format), OURS, book)


def is_clean(text: str, *, paragraphs: bool) -> bool:
    """Say whether a product can have this text."""
    try:
        return (clean_paragraphs if paragraphs else clean_line)(text) == text
    except ValueError:
        return False


names = st.text(min_size=1, max_size=12).filter(lambda text: is_clean(text, paragraphs=False))
nasty = st.text(alphabet="'=+-@\"; ,a\n\r\t\u2028\ufeff", min_size=1, max_size=8)
descriptions = st.none() | (st.text(max_size=12) | nasty).filter(lambda text: is_clean(text, paragraphs=True))
products = st.builds(
    lambda sku, name, brand, description, amount, currency: product(
        sku=sku,
        name=name,
        brand=brand,
        description=description,
        currency=currency,
        price=fit(Decimal(amount), currency),
    ),
    sku=st.from_regex(r"\A[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}\Z"),
    name=names | nasty.filter(lambda text: is_clean(text, paragraphs=False)),
    brand=names,
    description=descriptions,
    amount=st.integers(0, 10**12 - 1),
    currency=st.sampled_from(sorted(DECIMALS)),
)


@pytest.mark.parametrize("file_format", FileFormat)
@given(made=st.lists(products, max_size=4))
@example(made=[product(sku="-1", name="=SUM(A1)", brand="'@", description='+1\r\n"x",;\r\'=')])
def test_what_is_exported_is_imported_as_it_was(file_format: FileFormat, made: list[Product]) -> None:
    """Whatever it is called: nothing would be written."""
    head, write = WRITERS[file_format]
    back = list(read_back(head + write(made), file_format))
    assert len(back) == len(made)
    for before, entry in zip(made, back, strict=True):
        assert isinstance(entry, ParsedRow)
        assert complete(clean(entry.texts), before.drafted()) == before.drafted()
        assert complete(clean(entry.texts), None) == before.drafted()


def test_an_exported_csv_runs_nowhere() -> None:
    """No cell begins as a formula does."""
    head, write = WRITERS[FileFormat.CSV]
    assert b",'=1+1," in head + write([product(name="=1+1")])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"sku,nmae,prize\n", "it has columns that no product has: 'nmae', 'prize'"),
        (b"name,price\n", "it has no column 'sku'"),
    ],
)
def test_a_csv_must_have_our_columns(content: bytes, words: str) -> None:
    """A column that is spelt otherwise would be lost without a word."""
    with pytest.raises(UnreadableFile, match=words):
        list(read_back(content, FileFormat.CSV))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"sku": "A", "nmae": "x"}', "no product has 'nmae'"),
        (b'{"sku": 5}', "sku is not text"),
        (b'{"sku": "A", "name": true}', "name is not text"),
        (b'{"sku": "A", "price": ["1"]}', "price is not text"),
    ],
)
def test_an_object_must_have_our_fields(line: bytes, reason: str) -> None:
    """Only a price may be a number."""
    (entry,) = read_back(line, FileFormat.JSONL)
    assert entry == SkippedRow(1, Outcome.REFUSED, reason)


def test_other_shops_files_are_csv() -> None:
    """They write nothing else."""
    with ImportPlan() as book, pytest.raises(UnreadableFile, match="the profile shopify reads CSV"):
        entries(source(b"", FileFormat.JSONL), ImportOptions(profile=Profile.SHOPIFY), book)


def test_a_sku_that_is_there_twice_is_refused_on_every_line() -> None:
    """In whatever case; each line names another."""
    rows = [{"sku": sku, "name": "x"} for sku in ("a-1", "b", "A-1", "a-1")]
    with ImportPlan() as book:
        read(source(csv_file(*rows)), OURS, book)
        assert [(row.line, row.reason, row.sku) for row in book.left_out(Outcome.REFUSED)] == [
            (2, "its SKU is on line 4 too", "a-1"),
            (4, "its SKU is on line 2 too", "A-1"),
            (5, "its SKU is on line 2 too", "a-1"),
        ]
        assert book.counts()[Outcome.WAITING] == 1


def test_what_rows_leave_empty_may_be_filled() -> None:
    """A row's own word goes first; bytes read are told, and what will not do is refused."""
    rows = [
        {"sku": "a", "brand": "Own", "price": "1"},
        {"sku": "b", "brand": "", "price": "2"},
        {"sku": "", "price": "x"},
    ]
    heard: list[int] = []
    with ImportPlan() as book:
        file = source(csv_file(*rows))
        read(file, ImportOptions(filling={"brand": "Filled", "currency": "EUR"}), book, heard.append)
        ((first, second),) = book.batches(Outcome.WAITING)
        assert (first.fields["brand"], second.fields["brand"], second.fields["currency"]) == ("Own", "Filled", "EUR")
        assert [row.line for row in book.left_out(Outcome.REFUSED)] == [4]
    assert sum(heard) == file.size


def test_an_empty_file_of_json_lines_has_nothing() -> None:
    """And that is no mistake."""
    with ImportPlan() as book:
        read(source(b"", FileFormat.JSONL), OURS, book)
        assert not any(book.counts().values())
