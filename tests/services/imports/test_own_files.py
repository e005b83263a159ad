"""The profile of Vitrina's own columns: what an export writes, an import reads back."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import example, given, strategies as st

from tests.services.imports.files import csv_file, import_file
from tests.store.samples import product
from vitrina.domain.money import DECIMALS, fit
from vitrina.domain.product_rows import clean, complete
from vitrina.domain.products import Product
from vitrina.domain.text import clean_line, clean_paragraphs
from vitrina.services.exports.products import WRITERS
from vitrina.services.imports.import_file import FileFormat
from vitrina.services.imports.parsing import parse, parse_rows
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import ImportOptions, Outcome, ParsedRow, Profile, Row, RowResult, UnreadableFile

OWN = ImportOptions()


def read_back(content: bytes, file_format: FileFormat) -> Iterator[Row]:
    """Parse what an export wrote."""
    with ImportPlan() as plan:
        yield from parse_rows(import_file(content, file_format), OWN, plan)


def is_clean(text: str, *, paragraphs: bool) -> bool:
    """Whether a product can have this text."""
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
def test_an_export_is_imported_unchanged(file_format: FileFormat, made: list[Product]) -> None:
    """Whatever a product is called, an import of its own export would write nothing."""
    head, write = WRITERS[file_format]
    back = list(read_back(head + write(made), file_format))
    assert len(back) == len(made)
    for before, entry in zip(made, back, strict=True):
        assert isinstance(entry, ParsedRow)
        assert complete(clean(entry.texts), before.drafted()) == before.drafted()
        assert complete(clean(entry.texts), None) == before.drafted()


@pytest.mark.parametrize("file_format", FileFormat)
def test_an_exported_price_with_three_decimals_is_imported_unchanged(file_format: FileFormat) -> None:
    """In another file `1.800` may be thousands."""
    head, write = WRITERS[file_format]
    content = head + write([product(sku="A", price=Decimal("1.800"), currency="KWD")])
    with ImportPlan() as plan:
        parse(import_file(content, file_format), OWN, plan)
        ((row,),) = plan.batches(Outcome.WAITING)
    assert row.fields["price"] == Decimal("1.8")


def test_no_cell_of_an_exported_csv_begins_like_a_formula() -> None:
    head, write = WRITERS[FileFormat.CSV]
    assert b",'=1+1," in head + write([product(name="=1+1")])


def test_a_csv_must_have_a_sku() -> None:
    with pytest.raises(UnreadableFile, match=r"--map names another\. Its header, divided by ',', is 'name', 'price'$"):
        list(read_back(b"name,price\n", FileFormat.CSV))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"sku": "A", "nmae": "x"}', "no product has 'nmae'"),
        (b'{"sku": 5}', "sku is not text"),
        (b'{"sku": "A", "name": true}', "name is not text"),
        (b'{"sku": "A", "price": ["1"]}', "price is not text"),
    ],
)
def test_an_object_must_have_known_fields(line: bytes, reason: str) -> None:
    """Only a price may be a number."""
    (entry,) = read_back(line, FileFormat.JSONL)
    assert entry == RowResult(1, Outcome.REFUSED, reason)


def test_a_sku_that_is_no_unicode_text_is_refused() -> None:
    """JSON can escape one half of a pair of surrogates alone."""
    with ImportPlan() as plan:
        parse(import_file(b'{"sku": "A\\ud800"}\n', FileFormat.JSONL), OWN, plan)
        (row,) = plan.results(Outcome.REFUSED)
    assert (row.line, row.sku) == (1, "A?")


def test_other_shops_files_are_csv() -> None:
    with ImportPlan() as plan, pytest.raises(UnreadableFile, match="the profile shopify reads CSV"):
        parse_rows(import_file(b"", FileFormat.JSONL), ImportOptions(profile=Profile.SHOPIFY), plan)


def test_a_duplicate_sku_is_refused_on_every_line() -> None:
    """Upper and lower case are the same SKU; each reason names another line."""
    rows = [{"sku": sku, "name": "x"} for sku in ("a-1", "b", "A-1", "a-1")]
    with ImportPlan() as plan:
        parse(import_file(csv_file(*rows)), OWN, plan)
        assert [(row.line, row.reason, row.sku) for row in plan.results(Outcome.REFUSED)] == [
            (2, "its SKU is on line 4 too", "a-1"),
            (4, "its SKU is on line 2 too", "A-1"),
            (5, "its SKU is on line 2 too", "a-1"),
        ]
        assert plan.counts()[Outcome.WAITING] == 1


def test_defaults_fill_the_fields_that_rows_leave_empty() -> None:
    """A row's own text has precedence; `advance` gets the bytes read."""
    rows = [
        {"sku": "a", "brand": "Own", "price": "1"},
        {"sku": "b", "brand": "", "price": "2"},
        {"sku": "", "price": "x"},
    ]
    advanced: list[int] = []
    with ImportPlan() as plan:
        file = import_file(csv_file(*rows))
        parse(file, ImportOptions(defaults={"brand": "Default", "currency": "EUR"}), plan, advanced.append)
        ((first, second),) = plan.batches(Outcome.WAITING)
        assert (first.fields["brand"], second.fields["brand"], second.fields["currency"]) == ("Own", "Default", "EUR")
        assert [row.line for row in plan.results(Outcome.REFUSED)] == [4]
    assert sum(advanced) == file.size


def test_an_empty_file_of_json_lines_is_an_empty_plan() -> None:
    with ImportPlan() as plan:
        parse(import_file(b"", FileFormat.JSONL), OWN, plan)
        assert not any(plan.counts().values())
