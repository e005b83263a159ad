"""Prices as people write them: read as meant, or refused with the reason; never changed by a factor."""

import json
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from tests.services.imports.files import csv_file, import_file
from vitrina.domain.money import DECIMALS, fit
from vitrina.services.imports.import_file import FileFormat, ImportFile
from vitrina.services.imports.parsing import parse
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.prices import _SYMBOLS
from vitrina.services.imports.rows import DecimalMark, ImportOptions, Outcome

GIVE = "give --decimal-mark point or comma"


def prices_in(file: ImportFile, mark: DecimalMark | None = None) -> list[str]:
    """Return the price of each row as text, or the reason why the row is refused."""
    with ImportPlan() as plan:
        parse(file, ImportOptions(decimal_mark=mark), plan)
        rows = [(row.line, str(row.fields["price"])) for batch in plan.batches(Outcome.WAITING) for row in batch]
        refusals = [(row.line, row.reason.removeprefix("price ")) for row in plan.results(Outcome.REFUSED)]
    return [text for _, text in sorted(rows + refusals)]


def read(*texts: str, currency: str = "USD", mark: DecimalMark | None = None) -> list[str]:
    """Read a file of Vitrina's own columns with these prices."""
    rows = [{"sku": f"S{line}", "price": text, "currency": currency} for line, text in enumerate(texts)]
    return prices_in(import_file(csv_file(*rows)), mark)


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1,800", "1,234.50"], ["1800", "1234.5"]),
        (["1.800", "1.234,50"], ["1800", "1234.5"]),
        (["1.800", "19,99", "12.500.000"], ["1800", "19.99", "12500000"]),
        (["1,800", "0.5"], ["1800", "0.5"]),
        (["1 234,50", "1\N{NO-BREAK SPACE}234,5", "1\N{NARROW NO-BREAK SPACE}234"], ["1234.5", "1234.5", "1234"]),
        (["1'234.50", "1\N{RIGHT SINGLE QUOTATION MARK}234.5", "1'234"], ["1234.5", "1234.5", "1234"]),
        (["1,23,456.00", "12,34,567"], ["123456", "1234567"]),
        (["€ 19,99", "19,99\N{NO-BREAK SPACE}EUR", "EUR19,99", "1.234,50€"], ["19.99", "19.99", "19.99", "1234.5"]),
    ],
)
def test_the_unambiguous_prices_of_a_file_decide_its_decimal_mark(texts: list[str], values: list[str]) -> None:
    currency = "EUR" if "€" in "".join(texts) else "USD"
    assert read(*texts, currency=currency) == values


@pytest.mark.parametrize(
    ("text", "currency", "meanings"),
    [("1,800", "USD", "1800 or 1.800"), ("1.234", "KWD", "1.234 or 1234"), ("$ 12,500", "USD", "12500 or 12.500")],
)
def test_a_price_that_no_other_one_explains_is_refused(text: str, currency: str, meanings: str) -> None:
    reason = f"{text!r} may mean {meanings}, and no other price of the file tells: {GIVE}"
    assert read(text, "5", "1 234", currency=currency) == [reason, "5", "1234"]


def test_three_decimals_are_refused_in_a_currency_that_has_fewer() -> None:
    """In such a file a thousands separator is as likely; with three decimals there is nothing to doubt."""
    reason = f"'1,800' may mean 1800 or 1.800, and EUR has 2 decimals: {GIVE}"
    assert read("1,800", "19,99", currency="EUR") == [reason, "19.99"]
    assert read("1,800", "19,99", currency="KWD") == ["1.8", "19.99"]
    assert read("1.800", "19,5", currency="JPY") == ["1800", "19.5"]
    assert read("12.000", "0.5", currency="JPY")[0].startswith("'12.000' may mean 12.000 or 12000, and JPY has 0")


def test_prices_that_contradict_each_other_are_refused_with_their_lines() -> None:
    """Those without a mark are certain all the same."""
    reason = "is uncertain, because the file has a decimal comma on line 2 and a decimal point on line 3"
    assert read("19,99", "5.5", "1,800", "7") == [
        *(f"{text!r} {reason}: {GIVE}" for text in ("19,99", "5.5", "1,800")),
        "7",
    ]


