"""Every key and index of the one table; mirrors table_design.md. A key template is written here and nowhere else."""

import zlib
from datetime import date, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from vitrina.clock import rfc3339
from vitrina.domain.text import fold

VIEW_SHARDS: Final = 8
"""Partitions that a day's views spread over. Fixed for good: a product's shard is found by it."""
MAIL_SHARDS: Final = 4
"""Partitions of the index that mail waiting to be sent spreads over; more can be added, none taken away."""

_AFTER_NAME: Final = "\x1f"
"""Ends a name in a sort key. No name holds it and it sorts before every character that one may hold."""
_LONGEST_NAME: Final = 900
"""Bytes of a name in a sort key, which DynamoDB ends at 1,024."""


class Key(NamedTuple):
    """A primary key."""

    pk: str
    sk: str


class Index(NamedTuple):
    """A global secondary index: its name and key attributes. All of an item is projected."""

    name: str
    partition: str
    sort: str


LISTING_BY_TIME: Final = Index("listing-by-time", "listing", "by_time")
LISTING_BY_NAME: Final = Index("listing-by-name", "listing", "by_name")
LISTING_BY_PRICE: Final = Index("listing-by-price", "listing", "by_price")
GROUP_BY_TIME: Final = Index("group-by-time", "listing_group", "by_time")
GROUP_BY_NAME: Final = Index("group-by-name", "listing_group", "by_name")
GROUP_BY_PRICE: Final = Index("group-by-price", "listing_group", "by_price")
DUE_BY_TIME: Final = Index("due-by-time", "due", "due_at")
INDEXES: Final = (
    LISTING_BY_TIME, LISTING_BY_NAME, LISTING_BY_PRICE, GROUP_BY_TIME, GROUP_BY_NAME, GROUP_BY_PRICE, DUE_BY_TIME,
)  # fmt: skip

TTL_ATTRIBUTE: Final = "expires_at"

# Partitions of the indexes
LIVE_PRODUCTS: Final = "PRODUCTS#LIVE"
DELETED_PRODUCTS: Final = "PRODUCTS#DELETED"
USERS: Final = "USERS"


def brand_group(brand: str) -> str:
    """Return the group of a brand's live products, found without regard to case."""
    return f"BRAND#{fold(brand)}"


def role_group(role: str) -> str:
    """Return the group of the accounts that have a role."""
    return f"ROLE#{role}"


def unread_notices(user_id: str) -> str:
    """Return the list of an account's unread notices."""
    return f"UNREAD#{user_id}"


def due_mail(shard: int) -> str:
    """Return one shard of the mail that waits to be sent; `due_at` says until when."""
    return f"MAIL#{shard}"


def mail_shard(user_id: str) -> int:
    """Return the shard of an account's mail."""
    return zlib.crc32(user_id.encode()) % MAIL_SHARDS


# Sort keys of the indexes; the id makes each unique, so that a page can start after any item
def by_time(at: datetime, item_id: str) -> str:
    """Sort by a time."""
    return f"{rfc3339(at)}#{item_id}"


def by_name(name: str, item_id: str) -> str:
    """Sort by a name without regard to case."""
    return f"{name_prefix(name)}{_AFTER_NAME}{item_id}"


def name_prefix(name: str) -> str:
    """Return how the sort keys of names that begin with `name` begin."""
    return fold(name).encode()[:_LONGEST_NAME].decode(errors="ignore")


def by_price(price: Decimal, item_id: str) -> str:
    """Sort by an amount: 12 digits, a point and 4 decimals, so that text order is number order."""
    return f"{price:017.4f}#{item_id}"


# Primary keys
def user(user_id: str) -> Key:
    """Return the key of an account."""
    return Key(f"USER#{user_id}", "USER")


SESSION_PREFIX: Final = "SESSION#"


def session(user_id: str, session_id: str) -> Key:
    """Return the key of a session, in its account's partition: one query has them all."""
    return Key(f"USER#{user_id}", f"{SESSION_PREFIX}{session_id}")


NOTICE_PREFIX: Final = "NOTICE#"


def notice(user_id: str, notice_id: str) -> Key:
    """Return the key of an entry of an account's inbox; its id begins with a time, so that entries sort by it."""
    return Key(f"USER#{user_id}", f"{NOTICE_PREFIX}{notice_id}")


def notice_preferences(user_id: str) -> Key:
    """Return the key of what an account wants to be mailed."""
    return Key(f"USER#{user_id}", "NOTICE_PREFERENCES")


def mail_window(user_id: str) -> Key:
    """Return the key of the window in which an account's notices are counted, to mail many of them as a digest."""
    return Key(f"USER#{user_id}", "MAIL_WINDOW")


def mail(user_id: str) -> Key:
    """Return the key of the one mail to an account that is being sent."""
    return Key(f"USER#{user_id}", "MAIL")


def email(address: str) -> Key:
    """Return the key of the item that makes an e-mail address unique, without regard to case."""
    return Key(f"EMAIL#{fold(address)}", "EMAIL")


