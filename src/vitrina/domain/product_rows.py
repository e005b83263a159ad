"""Products as rows of a file: the columns, and the rules for their values."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from vitrina.clock import rfc3339
from vitrina.domain.money import DEFAULT_CURRENCY, check_currency, fit, parse_amount
from vitrina.domain.products import Product, ProductDraft, check_sku
from vitrina.domain.text import clean_line, clean_paragraphs

COLUMNS: Final = (
    "id", "sku", "name", "brand", "description", "price", "currency",
    "created_at", "created_by", "updated_at", "updated_by", "version",
)  # fmt: skip
"""The columns of an export. An import reads those of `RULES` and ignores the others, which the service sets."""

RULES: Final[Mapping[str, Callable[[str], Any]]] = {
    "sku": check_sku,
    "name": clean_line,
    "brand": clean_line,
    "description": clean_paragraphs,
    "price": parse_amount,
    "currency": check_currency,
}
"""Converts a field's text to its value or raises ValueError, by the same rules as request bodies."""
_REQUIRED: Final = ("sku", "name", "brand", "price")

Texts = Mapping[str, str | None]
"""The texts of a row by field; a missing field, None or white space sets nothing, except for a description."""
Fields = Mapping[str, Any]
"""The values of a row by field; a missing field is left unchanged."""


def clean(texts: Texts, *, price: Callable[[str], Decimal] = parse_amount) -> Fields:
    """Return the values of a row. An empty description removes the description; other empty cells set nothing.

    `price` parses the price. Raises ValueError with a message that names each invalid field.
    """
    fields: dict[str, Any] = {}
    problems: list[str] = []
    for name, rule in {**RULES, "price": price}.items():
        text = texts.get(name)
        if text is None or not text.strip():
            if name == "description" and name in texts:
                fields[name] = None
            continue
        try:
            fields[name] = rule(text.strip())
        except ValueError as error:
            problems.append(f"{name} {error}")
    if "sku" not in fields and not problems:
        problems.append("it has no sku")
    if problems:
        raise ValueError("; ".join(problems))
    return fields


def complete(fields: Fields, before: ProductDraft | None) -> ProductDraft:
    """Return `before` with the row's values, or a new draft if there is no product yet.

    Raises ValueError if a new product has no value for a required field, or the price has more decimals than its
    currency.
    """
    if before is None:
        if missing := [name for name in _REQUIRED if name not in fields]:
            raise ValueError(f"no product has this SKU, and a new one needs a {' and a '.join(missing)}")
        draft = ProductDraft(**{"description": None, "currency": DEFAULT_CURRENCY, **fields})
    else:
        draft = replace(before, **fields)
    try:
        return replace(draft, price=fit(draft.price, draft.currency))
    except ValueError as error:
        raise ValueError(f"price {error}") from error


def values(product: Product) -> dict[str, str | int | None]:
    """Return the row of a product, by column."""
    row = {name: getattr(product, name) for name in COLUMNS}
    times = {name: rfc3339(row[name]) for name in ("created_at", "updated_at")}
    return row | times | {"price": f"{product.price:f}"}