def test_the_option_overrules_what_the_file_shows() -> None:
    assert read("1,800", "1.800", "5.5", mark=DecimalMark.COMMA) == [
        "1.8",
        "1800",
        "'5.5' is not a number with a decimal comma, as --decimal-mark says",
    ]
    assert read("1,800", "1.800", "19,99", mark=DecimalMark.POINT)[:2] == ["1800", "1.8"]


@pytest.mark.parametrize(
    ("text", "currency", "words"),
    [
        ("€ 5", "USD", "'€ 5' is not in USD: give its currency in the file or by --currency"),
        ("5 GBP", "EUR", "'5 GBP' is not in EUR"),
        ("£5", "GBP", "5"),
        ("Kr. 5", "DKK", "5"),
        ("US$ 5", "USD", "5"),
        ("5 US$", "CAD", "'5 US$' is not in CAD"),
    ],
)
def test_a_currency_in_a_price_must_be_that_of_the_row(text: str, currency: str, words: str) -> None:
    (found,) = read(text, currency=currency)
    assert found.startswith(words)


@pytest.mark.parametrize(
    "text",
    ["-5", "1e2", "5%", "5 each", "(5)", ".", "1..5", "1,,5", "1.2.3", "12 34", "1,234 567", "5,-", "٣", "5 or 6"],
)
def test_what_is_no_price_is_refused(text: str) -> None:
    assert read(text) == [f"{text!r} is not a plain decimal number such as 19.99"]


def test_numbers_and_plain_decimals_of_programs_have_a_point() -> None:
    """JSON has no other; its texts follow the API, and a header that only an export writes follows the export."""
    lines = [{"sku": "A", "price": 1.234}, {"sku": "B", "price": "1.800"}, {"sku": "C", "price": "1,800"}]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    assert prices_in(import_file(content, FileFormat.JSONL))[:2] == ["1.234", "1.8"]
    assert prices_in(import_file(content, FileFormat.JSONL))[2].startswith("'1,800' may mean 1800 or 1.800")
    header = "id,sku,name,brand,description,price,currency,created_at,created_by,updated_at,updated_by,version\n"
    rows = f"{header},A,,,,1.800,KWD,,,,,\n"
    assert prices_in(import_file(rows.encode())) == ["1.8"]
    assert prices_in(import_file(f'{rows},B,,,,"19,99",KWD,,,,,\n'.encode())) == ["1800", "19.99"]
    assert "may mean" in prices_in(import_file(rows.replace(",", ";").encode()))[0]


def test_each_symbol_means_currencies_that_exist() -> None:
    assert {code for codes in _SYMBOLS.values() for code in codes.split()} <= DECIMALS.keys()


def written(value: Decimal, mark: str, thousands: str, symbol: str, *, short: bool) -> str:
    """Write an amount; `short` leaves out the decimals of a whole number."""
    integer, _, decimals = f"{value:f}".partition(".")
    groups = f"{int(integer):,}".replace(",", thousands)
    fraction = "" if not decimals or (short and not int(decimals)) else mark + decimals
    return symbol.replace("5", groups + fraction)


styles = st.sampled_from(
    [
        (mark, thousands)
        for mark, others in ((".", ","), (",", "."))
        for thousands in (*others, "", " ", "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}", "'", "\u2019")
    ]
)


@given(
    values=st.lists(st.integers(0, 10**9), min_size=1, max_size=5),
    currency=st.sampled_from(sorted({decimals: code for code, decimals in DECIMALS.items()}.values())),
    style=styles,
    symbol=st.sampled_from(["5", "{} 5", "5{}", "5\N{NO-BREAK SPACE}{}"]),
    short=st.booleans(),
    settled=st.booleans(),
    told=st.booleans(),
)
def test_a_price_is_read_as_exactly_the_value_meant_or_refused(
    values: Sequence[int], currency: str, style: tuple[str, str], symbol: str, *, short: bool, settled: bool, told: bool
) -> None:
    """A file that somebody writes in one style; refused only if neither its prices nor the option settle the mark."""
    mark, thousands = style
    meant = [fit(Decimal(value).scaleb(-DECIMALS[currency]), currency) for value in values]
    texts = [written(value, mark, thousands, symbol.format(currency), short=short) for value in meant]
    if settled:
        texts.append(f"0{mark}5")
    option = (DecimalMark.POINT if mark == "." else DecimalMark.COMMA) if told else None
    found = read(*texts, currency=currency, mark=option)
    for text, value in zip(found, meant, strict=False):
        if not (text.endswith(GIVE) and not settled and not told):
            assert Decimal(text) == value
