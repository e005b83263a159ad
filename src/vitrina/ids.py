"""Identifiers: UUID version 7 (RFC 9562 section 5.7), so that ids sort by the time they were made."""

import os
import re
import time
import uuid
from typing import Final

_CANONICAL: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


def new_id() -> str:
    """Return a UUIDv7 in its canonical text form: 48 bits of milliseconds, then 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def time_ms(new: str) -> int:
    """Return when an id was made, in milliseconds since 1970."""
    return int(new[:8] + new[9:13], 16)


def is_id(text: str) -> bool:
    """Say whether `text` has the form of an id, so that a path that cannot exist costs no read."""
    return _CANONICAL.fullmatch(text) is not None
