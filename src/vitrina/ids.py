"""Identifiers: UUIDs of version 7 or 8 (RFC 9562 sections 5.7 and 5.8), which sort by the time of their creation."""

import os
import re
import time
import uuid
from typing import Final

_CANONICAL: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_DIGEST: Final = (1 << 62) - 1


def new_id(*, digest: int | None = None) -> str:
    """Return a UUID in canonical text form: 48 bits of milliseconds since 1970, then 74 random bits, as version 7.

    With `digest`, of 62 bits, it is of version 8 and these are its last bits.
    """
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    if digest is not None:
        value = value & ~_DIGEST | digest
    value = value & ~(0xF << 76) | (0x7 if digest is None else 0x8) << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def digest_in(id_: str) -> int | None:
    """Return the digest that an id was made with, None if it has none."""
    return int(id_.replace("-", ""), 16) & _DIGEST if id_[14] == "8" else None


def time_ms(id_: str) -> int:
    """Return when an id was created, in milliseconds since 1970."""
    return int(id_[:8] + id_[9:13], 16)


def is_id(text: str) -> bool:
    """Return whether `text` has the form of an id; a path with any other text is refused without a read."""
    return _CANONICAL.fullmatch(text) is not None
