"""Shopify's product CSV."""

import pytest

from tests.services.imports.files import case, csv_file, import_file, parsed_file, products_in, skipped_in
from vitrina.services.imports.parsing import parse_rows
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import ImportOptions, ParsedRow, Profile, RowResult, UnreadableFile

SHOP = Profile.SHOPIFY


def row(handle: str = "wool-cap", **cells: str) -> dict[str, str]:
    """Return a row; `cells` names Shopify's columns by short words."""
    names = {
        "title": "Title", "body": "Body (HTML)", "vendor": "Vendor", "published": "Published", "status": "Status",
        "option1": "Option1 Value", "option2": "Option2 Value", "sku": "Variant SKU", "price": "Variant Price",
        "image": "Image Src",
    }  # fmt: skip
    return {"Handle": handle} | {column: cells.get(name, "") for name, column in names.items()}


CAP = row(
    title="Wool Cap", body="<p>Warm.</p>", vendor="Fjord", published="TRUE", option1="Red", option2="M", price="20"
)


def test_each_variant_is_a_product() -> None:
    """Title, vendor and description come from the handle's first row, options and price from its own."""
    first, second = products_in([CAP, row(option1="Deep Red", option2="L", price="22.50", sku="CAP-2")], SHOP)
    assert first == {
        "sku": "WOOL-CAP-RED-M",
        "name": "Wool Cap - Red / M",
        "brand": "Fjord",
        "price": "20",
        "description": "Warm.",
    }
    assert second == {
        "sku": "CAP-2",
        "name": "Wool Cap - Deep Red / L",
        "brand": "Fjord",
        "price": "22.50",
        "description": "Warm.",
    }


def test_a_product_without_options_is_named_by_its_title() -> None:
    """Shopify writes "Default Title" for its option, and an apostrophe before a number for spreadsheets."""
    (only,) = products_in([row(title="Cap", option1="Default Title", price="5", sku="'00123")], SHOP)
    assert (only["name"], only["sku"]) == ("Cap", "00123")
    (only,) = products_in([row(title="Cap", option1="Default Title", price="5")], SHOP)
    assert only["sku"] == "WOOL-CAP"


def test_entities_are_decoded_in_every_text() -> None:
    """Shopify exports texts as they were imported or typed; a description is HTML anyway."""
    (row,) = parsed_file(case("sh-entities"), SHOP)
    assert isinstance(row, ParsedRow)
    assert (row.texts["name"], row.texts["brand"]) == ("Salt & Pepper", "Black & Decker")
    (only,) = products_in([row_of_options("S &amp; M")], SHOP)
    assert only["name"] == "Cap - S & M"
    (only,) = products_in([row_of_options("Plug&section &#8211; &amp;amp;")], SHOP)
    assert only["name"] == "Cap - Plug&section \u2013 &amp;"


def test_a_sku_that_is_not_allowed_is_refused_unless_another_is_derived() -> None:
    """The refusal names the option."""
    refusals = [row.reason for row in parsed_file(case("sh-spaced"), SHOP) if isinstance(row, RowResult)]
    assert refusals == [
        "its SKU is not allowed: --derive-skus derives another",
        "its SKU is not allowed: --derive-skus derives another",
    ]
    rows = parsed_file(case("sh-spaced"), SHOP, derive_skus=True)
    assert [row.texts["sku"] for row in rows if isinstance(row, ParsedRow)] == ["CAP-S", "CAP-M", "1", "1"]


def row_of_options(option: str) -> dict[str, str]:
    """Return a row of a cap with one option."""
    return row(title="Cap", option1=option, price="5")


def test_rows_of_images_are_skipped() -> None:
    assert skipped_in([CAP, row(image="https://example.com/a.jpg")], SHOP) == [(3, "skipped", "holds only an image")]


def test_missing_skus_are_refused_when_they_are_required() -> None:
    assert skipped_in([CAP], SHOP, require_sku=True) == [(2, "refused", "it has no SKU")]


def test_products_not_on_sale_are_skipped_with_all_variants_unless_unpublished() -> None:
    for cells, reason in (
        ({"Status": "draft"}, "is a draft"),
        ({"Status": "Archived"}, "is archived"),
        ({"Published": "false"}, "is not published"),
    ):
        rows = [CAP | cells, row(option1="L", price="1")]
        assert skipped_in(rows, SHOP) == [(2, "skipped", reason), (3, "skipped", reason)]
        assert len(products_in(rows, SHOP, unpublished=True)) == 2


def test_a_row_without_handle_or_first_row_is_refused() -> None:
    """A record that cannot be read is passed on."""
    assert skipped_in([CAP, row("other", option1="L", price="1"), row("", title="x", price="1")], SHOP) == [
        (3, "refused", "it has no title, and the row above it has another handle"),
        (4, "refused", "it has no handle"),
    ]
    with ImportPlan() as plan:
        rows = parse_rows(import_file(csv_file(CAP) + b"a,b\n"), ImportOptions(profile=SHOP), plan)
        assert [each.line for each in rows] == [2, 3]


def test_the_column_names_of_the_newer_template_are_known() -> None:
    newer = {"Title": "Cap", "URL handle": "cap", "Description": "Warm", "Vendor": "Fjord", "SKU": "C", "Price": "5"}
    assert products_in([newer], SHOP) == [
        {"sku": "C", "name": "Cap", "brand": "Fjord", "price": "5", "description": "Warm"},
    ]


def test_another_csv_is_rejected_with_its_first_missing_column() -> None:
    with pytest.raises(UnreadableFile, match="it is not a product CSV of Shopify: it has no column 'handle'"):
        products_in([{"sku": "A"}], SHOP)
