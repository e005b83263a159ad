"""Products as rows of a file: their columns, and what a row may say."""

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
"""The columns of an export. An import reads those of `RULES` and ignores the others, which are the service's to say."""

RULES: Final[Mapping[str, Callable[[str], Any]]] = {
    "sku": check_sku,
    "name": clean_line,
    "brand": clean_line,
    "description": clean_paragraphs,
    "price": parse_amount,
    "currency": check_currency,
}
"""What makes a value of a field's text, or raises ValueError: the rules that bodies of requests go by."""
_NEEDED: Final = ("sku", "name", "brand", "price")

Texts = Mapping[str, str | None]
"""What a row says of a product's fields; nothing, None or white space is no word, but for a description."""
Fields = Mapping[str, Any]
"""The same as values; a field that is not there stays as it is."""


def clean(texts: Texts) -> Fields:
    """Return the fields of a row. An empty description removes it; another empty cell says nothing.

    Raises ValueError with a sentence that names each field that will not do.
    """
    fields: dict[str, Any] = {}
    problems: list[str] = []
    for name, rule in RULES.items():
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
    """Return what a product is to be: `before` with the row's fields, or a new one if there was none.

    Raises ValueError when a new one lacks a field, or the price has more decimals than its currency.
    """
    if before is None:
        if lacking := [name for name in _NEEDED if name not in fields]:
            raise ValueError(f"no product has this SKU, and a new one needs a {' and a '.join(lacking)}")
        draft = ProductDraft(**{"description": None, "currency": DEFAULT_CURRENCY, **fields})
    else:
        draft = replace(before, **fields)
    try:
        return replace(draft, price=fit(draft.price, draft.currency))
    except ValueError as error:
        raise ValueError(f"price {error}") from error


def values(product: Product) -> dict[str, str | int | None]:
    """Return a product's row, by column."""
    row = {name: getattr(product, name) for name in COLUMNS}
    times = {name: rfc3339(row[name]) for name in ("created_at", "updated_at")}
    return row | times | {"price": _plain(product.price)}


def _plain(amount: Decimal) -> str:
    return f"{amount:f}"
