"""WooCommerce's product CSV."""

import pytest

from tests.services.imports.files import csv_file, found, left_out, source
from vitrina.services.imports.import_file import UnreadableFile
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.profiles import ImportOptions, Profile, entries

SHOP = Profile.WOOCOMMERCE


def row(kind: str = "simple", **cells: str) -> dict[str, str]:
    """Return a row; the words of `cells` are joined to WooCommerce's columns."""
    names = {
        "id": "ID", "sku": "SKU", "name": "Name", "published": "Published", "short": "Short description",
        "description": "Description", "sale": "Sale price", "price": "Regular price", "brands": "Brands",
        "parent": "Parent", "value1": "Attribute 1 value(s)", "value2": "Attribute 2 value(s)",
    }  # fmt: skip
    return {"Type": kind} | {column: cells.get(name, "") for name, column in names.items()}


TEE = row(
    "variable", id="44", sku="Tee", name="V-Neck", published="1", description="Soft.", brands="Acme > Kids, Other"
)


def test_simple_products_are_taken_as_they_are() -> None:
    """At the regular price; flags beside the type don't matter, and neither does a price with a comma."""
    (album,) = found(
        [
            row(
                "simple, downloadable, virtual",
                id="7",
                sku="album",
                name="'=Album",
                price="15,50",
                sale="9",
                short="<b>A</b>",
            )
        ],
        SHOP,
    )
    assert album == {"sku": "album", "name": "=Album", "brand": "", "price": "15.50", "description": "A"}
    (belt,) = found([row("", id="7", name="Belt", price="1,234.50")], SHOP)
    assert (belt["sku"], belt["price"]) == ("WC-7", "1,234.50")


def test_variations_take_from_their_parent_what_they_do_not_say() -> None:
    """Wherever in the file it is, by its id or its SKU; the parent is skipped, and the reason told."""
    by_sku = row("variation", id="76", sku="tee-red", published="1", price="20", parent="TEE", value1="Red", value2="M")
    by_id = row("variation", id="77", price="21", parent="id:44", name="Own name", brands="Own", value1="Blue\\, dark")
    rows = [by_sku, TEE, by_id]
    assert found(rows, SHOP) == [
        {"sku": "tee-red", "name": "V-Neck - Red, M", "brand": "Kids", "price": "20", "description": "Soft."},
        {"sku": "WC-77", "name": "Own name", "brand": "Own", "price": "21", "description": "Soft."},
    ]
    assert left_out(rows, SHOP) == [(3, "skipped", "is the parent of variations, which are the products")]


def test_a_variation_without_its_parent_has_what_it_says_itself() -> None:
    """Whether that is enough is seen when it is compared."""
    (lone,) = found([row("variation", id="9", price="3", parent="gone", value1="Red")], SHOP)
    assert (lone["name"], lone["sku"]) == ("", "WC-9")
    assert found([TEE, row("variation", id="9", price="3", parent="Tee")], SHOP)[0]["name"] == "V-Neck"


def test_groups_and_other_types_are_skipped() -> None:
    """They can't be bought here."""
    assert left_out([row("grouped", name="Set"), row("booking", name="Room")], SHOP) == [
        (2, "skipped", "is a group of products, and has no price of its own"),
        (3, "skipped", "is of the type 'booking', which is none of this catalogue's"),
    ]


def test_what_is_not_on_sale_is_skipped_with_its_variations() -> None:
    """Unless it is asked for."""
    rows = [
        row(id="1", published="0"),
        row(id="2", published="-1"),
        TEE | {"Published": "-1"},
        row("variation", id="3", published="1", parent="id:44"),
    ]
    reasons = [(line, reason) for line, _, reason in left_out(rows, SHOP)]
    assert reasons == [
        (2, "is private"),
        (3, "is a draft"),
        (4, "is the parent of variations, which are the products"),
        (5, "is a draft"),
    ]
    assert len(found(rows, SHOP, unpublished=True)) == 3


def test_a_product_needs_a_sku_or_an_id() -> None:
    """A SKU, if they are required; and a record that can't be read is handed on."""
    assert left_out([row(name="x", price="1")], SHOP) == [(2, "refused", "it has neither a SKU nor an ID")]
    assert left_out([row(id="3", name="x", price="1")], SHOP, require_sku=True) == [(2, "refused", "it has no SKU")]
    with ImportPlan() as book:
        read = entries(source(csv_file(TEE) + b"a,b\n"), ImportOptions(profile=SHOP), book)
        assert [entry.line for entry in read] == [2, 3]


def test_line_breaks_of_descriptions_are_kept() -> None:
    """The export writes them as backslash and n, and a real backslash twice."""
    (made,) = found([row(id="1", description=r"One\r\n<em>two</em>\nC:\\new")], SHOP)
    assert made["description"] == "One\ntwo\nC:\\new"


def test_another_file_is_not_taken_for_woocommerce_s() -> None:
    """The first column that lacks is named."""
    with pytest.raises(UnreadableFile, match="it is no product CSV of WooCommerce: it has no column 'type'"):
        found([{"sku": "A"}], SHOP)
