"""Products as rows of a file."""

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


def test_a_row_says_what_a_person_may_change() -> None:
    """No more and no less."""
    assert set(RULES) == set(EDITABLE)
    assert set(RULES) < set(COLUMNS)


def test_cells_become_values_and_empty_ones_say_nothing() -> None:
    """An empty description removes it."""
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
def test_what_will_not_do_is_named(cells: dict[str, str], problem: str) -> None:
    """By the rules that bodies of requests go by, all of a row's mistakes at once."""
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        clean(ROW | cells)


def test_a_new_product_needs_its_fields() -> None:
    """The others have defaults."""
    made = complete(FIELDS, None)
    assert (made.currency, made.description, made.price) == ("USD", None, Decimal("19.99"))
    with pytest.raises(ValueError, match="a new one needs a brand and a price"):
        complete({"sku": "LAMP-1", "name": "Lamp"}, None)


def test_fields_that_a_row_leaves_out_stay() -> None:
    """A list of prices is a file of two columns."""
    before = product().drafted()
    assert complete({"sku": before.sku, "price": Decimal(25)}, before) == replace(before, price=Decimal("25.00"))


def test_a_price_has_the_decimals_of_its_currency() -> None:
    """Of the one that the product has, if the row names none."""
    with pytest.raises(ValueError, match="price has more than the 0 decimals of JPY"):
        complete(FIELDS | {"currency": "JPY"}, None)
    with pytest.raises(ValueError, match="price has more than the 0 decimals of JPY"):
        complete(FIELDS, replace(product().drafted(), price=Decimal(5), currency="JPY"))


def test_a_row_of_an_export_has_all_columns_as_text_people_read() -> None:
    """Times in RFC 3339, amounts plain."""
    made = product(price=Decimal("1000000.00"), description="Oak")
    row = values(made)
    assert list(row) == list(COLUMNS)
    assert (row["price"], row["created_at"], row["version"]) == ("1000000.00", "2026-11-24T07:00:00.000Z", 1)
