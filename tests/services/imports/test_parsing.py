"""Files as a whole: the layouts of shops, and what spreadsheets and other programs leave in them."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from tests.services.imports.files import csv_file, import_file
from vitrina.services.imports.import_file import FileFormat
from vitrina.services.imports.parsing import parse
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import ImportOptions, Outcome, Profile, UnreadableFile

CASES = Path(__file__).with_name("cases")
READ = [
    ("own-array.jsonl", {"J-1": {"price": Decimal(5)}, "J-2": {"name": "Rug", "price": Decimal(6)}}),
    ("own-blank-first.csv", {"BL-1": {"name": "Lamp"}}),
    ("own-comma-price.csv", {"DE-1": {"price": Decimal("19.99")}}),
    ("own-ragged.csv", {"A-1": {"description": "Nice"}, "A-2": {"price": Decimal(5)}, "A-3": {"description": "ok"}}),
    ("own-sep.csv", {"S-1": {"name": "Lamp", "price": Decimal(5)}}),
    ("own-trailing-both.csv", {"A-1": {"description": "Nice"}}),
    ("own-two-boms.csv", {"BB-1": {"name": "Lamp"}}),
    ("own-vt.csv", {"VT-1": {"description": "one\ntwo"}, "VT-2": {"name": "Lamp 2"}, "VT-3": {"name": "It\u2019s"}}),
    ("sh-less-than.csv", {
        "HT-1": {"description": "Temp < 5 °C\nSecond line"}, "HT-3": {"description": "For sizes S<M see chart"},
    }),
    ("wc-backslash-quote.csv", {
        "SCREEN-1": {"description": '[row css=".a"]24 inch'}, "SCREEN-2": {"description": "plain"},
    }),
]  # fmt: skip
PROFILES = {"own": Profile.VITRINA, "sh": Profile.SHOPIFY, "wc": Profile.WOOCOMMERCE}


def parsed(content: bytes, file_format: FileFormat, profile: Profile) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of each row by SKU, and the reasons of those that are refused."""
    with ImportPlan() as plan:
        parse(import_file(content, file_format), ImportOptions(profile=profile), plan)
        rows = {row.sku: row.fields for batch in plan.batches(Outcome.WAITING) for row in batch}
        return rows, [f"{row.sku}: {row.reason}" for row in plan.results(Outcome.REFUSED)]


@pytest.mark.parametrize(("name", "expected"), READ)
def test_a_file_that_failed_once_is_read_as_meant(name: str, expected: dict[str, dict[str, Any]]) -> None:
    file_format = FileFormat(name.rpartition(".")[2])
    rows, refusals = parsed((CASES / name).read_bytes(), file_format, PROFILES[name.partition("-")[0]])
    assert rows.keys() == expected.keys()
    assert {sku: {field: rows[sku][field] for field in fields} for sku, fields in expected.items()} == expected
    assert not refusals


def test_a_price_of_thousands_is_not_divided_by_them() -> None:
    rows, refusals = parsed((CASES / "wc-thousands.csv").read_bytes(), FileFormat.CSV, Profile.WOOCOMMERCE)
    assert {sku: row["price"] for sku, row in rows.items()} == {"DESK-4": Decimal("1234.5"), "DESK-5": Decimal("19.99")}
    assert [reason.partition(", and")[0] for reason in refusals] == [
        "DESK-1: price '1,800' may mean 1800 or 1.800",
        "DESK-2: price '1,234' may mean 1234 or 1.234",
        "DESK-3: price '12,500' may mean 12500 or 12.500",
    ]


SHOPIFY = {"Handle": "a", "Title": "A", "Variant Price": "1"}
WOOCOMMERCE = {"Type": "simple", "SKU": "A", "Name": "A", "Regular price": "1"}


