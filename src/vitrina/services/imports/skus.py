"""The origin of another shop's row, and the SKUs that are derived from it.

A derived SKU never updates a product of another origin. The id of a product that an import creates carries a digest of
its origin (`ids.new_id`), and the importer compares it before each update. Where the readable SKU is taken by another
origin, the row gets the distinct one. Its digits depend on the origin alone, so every later run finds the same product.
"""

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Self

from vitrina.domain.products import is_sku

_LENGTH: Final = 64
_DIGITS: Final = 8
_DIGEST_BITS: Final = 62
"""The bits of a UUID that are free for a digest."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a row was made from: its parts identify it in its shop, such as a handle and option values.

    `readable_sku` is `WOOL-CAP-DEEP-RED-M` for `wool-cap`, `Deep Red` and `M`. `distinct_sku` also ends with eight
    digits of the parts' SHA-256. `sku`, for a new product, is the distinct one if the readable one loses something.
    `digest` has 62 bits.
    """

    sku: str
    distinct_sku: str
    readable_sku: str
    digest: int

    @classmethod
    def of(cls, *parts: str) -> Self:
        """Return the origin with these parts.

        Letters are upper-cased and lose their accents; each run of characters that a SKU cannot hold becomes a hyphen.
        Case, a hyphen for the space between two words and the boundaries of parts do not count as lost: the importer
        tells such origins apart by `digest`.
        """
        readable = [_readable(part) for part in parts]
        stem = "-".join(filter(None, readable)).upper()
        digits = hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:_DIGITS].upper()
        distinct = f"{stem[: _LENGTH - _DIGITS - 1].rstrip('-')}-{digits}".lstrip("-")
        is_lossy = not stem or len(stem) > _LENGTH or any(map(_loses, parts, readable))
        digest = hashlib.sha256(json.dumps(parts).encode()).digest()
        return cls(
            sku=distinct if is_lossy else stem,
            distinct_sku=distinct,
            readable_sku=stem if is_sku(stem) else distinct,
            digest=int.from_bytes(digest) >> (len(digest) * 8 - _DIGEST_BITS),
        )


def chosen_sku(own: str, origin: Origin | None, *, derive: bool, require: bool) -> tuple[str, bool]:
    """Return a row's SKU, its own or a derived one, and whether it is derived. Raises ValueError with the reason.

    With `derive` a SKU that is not allowed is replaced; with `require` a missing one is not.
    """
    if own and (is_sku(own) or origin is None):
        return own, False
    if own and not derive:
        raise ValueError("its SKU is not allowed: --derive-skus derives another")
    if not own and require:
        raise ValueError("it has no SKU")
    if origin is None:
        raise ValueError("it has neither a SKU nor an ID")
    return origin.sku, True


def _readable(part: str) -> str:
    decomposed = unicodedata.normalize("NFKD", part.casefold())
    without_marks = "".join(character for character in decomposed if not unicodedata.combining(character))
    return re.sub(r"[^a-z0-9._]+", "-", without_marks).strip("-.")


def _loses(part: str, readable: str) -> bool:
    return not part.isascii() or part.lower().replace(" ", "-") != readable
