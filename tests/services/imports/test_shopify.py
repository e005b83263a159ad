"""Shopify's product CSV."""

import pytest

from tests.services.imports.files import csv_file, found, left_out, source
from vitrina.services.imports.import_file import UnreadableFile
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.profiles import ImportOptions, Profile, entries

SHOP = Profile.SHOPIFY


def row(handle: str = "wool-cap", **cells: str) -> dict[str, str]:
    """Return a row; the words of `cells` are joined to Shopify's columns."""
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
    """It has the title, vendor and description of the handle's first row, and its own options and price."""
    first, second = found([CAP, row(option1="Deep Red", option2="L", price="22.50", sku="CAP-2")], SHOP)
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


def test_a_product_without_options_has_its_title_for_a_name() -> None:
    """Shopify calls its only variant so; an apostrophe before a number is for spreadsheets."""
    (only,) = found([row(title="Cap", option1="Default Title", price="5", sku="'00123")], SHOP)
    assert (only["name"], only["sku"]) == ("Cap", "00123")
    (only,) = found([row(title="Cap", option1="Default Title", price="5")], SHOP)
    assert only["sku"] == "WOOL-CAP"


def test_rows_of_images_are_skipped() -> None:
    """They hold nothing but a picture of a product that is there already."""
    assert left_out([CAP, row(image="https://example.com/a.jpg")], SHOP) == [(3, "skipped", "holds only an image")]


def test_missing_skus_are_refused_when_they_are_required() -> None:
    """Derived ones are for who has none."""
    assert left_out([CAP], SHOP, require_sku=True) == [(2, "refused", "it has no SKU")]


def test_what_is_not_on_sale_is_skipped_with_all_its_variants() -> None:
    """Unless it is asked for."""
    for cells, reason in (
        ({"Status": "draft"}, "is a draft"),
        ({"Status": "Archived"}, "is archived"),
        ({"Published": "false"}, "is not published"),
    ):
        rows = [CAP | cells, row(option1="L", price="1")]
        assert left_out(rows, SHOP) == [(2, "skipped", reason), (3, "skipped", reason)]
        assert len(found(rows, SHOP, unpublished=True)) == 2


def test_a_row_that_hangs_on_nothing_is_refused() -> None:
    """And a record that can't be read is handed on."""
    assert left_out([CAP, row("other", option1="L", price="1"), row("", title="x", price="1")], SHOP) == [
        (3, "refused", "it has no title, and the row above it is of another handle"),
        (4, "refused", "it has no handle"),
    ]
    with ImportPlan() as book:
        read = entries(source(csv_file(CAP) + b"a,b\n"), ImportOptions(profile=SHOP), book)
        assert [entry.line for entry in read] == [2, 3]


def test_the_newer_template_is_read_too() -> None:
    """Its columns have other names."""
    newer = {"Title": "Cap", "URL handle": "cap", "Description": "Warm", "Vendor": "Fjord", "SKU": "C", "Price": "5"}
    assert found([newer], SHOP) == [
        {"sku": "C", "name": "Cap", "brand": "Fjord", "price": "5", "description": "Warm"},
    ]


def test_another_file_is_not_taken_for_shopify_s() -> None:
    """The first column that lacks is named."""
    with pytest.raises(UnreadableFile, match="it is no product CSV of Shopify: it has no column 'handle'"):
        found([{"sku": "A"}], SHOP)
