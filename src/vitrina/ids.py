"""Identifiers: UUID version 7 (RFC 9562 section 5.7), which sort by the time of their creation."""

import os
import re
import time
import uuid
from typing import Final

_CANONICAL: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


def new_id() -> str:
    """Return a UUIDv7 in canonical text form: 48 bits of milliseconds since 1970, then 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def time_ms(id_: str) -> int:
    """Return when an id was created, in milliseconds since 1970."""
    return int(id_[:8] + id_[9:13], 16)


def is_id(text: str) -> bool:
    """Return whether `text` has the form of an id; a path with any other text is refused without a read."""
    return _CANONICAL.fullmatch(text) is not None
