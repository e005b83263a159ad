"""Products as rows of import and export files."""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.store.samples import product
from vitrina.domain.product_rows import COLUMNS, RULES, clean, complete, values
from vitrina.domain.products import EDITABLE

ROW = {"sku": "LAMP-1", "name": "Lamp", "brand": "Brightwell", "price": "19.99"}
FIELDS: dict[str, Any] = {"sku": "LAMP-1", "name": "Lamp", "brand": "Brightwell", "price": Decimal("19.99")}


def test_a_row_sets_exactly_the_editable_fields() -> None:
    assert set(RULES) == set(EDITABLE)
    assert set(RULES) < set(COLUMNS)


def test_cells_become_values_and_empty_cells_set_nothing() -> None:
    """An empty description removes the description."""
    assert clean(ROW) == FIELDS
    assert clean({"sku": " LAMP-1 ", "name": " ", "brand": None, "currency": "", "description": "\n"}) == {
        "sku": "LAMP-1",
        "description": None,
    }


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"sku": ""}, "it has no sku"),
        ({"sku": "a b"}, "sku is not a SKU"),
        ({"name": "a\x07b"}, "name holds the control character U+0007"),
        ({"brand": "x" * 201}, "brand has 201 characters"),
        ({"price": "1e2"}, "price is not a plain decimal number"),
        ({"price": "-1", "currency": "usd"}, "price is not a plain decimal number such as 19.99; currency is not an"),
    ],
)
def test_all_invalid_fields_of_a_row_are_named(cells: dict[str, str], problem: str) -> None:
    """The rules are those of request bodies."""
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        clean(ROW | cells)


def test_a_new_product_needs_its_required_fields() -> None:
    """The others have defaults."""
    made = complete(FIELDS, None)
    assert (made.currency, made.description, made.price) == ("USD", None, Decimal("19.99"))
    with pytest.raises(ValueError, match="a new one needs a brand and a price"):
        complete({"sku": "LAMP-1", "name": "Lamp"}, None)


def test_fields_that_are_not_in_a_row_are_unchanged() -> None:
    """A price list is a file of two columns."""
    before = product().drafted()
    assert complete({"sku": before.sku, "price": Decimal(25)}, before) == replace(before, price=Decimal("25.00"))


def test_a_price_has_the_decimals_of_its_currency() -> None:
    """The product's current currency counts if the row has none."""
    with pytest.raises(ValueError, match="price has more than the 0 decimals of JPY"):
        complete(FIELDS | {"currency": "JPY"}, None)
    with pytest.raises(ValueError, match="price has more than the 0 decimals of JPY"):
        complete(FIELDS, replace(product().drafted(), price=Decimal(5), currency="JPY"))


def test_an_exported_row_has_all_columns_in_readable_form() -> None:
    """Times are in RFC 3339, amounts without an exponent."""
    made = product(price=Decimal("1000000.00"), description="Oak")
    row = values(made)
    assert list(row) == list(COLUMNS)
    assert (row["price"], row["created_at"], row["version"]) == ("1000000.00", "2026-11-24T07:00:00.000Z", 1)