@pytest.mark.parametrize(
    ("columns", "profile", "words"),
    [
        (SHOPIFY, Profile.VITRINA, "it looks like Shopify's: use --profile shopify"),
        ({"Title": "", "URL handle": "", "Price": "", "SKU": ""}, Profile.VITRINA, "use --profile shopify"),
        (WOOCOMMERCE, Profile.SHOPIFY, "it looks like WooCommerce's: use --profile woocommerce"),
        ({"Typ": "", "Artikelnummer": "", "Name": "", "Regulärer Preis": ""}, Profile.VITRINA, "--profile woocommerce"),
        ({"sku": "A", "name": "A"}, Profile.SHOPIFY, "it looks like Vitrina's own: leave out --profile"),
        ({"sku": "", "attribute_set_code": "", "product_type": ""}, Profile.VITRINA, "Magento's: no profile reads it"),
        ({"sku": "", "_type": "", "_attribute_set": ""}, Profile.WOOCOMMERCE, "Magento's: no profile reads it"),
        ({"Token": "", "Item Name": "", "Variation Name": "", "SKU": ""}, Profile.VITRINA, "Square's: no profile"),
        ({"id": "", "title": "", "link": "", "image_link": ""}, Profile.VITRINA, "Google Merchant Center's: no"),
    ],
)
def test_a_file_of_another_shop_is_called_by_its_name(columns: dict[str, str], profile: Profile, words: str) -> None:
    with pytest.raises(UnreadableFile, match=words):
        parsed(csv_file(columns), FileFormat.CSV, profile)


def test_an_own_file_with_more_columns_is_not_taken_for_that_of_a_shop() -> None:
    rows, _ = parsed(
        csv_file({"sku": "A", "name": "A", "type": "x", "title": "y", "price": "1"}), FileFormat.CSV, Profile.VITRINA
    )
    assert rows["A"]["price"] == 1


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("name", "Two\r\nlines \v and\ta tab", "Two lines and a tab"),
        ("description", "one\vtwo\fthree\r\nfour\tfive", "one\ntwo\nthree\r\nfour\tfive"),
        ("description", "50 \x80 \x96 \x93good\x94", "50 € – “good”"),  # noqa: RUF001 - the characters meant
    ],
)
def test_control_characters_of_other_programs_become_what_they_mean(field: str, text: str, value: str) -> None:
    """Word's line breaks, and characters of Windows-1252 that were converted as if they were of ISO 8859-1."""
    rows, _ = parsed(csv_file({"sku": "A", field: text}), FileFormat.CSV, Profile.VITRINA)
    assert rows["A"][field] == value


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\x81"])
def test_other_control_characters_are_refused_with_their_field(character: str) -> None:
    _, refusals = parsed(csv_file({"sku": "A", "name": f"a{character}b"}), FileFormat.CSV, Profile.VITRINA)
    assert refusals == [f"A: name holds the control character U+{ord(character):04X}"]


PIECES = [
    '"', '\\"', ",", ";", "\n", "\r", "\t", "a", "1", "19,99", "1.800", "€", "<b>", "<", "&amp;", "\0", "\v", "\x85",
    "\udcff", "\ufeff", "'", "=", " ", "{", "}", "[", "]", ":", '{"sku":"A"}', "simple", "variation", "sep=;\n",
]  # fmt: skip
HEADERS = {
    Profile.VITRINA: "sku,name,price,description\n",
    Profile.SHOPIFY: "Handle,Title,Option1 Value,Variant SKU,Variant Price\n",
    Profile.WOOCOMMERCE: "ID,Type,SKU,Name,Regular price,Description,Parent\n",
}


@given(
    before=st.sampled_from(["", "\n", "sep=,\n", "[", "[{},"]),
    pieces=st.lists(st.sampled_from(PIECES), max_size=40),
    profile=st.sampled_from(Profile),
    file_format=st.sampled_from(FileFormat),
)
def test_any_file_is_read_or_refused_with_a_reason(
    before: str, pieces: list[str], profile: Profile, file_format: FileFormat
) -> None:
    header = HEADERS[profile] if file_format is FileFormat.CSV else ""
    content = (before + header + "".join(pieces)).encode(errors="surrogateescape")
    try:
        _, refusals = parsed(content, file_format, profile)
    except UnreadableFile as error:
        refusals = [str(error)]
    assert all(refusals)
