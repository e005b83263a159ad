"""The texts of mail, in each language."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vitrina.domain.notices import Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Translations:
    """The texts of one language; `{name}` and the like are filled in by `str.format`."""

    subject: str
    digest_subject: str
    hello: str
    one_changed: str
    many_changed: str
    more: str
    product: str
    sku: str
    old_price: str
    new_price: str
    changed_by: str
    changed_at: str
    request: str
    somebody: str
    reason: str


TRANSLATIONS: Final[Mapping[Language, Translations]] = {
    Language.ENGLISH: Translations(
        subject="Price of {name}: {old} → {new}",
        digest_subject="{number} price changes",
        hello="Hello {name},",
        one_changed="a price in the catalogue has changed.",
        many_changed="{number} prices in the catalogue have changed, the latest first:",
        more="and {number} more in your inbox.",
        product="Product",
        sku="SKU",
        old_price="Old price",
        new_price="New price",
        changed_by="Changed by",
        changed_at="When",
        request="Request",
        somebody="an account that is gone",
        reason=(
            "You get this because you look after the catalogue. "
            "What you are mailed is up to you: PUT /v1/me/notification-preferences."
        ),
    ),
    Language.SPANISH: Translations(
        subject="Precio de {name}: {old} → {new}",
        digest_subject="{number} cambios de precio",
        hello="Hola, {name}:",
        one_changed="ha cambiado un precio del catálogo.",
        many_changed="han cambiado {number} precios del catálogo; primero, los más recientes:",
        more="y {number} más en su bandeja.",
        product="Producto",
        sku="SKU",
        old_price="Precio anterior",
        new_price="Precio nuevo",
        changed_by="Cambiado por",
        changed_at="Cuándo",
        request="Petición",
        somebody="una cuenta que ya no existe",
        reason=(
            "Recibe este correo porque cuida del catálogo. "
            "Usted decide qué se le envía: PUT /v1/me/notification-preferences."
        ),
    ),
}
