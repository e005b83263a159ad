"""WooCommerce's product CSV: simple products, and variations whose parent may be anywhere in the file."""

import re
from collections.abc import Iterator
from typing import Final

from vitrina.domain.text import fold, unescape_start
from vitrina.services.imports.columns import Layout
from vitrina.services.imports.html_text import decode_entities, html_text
from vitrina.services.imports.import_file import ImportFile
from vitrina.services.imports.plan import ImportPlan
from vitrina.services.imports.rows import (
    ImportOptions,
    ParsedRow,
    Record,
    Row,
    RowResult,
    UnreadableFile,
    refused,
    skipped,
)
from vitrina.services.imports.skus import Origin, chosen_sku

LAYOUT: Final = Layout(
    {
        "id": (),
        "type": ("Typ", "Tipo", "Rodzaj", "Тип"),
        "sku": ("Artikelnummer", "UGS", "COD", "REF", "Артикул"),
        "name": ("Nombre", "Nom", "Nome", "Naam", "Nazwa", "Имя"),
        "published": (
            "Veröffentlicht", "Publicado", "Publié", "Pubblicato", "Gepubliceerd", "Opublikowano", "Opublikowany",
            "Опубликован",
        ),
        "short description": (
            "Kurzbeschreibung", "Descripción corta", "Description courte", "Breve descrizione", "Descrição curta",
            "Descrição breve", "Korte beschrijving", "Korte omschrijving", "Krótki opis", "Краткое описание",
        ),
        "description": ("Beschreibung", "Descripción", "Descrizione", "Descrição", "Beschrijving", "Opis", "Описание"),
        "regular price": (
            "Regulärer Preis", "Precio normal", "Tarif régulier", "Prezzo di listino", "Preço", "Preço normal",
            "Reguliere prijs", "Cena", "Базовая цена",
        ),
        "parent": (
            "Übergeordnetes Produkt", "Superior", "Genitore", "Ascendente", "Pai", "Hoofd", "Element nadrzędny",
            "Nadrzędny", "Rodzic", "Родительский",
        ),
        "brands": ("Marken", "Marcas", "Marques", "Marchi", "Merken", "Marki", "Бренды"),
        "attribute %d value(s)": (
            "Attribut %d Wert(e)", "Valor(es) del atributo %d", "Valeur(s) de l'attribut %d", "Attributo %d valuta(e)",
            "Valore dell'attributo %d", "Valores do atributo %d", "Atributo %d valor(es)", "Attribuut %d waarde(n)",
            "Waarde eigenschap %d", "Wartości atrybutu %d", "Значения атрибутов %d",
        ),
        "currency": (),
    },
    {"brand": "brands", "price": "regular price"},
)  # fmt: skip
"""WooCommerce's own translations of its exporter's columns from 2021 to 2026 (languages/plugins/woocommerce-*.po).

In German, Spanish, French, Italian, Portuguese (of Brazil and of Portugal), Dutch, Polish and Russian, where they
differ from the English name.
"""
_REQUIRED: Final = ("type", "sku", "name", "regular price")
_PRODUCTS: Final = frozenset({"simple", "variation", "external"})
_FLAGS: Final = frozenset({"virtual", "downloadable"})
"""Words that stand beside the type in its cell."""
_NOT_SOLD: Final = {
    "variable": "is the parent of variations, which are the products",
    "grouped": "is a group of products and has no price of its own",
}
_UNPUBLISHED: Final = {"0": "is private", "-1": "is a draft", "2": "waits for a review"}
_COMMA: Final = re.compile(r"(?<!\\),")
"""Separates the values of a cell; a comma within a value has a backslash before it."""
_BREAKS: Final = re.compile(r"\\\\n|\\[nr]")
_ATTRIBUTE: Final = re.compile(r"attribute (\d+) value\(s\)")


