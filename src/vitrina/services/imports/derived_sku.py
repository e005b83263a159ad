"""A SKU for a product that has none: the same at each import of the same file."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import Final

_LONGEST: Final = 64
_DIGITS: Final = 8


def derived_sku(parts: Sequence[str]) -> str:
    """Join a handle and the values of options to a SKU: `wool-cap`, `Deep Red` and `M` are `WOOL-CAP-DEEP-RED-M`.

    Letters are upper case and without their accents, and whatever no SKU can hold is one hyphen. Where that says less
    than the parts did (letters that ASCII has no likes of, or more than 64 characters), it ends with eight digits of
    the parts' SHA-256. Two products that still come to one SKU are a mistake for a person to see.
    """
    decomposed = [unicodedata.normalize("NFKD", part.casefold()) for part in parts]
    folded = [re.sub(r"[^a-z0-9._]+", "-", _without_marks(part)).strip("-.") for part in decomposed]
    sku = "-".join(filter(None, folded)).upper()
    lost = any(character.isalnum() and not character.isascii() for part in decomposed for character in part)
    if not sku or lost or len(sku) > _LONGEST:
        digest = hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:_DIGITS].upper()
        sku = f"{sku[: _LONGEST - _DIGITS - 1].rstrip('-')}-{digest}".lstrip("-")
    return sku


def _without_marks(text: str) -> str:
    return "".join(character for character in text if not unicodedata.combining(character))
