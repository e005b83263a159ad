"""Views: anonymous reads of a product (R11), and the packed form in which they are stored."""

import hashlib
import hmac
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

_RECORD: Final = struct.Struct(">16s12sIHB")
"""One view: product (UUID), visitor, milliseconds of the day, referrer (0: none, else its list index + 1), flags."""
VIEW_BYTES: Final = _RECORD.size
BOT: Final = 1
"""The flag that marks a view by a bot."""
VISITOR_BYTES: Final = 12
MOST_IN_SEGMENT: Final = 400
"""Views in one segment: 14 KB."""
MOST_OF_REFERRERS: Final = 2_200
"""Bytes of a segment's list of referrers; with views and keys the segment stays below 16 KB."""
DAY_MS: Final = 86_400_000


class View(NamedTuple):
    """A view. `at_ms` is in milliseconds since 1970; `visitor` is a keyed hash whose key changes daily.

    `bot` is a view by a crawler or a health checker, or a read ahead of a visit that may never come.
    """

    product_id: str
    at_ms: int
    visitor: bytes
    referrer_host: str | None
    bot: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedViews:
    """Views of one day in their stored form; the length is the number of views."""

    events: bytes
    referrers: list[str]

    def __len__(self) -> int:
        return len(self.events) // VIEW_BYTES


def day_of(at_ms: int) -> date:
    """Return the day of a time, UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


def midnight_ms(day: date) -> int:
    """Return the start of a day, UTC, in milliseconds since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def shard_of(product_id: str, shards: int) -> int:
    """Return the shard of a product's views, which is the same at any time in every process."""
    return zlib.crc32(product_id.encode()) % shards


def visitor_key(secret: bytes, day: date) -> bytes:
    """Return the day's key for `visitor_hash`; without `secret`, hashes of different days cannot be linked."""
    return hmac.digest(secret, day.isoformat().encode(), "sha256")


def visitor_hash(key: bytes, address: str, user_agent: str) -> bytes:
    """Return a visitor's keyed hash of address and user agent; neither is stored (R11).

    The bytes of a header that is not UTF-8 arrive escaped as surrogates.
    """
    visitor = f"{address}\n{user_agent}".encode(errors="surrogateescape")
    return hashlib.blake2b(visitor, key=key, digest_size=VISITOR_BYTES).digest()


def pack(views: Sequence[View]) -> PackedViews:
    """Pack up to `MOST_IN_SEGMENT` views of one day, each 35 bytes."""
    referrers: dict[str, int] = {}
    events = bytearray()
    for product_id, at_ms, visitor, referrer_host, bot in views:
        referrer = 0 if referrer_host is None else referrers.setdefault(referrer_host, len(referrers) + 1)
        product = bytes.fromhex(product_id.replace("-", ""))
        events += _RECORD.pack(product, visitor, at_ms % DAY_MS, referrer, BOT if bot else 0)
    return PackedViews(events=bytes(events), referrers=list(referrers))
