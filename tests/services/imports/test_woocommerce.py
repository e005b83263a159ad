"""WooCommerce's product CSV."""

import pytest

from tests.services.imports.files import case, csv_file, import_file, parsed_file, products_in, skipped_in
from vitrina.services.imports.parsing import parse_rows
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import ImportOptions, ParsedRow, Profile, UnreadableFile

SHOP = Profile.WOOCOMMERCE


def row(kind: str = "simple", **cells: str) -> dict[str, str]:
    """Return a row; `cells` names WooCommerce's columns by short words."""
    names = {
        "id": "ID", "sku": "SKU", "name": "Name", "published": "Published", "short": "Short description",
        "description": "Description", "sale": "Sale price", "price": "Regular price", "brands": "Brands",
        "parent": "Parent", "value1": "Attribute 1 value(s)", "value2": "Attribute 2 value(s)",
    }  # fmt: skip
    return {"Type": kind} | {column: cells.get(name, "") for name, column in names.items()}


TEE = row(
    "variable", id="44", sku="Tee", name="V-Neck", published="1", description="Soft.", brands="Acme > Kids, Other"
)


def test_simple_products_are_imported_at_the_regular_price() -> None:
    """Flags beside the type are ignored; what the price means is decided by the whole file."""
    (album,) = products_in(
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
    assert album == {"sku": "album", "name": "=Album", "brand": "", "price": "15,50", "description": "A"}
    (belt,) = products_in([row("", id="7", name="Belt", price="1,234.50")], SHOP)
    assert (belt["sku"], belt["price"]) == ("WC-7", "1,234.50")


def test_variations_inherit_empty_fields_from_their_parent() -> None:
    """The parent may be anywhere in the file, and is named by ID or SKU."""
    by_sku = row("variation", id="76", sku="tee-red", published="1", price="20", parent="TEE", value1="Red", value2="M")
    by_id = row("variation", id="77", price="21", parent="id:44", name="Own name", brands="Own", value1="Blue\\, dark")
    rows = [by_sku, TEE, by_id]
    assert products_in(rows, SHOP) == [
        {"sku": "tee-red", "name": "V-Neck - Red, M", "brand": "Kids", "price": "20", "description": "Soft."},
        {"sku": "WC-77", "name": "Own name", "brand": "Own", "price": "21", "description": "Soft."},
    ]
    assert skipped_in(rows, SHOP) == [(3, "skipped", "is the parent of variations, which are the products")]


def test_a_variation_without_a_parent_has_only_its_own_fields() -> None:
    """The comparison with the catalogue decides whether they suffice."""
    (lone,) = products_in([row("variation", id="9", price="3", parent="gone", value1="Red")], SHOP)
    assert (lone["name"], lone["sku"]) == ("", "WC-9")
    assert products_in([TEE, row("variation", id="9", price="3", parent="Tee")], SHOP)[0]["name"] == "V-Neck"


def test_a_variation_with_its_parents_name_gets_its_options_in_the_name() -> None:
    """WooCommerce exports the parent's name for many variations; they would be one product to a reader."""
    rows = [row for row in parsed_file(case("wc-same-names"), SHOP) if isinstance(row, ParsedRow)]
    assert [row.texts["name"] for row in rows] == ["Tee - Deep Red", "Tee - Sky Blue"]
    alone = [row("variation", id=str(i), name="Tee", parent="gone", value1=v) for i, v in enumerate(["Red", "Blue"])]
    assert [one["name"] for one in products_in(alone, SHOP)] == ["Tee - Red", "Tee - Blue"]
    named = row("variation", id="5", name="Tee - Red", parent="gone", value1="red")
    assert products_in([named], SHOP)[0]["name"] == "Tee - Red"


def test_entities_are_decoded_in_every_text() -> None:
    (row_,) = parsed_file(case("wc-entities"), SHOP)
    assert isinstance(row_, ParsedRow)
    assert (row_.texts["name"], row_.texts["brand"], row_.texts["description"]) == (
        "Salt & Pepper \u2013 mill",
        "Black & Decker",
        "Salt & more",
    )
    (made,) = products_in([TEE, row("variation", id="1", parent="Tee", value1="S &amp; M")], SHOP)
    assert made["name"] == "V-Neck - S & M"


def test_groups_and_other_types_are_skipped() -> None:
    assert skipped_in([row("grouped", name="Set"), row("booking", name="Room")], SHOP) == [
        (2, "skipped", "is a group of products and has no price of its own"),
        (3, "skipped", "is of the type 'booking', which this catalogue does not have"),
    ]


def test_products_not_on_sale_are_skipped_with_their_variations_unless_unpublished() -> None:
    rows = [
        row(id="1", published="0"),
        row(id="2", published="-1"),
        row(id="6", published="2"),
        TEE | {"Published": "-1"},
        row("variation", id="3", published="1", parent="id:44"),
    ]
    reasons = [(line, reason) for line, _, reason in skipped_in(rows, SHOP)]
    assert reasons == [
        (2, "is private"),
        (3, "is a draft"),
        (4, "waits for a review"),
        (5, "is the parent of variations, which are the products"),
        (6, "is a draft"),
    ]
    assert len(products_in(rows, SHOP, unpublished=True)) == 4


def test_a_product_needs_a_sku_or_an_id() -> None:
    """A record that cannot be read is passed on."""
    assert skipped_in([row(name="x", price="1")], SHOP) == [(2, "refused", "it has neither a SKU nor an ID")]
    assert skipped_in([row(id="3", name="x", price="1")], SHOP, require_sku=True) == [(2, "refused", "it has no SKU")]
    with ImportPlan() as plan:
        rows = parse_rows(import_file(csv_file(TEE) + b"a,b\n"), ImportOptions(profile=SHOP), plan)
        assert [each.line for each in rows] == [2, 3]


def test_line_breaks_of_descriptions_are_kept() -> None:
    """WooCommerce exports a line break as backslash and n, and a backslash as two."""
    (made,) = products_in([row(id="1", description=r"One\r\n<em>two</em>\nC:\\new")], SHOP)
    assert made["description"] == "One\ntwo\nC:\\new"


def test_another_csv_is_rejected_with_its_first_missing_column() -> None:
    with pytest.raises(UnreadableFile, match="it is not a product CSV of WooCommerce: it has no column 'type'"):
        products_in([{"sku": "A"}], SHOP)