SUPER_ADMINS: Final = Key("SUPER_ADMINS", "SUPER_ADMINS")
"""The count of super_admins, on which the rule of the last one rests (R1)."""


def product(product_id: str) -> Key:
    """Return the key of a product."""
    return Key(f"PRODUCT#{product_id}", "PRODUCT")


CHANGE_PREFIX: Final = "CHANGE#"
PRICE_PREFIX: Final = "PRICE#"


def change(product_id: str, version: int) -> Key:
    """Return the key of the change that made a version."""
    return Key(f"PRODUCT#{product_id}", f"{CHANGE_PREFIX}{version:010d}")


def named_change(key: Key) -> tuple[str, int]:
    """Return the product and version that the key of a change names. Raises ValueError for another key."""
    partition, sort = key.pk.removeprefix("PRODUCT#"), key.sk.removeprefix(CHANGE_PREFIX)
    if key != change(partition, int(sort)):
        raise ValueError("not the key of a change")
    return partition, int(sort)


def price(product_id: str, version: int) -> Key:
    """Return the key of the price that came into force with a version."""
    return Key(f"PRODUCT#{product_id}", f"{PRICE_PREFIX}{version:010d}")


def deletion(product_id: str) -> Key:
    """Return the key of the soft-deletion marker."""
    return Key(f"PRODUCT#{product_id}", "DELETION")


def sku(text: str) -> Key:
    """Return the key of the item that makes a SKU unique among live products, without regard to case (R6)."""
    return Key(f"SKU#{fold(text)}", "SKU")


def view_segments(day: date, shard: int) -> str:
    """Return the partition of a day's views of one shard of the products."""
    return f"VIEWS#{day.isoformat()}#{shard}"


def day_and_shard(partition: str) -> tuple[date, int]:
    """Return whose views a partition of `view_segments` holds. Raises ValueError for any other."""
    prefix, day, shard = partition.split("#")
    if prefix != "VIEWS":
        raise ValueError(f"{prefix} holds no views")
    return date.fromisoformat(day), int(shard)


def view_segment(day: date, shard: int, segment_id: str) -> Key:
    """Return the key of a segment of one shard's products; its id is ordered by time."""
    return Key(view_segments(day, shard), segment_id)


MIXED_PREFIX: Final = "MIXED#"


def mixed_view_segment(day: date, shard: int, segment_id: str) -> Key:
    """Return the key of a segment of products of all shards; it may be in the partition of any, after its own ones."""
    return Key(view_segments(day, shard), MIXED_PREFIX + segment_id)


def segment_id(sort: str) -> str:
    """Return the id of a segment, of one shard or mixed."""
    return sort.removeprefix(MIXED_PREFIX)


VIEW_DAY_PREFIX: Final = "VIEWS#"


def view_day(product_id: str, day: date) -> Key:
    """Return the key of the counts of a product's closed day, in its own partition: one query has many days."""
    return Key(f"PRODUCT#{product_id}", f"{VIEW_DAY_PREFIX}{day.isoformat()}")


VIEW_TALLY_PREFIX: Final = "SHARD#"


def view_tallies(day: date, shard: int | None = None) -> Key:
    """Return the partition of a closed day's tables, and how the sort keys begin, of one shard or of all."""
    return Key(f"VIEW_TALLIES#{day.isoformat()}", VIEW_TALLY_PREFIX + ("" if shard is None else f"{shard}#"))


def view_tally(day: date, shard: int, part: int) -> Key:
    """Return the key of a part of the table of a day's products, of one shard."""
    partition, prefix = view_tallies(day, shard)
    return Key(partition, f"{prefix}{part:04d}")


def view_summary(day: date) -> Key:
    """Return the key of what a closed day tells of the whole shop."""
    return Key(view_tallies(day).pk, "SUMMARY")


VIEW_ROLLUPS: Final = "VIEW_ROLLUPS"


def view_rollup(day: date) -> Key:
    """Return the key of the item that says that a day is rolled up."""
    return Key(VIEW_ROLLUPS, day.isoformat())


def idempotency(owner: str, route: str, fingerprint: str) -> Key:
    """Return the key of the answer kept for an idempotency key, which belongs to a user and a route."""
    return Key(f"IDEMPOTENCY#{owner}", f"{route}#{fingerprint}")


def failures(subject: str, window: int) -> Key:
    """Return the key of a count of failed sign-ins: of whom (a keyed hash) and in which window."""
    return Key(f"FAILURES#{subject}", f"WINDOW#{window}")


def leases(stream_label: str) -> str:
    """Return the partition of a stream's leases; a table that is made anew has another stream."""
    return f"RELAY#{stream_label}"


def lease(stream_label: str, shard_id: str) -> Key:
    """Return the key of the lease of a shard: who reads it, and how far."""
    return Key(leases(stream_label), f"SHARD#{shard_id}")


MIGRATIONS: Final = "MIGRATIONS"


def migration(number: int) -> Key:
    """Return the key of a migration's entry in the ledger."""
    return Key(MIGRATIONS, f"{number:04d}")