def parse_rows(file: ImportFile, options: ImportOptions, plan: ImportPlan) -> Iterator[Row]:
    """Parse the rows that can be bought; parents and groups are skipped. Raises UnreadableFile.

    The price is the regular one, because an imported sale price would outlast the sale. A variation inherits from its
    parent the fields that it leaves empty, and is hidden if its parent is. The origin of a row is its ID.
    """
    if missing := [name for name in _REQUIRED if name not in file.columns]:
        raise UnreadableFile(f"it is not a product CSV of WooCommerce: {file.missing_column(missing[0])}")
    for record in file.records():
        if isinstance(record, Record) and "variable" in _types(cells := _cells(record)):
            plan.save_parent(_keys(cells), _inherited(cells))
    for record in file.records():
        yield record if isinstance(record, RowResult) else _row(record.line, _cells(record), options, plan)


def _row(line: int, cells: dict[str, str], options: ImportOptions, plan: ImportPlan) -> Row:
    kind = next((word for word in _types(cells) if word not in _FLAGS), "simple")
    if kind in _NOT_SOLD:
        return skipped(line, _NOT_SOLD[kind])
    if kind not in _PRODUCTS:
        return skipped(line, f"is of the type {kind!r}, which this catalogue does not have")
    parent = (plan.parent(_reference(cells.get("parent", ""))) if kind == "variation" else None) or {}
    hidden = _UNPUBLISHED.get(cells.get("published", "")) or parent.get("hidden")
    if hidden and not options.unpublished:
        return skipped(line, hidden)
    number = cells.get("id", "")
    origin = Origin.of("WC", number) if number else None
    own_sku = cells["sku"].removeprefix("'")
    try:
        sku, is_derived = chosen_sku(own_sku, origin, derive=options.derive_skus, require=options.require_sku)
    except ValueError as error:
        return refused(line, str(error), own_sku)
    own = _inherited(cells)
    texts = {name: own[name] or parent.get(name, "") for name in ("brand", "description")}
    texts |= {
        "sku": sku,
        "name": _variation_name(cells, own["name"], parent.get("name")) if kind == "variation" else own["name"],
        "price": cells["regular price"],
    }
    if "currency" in cells:
        texts["currency"] = cells["currency"]
    return ParsedRow(line, texts, origin, is_derived=is_derived)


def _cells(record: Record) -> dict[str, str]:
    return {name: unescape_start(cell.strip()) for name, cell in record.cells.items()}


def _types(cells: dict[str, str]) -> list[str]:
    words = (word.strip() for word in cells["type"].casefold().split(","))
    return [word for word in words if word]


def _inherited(cells: dict[str, str]) -> dict[str, str]:
    """Return the fields that a variation may inherit from a row; `hidden` is why it is not on sale, or empty."""
    description = cells.get("description") or cells.get("short description", "")
    return {
        "name": decode_entities(cells["name"]),
        "brand": decode_entities(_brand(cells.get("brands", ""))),
        "description": html_text(_BREAKS.sub(_break, description), keep_breaks=True),
        "hidden": _UNPUBLISHED.get(cells.get("published", ""), ""),
    }


def _keys(cells: dict[str, str]) -> list[str]:
    keys = {"id": cells.get("id", ""), "sku": cells["sku"].casefold()}
    return [f"{kind}:{value}" for kind, value in keys.items() if value]


def _reference(text: str) -> str:
    """Return the key of the parent that a variation names by `id:17` or by SKU."""
    return text if text.startswith("id:") else f"sku:{text.casefold()}"


def _variation_name(cells: dict[str, str], own: str, parent: str | None) -> str:
    """Return a variation's own name, with its options if that is the parent's name.

    If the file lacks the parent, a name that holds no option is taken for the parent's.
    """
    numbers = sorted(int(match[1]) for name in cells if (match := _ATTRIBUTE.fullmatch(name)))
    values = (decode_entities(cells[f"attribute {number} value(s)"].replace("\\,", ",")) for number in numbers)
    chosen = list(filter(None, values))
    base = own or parent or ""
    is_named = any(fold(value) in fold(base) for value in chosen) if parent is None else fold(base) != fold(parent)
    return base if is_named or not chosen or not base else f"{base} - {', '.join(chosen)}"


def _brand(text: str) -> str:
    """Return the first brand without its parent brands: `Kids` for `Acme > Kids, Other`."""
    return _COMMA.split(text)[0].replace("\\,", ",").rpartition(">")[2].strip()


def _break(match: re.Match[str]) -> str:
    return {r"\n": "\n", r"\r": "", r"\\n": r"\n"}[match[0]]
