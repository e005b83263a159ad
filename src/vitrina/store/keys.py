"""All keys and indexes of the table (table_design.md). No other module contains a key template."""

import zlib
from datetime import date, datetime
from decimal import Decimal
from typing import Final, NamedTuple

from vitrina.clock import rfc3339
from vitrina.domain.text import fold
from vitrina.domain.users import canonical_email

VIEW_SHARDS: Final = 8
"""Partitions of a day's views. It can never change, since it determines a product's shard."""
MAIL_SHARDS: Final = 4
"""Index partitions of due mail. It may be raised but never lowered."""
FEED_SHARDS: Final = 4
"""Index partitions of the feed of changes. It may be raised but never lowered."""

_AFTER_NAME: Final = "\x1f"
"""Terminates a name in a sort key. No name contains it, and it sorts before every character of a name."""
_LONGEST_NAME: Final = 900
"""Bytes of a name in a sort key; DynamoDB limits the whole key to 1,024."""


class Key(NamedTuple):
    """A primary key."""

    pk: str
    sk: str


class Index(NamedTuple):
    """A global secondary index: its name and key attributes. It projects all attributes."""

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
CHANGES_BY_TIME: Final = Index("changes-by-time", "feed", "feed_position")
INDEXES: Final = (
    LISTING_BY_TIME, LISTING_BY_NAME, LISTING_BY_PRICE, GROUP_BY_TIME, GROUP_BY_NAME, GROUP_BY_PRICE, DUE_BY_TIME,
    CHANGES_BY_TIME,
)  # fmt: skip

TTL_ATTRIBUTE: Final = "expires_at"

# Partitions of the indexes
LIVE_PRODUCTS: Final = "PRODUCTS#LIVE"
DELETED_PRODUCTS: Final = "PRODUCTS#DELETED"
USERS: Final = "USERS"


def brand_group(brand: str) -> str:
    """Return the group of a brand's live products; case-insensitive."""
    return f"BRAND#{fold(brand)}"


def role_group(role: str) -> str:
    """Return the group of the accounts with a role."""
    return f"ROLE#{role}"


def unread_notices(user_id: str) -> str:
    """Return the list of an account's unread notices."""
    return f"UNREAD#{user_id}"


def due_mail(shard: int) -> str:
    """Return the partition of one shard of the pending mail, which is sorted by `due_at`."""
    return f"MAIL#{shard}"


def mail_shard(user_id: str) -> int:
    """Return the shard of an account's mail."""
    return zlib.crc32(user_id.encode()) % MAIL_SHARDS


def feed(shard: int) -> str:
    """Return the partition of one shard of the feed of changes, which is sorted by `feed_position`."""
    return f"CHANGES#{shard}"


def feed_shard(product_id: str) -> int:
    """Return the shard of a product's changes."""
    return zlib.crc32(product_id.encode()) % FEED_SHARDS


# Sort keys of the indexes. The id makes each unique, so a page can start after any item.
def by_time(at: datetime, item_id: str) -> str:
    """Sort by a time."""
    return f"{rfc3339(at)}#{item_id}"


def by_name(name: str, item_id: str) -> str:
    """Sort by a name, case-insensitively."""
    return f"{name_prefix(name)}{_AFTER_NAME}{item_id}"


def name_prefix(name: str) -> str:
    """Return the prefix of the sort keys of all names that begin with `name`."""
    return fold(name).encode()[:_LONGEST_NAME].decode(errors="ignore")


def by_price(price: Decimal, item_id: str) -> str:
    """Sort by an amount: 12 digits, a point and 4 decimals, so that the order of texts is that of numbers."""
    return f"{price_prefix(price)}#{item_id}"


def price_prefix(price: Decimal) -> str:
    """Return the prefix of the sort keys of all items with a price."""
    return f"{price:017.4f}"


def feed_position(at: datetime, product_id: str, version: int) -> str:
    """Sort the changes of all shards by time, and those of a product by version, if its times never go back."""
    return f"{feed_time(at)}#{product_id}#{version:010d}"


def feed_time(at: datetime) -> str:
    """Return what sorts just before the positions of all changes of one millisecond."""
    return rfc3339(at)


def after_feed_position(position: str) -> str:
    """Return what sorts after a position, or just before those of a time, and before the next one."""
    return f"{position}#"


# Primary keys
def user(user_id: str) -> Key:
    """Return the key of an account."""
    return Key(f"USER#{user_id}", "USER")


def password(user_id: str) -> Key:
    """Return the key of the hash of an account's password."""
    return Key(f"USER#{user_id}", "PASSWORD")


SESSION_PREFIX: Final = "SESSION#"


def session(user_id: str, session_id: str) -> Key:
    """Return the key of a session. It is in its account's partition, so one query reads all of them."""
    return Key(f"USER#{user_id}", f"{SESSION_PREFIX}{session_id}")


API_KEY_PREFIX: Final = "API_KEY#"


def api_key(user_id: str, key_id: str) -> Key:
    """Return the key of an API key's item. It is in its account's partition, and is deleted with the account."""
    return Key(f"USER#{user_id}", f"{API_KEY_PREFIX}{key_id}")


NOTICE_PREFIX: Final = "NOTICE#"


def notice(user_id: str, notice_id: str) -> Key:
    """Return the key of an inbox entry. Its id begins with a time, so entries are sorted by time."""
    return Key(f"USER#{user_id}", f"{NOTICE_PREFIX}{notice_id}")


def notice_preferences(user_id: str) -> Key:
    """Return the key of an account's preferences for mail."""
    return Key(f"USER#{user_id}", "NOTICE_PREFERENCES")


def mail_window(user_id: str) -> Key:
    """Return the key of the window that counts an account's notices; many of them are mailed as a digest."""
    return Key(f"USER#{user_id}", "MAIL_WINDOW")


def mail(user_id: str) -> Key:
    """Return the key of the mail that is being sent to an account; there is one at a time."""
    return Key(f"USER#{user_id}", "MAIL")


def email(address: str) -> Key:
    """Return the key of the item that makes an e-mail address unique, without regard to case and by IDNA 2008."""
    return Key(f"EMAIL#{canonical_email(address)}", "EMAIL")


def emails(address: str) -> tuple[Key, ...]:
    """Return the keys at which a claim of an address may be: where releases before migration 3 put it, if elsewhere."""
    return tuple(dict.fromkeys((Key(f"EMAIL#{fold(address)}", "EMAIL"), email(address))))


SUPER_ADMINS: Final = Key("SUPER_ADMINS", "SUPER_ADMINS")
"""The count of super_admins; conditions on it protect the last one (R1)."""


def product(product_id: str) -> Key:
    """Return the key of a product."""
    return Key(f"PRODUCT#{product_id}", "PRODUCT")


CHANGE_PREFIX: Final = "CHANGE#"
PRICE_PREFIX: Final = "PRICE#"


def change(product_id: str, version: int) -> Key:
    """Return the key of the change that made a version."""
    return Key(f"PRODUCT#{product_id}", f"{CHANGE_PREFIX}{version:010d}")


def named_change(key: Key) -> tuple[str, int]:
    """Return product id and version from the key of a change. Raises ValueError for another key."""
    partition, sort = key.pk.removeprefix("PRODUCT#"), key.sk.removeprefix(CHANGE_PREFIX)
    if key != change(partition, int(sort)):
        raise ValueError("not the key of a change")
    return partition, int(sort)


def price(product_id: str, version: int) -> Key:
    """Return the key of the price that took effect with a version."""
    return Key(f"PRODUCT#{product_id}", f"{PRICE_PREFIX}{version:010d}")


def deletion(product_id: str) -> Key:
    """Return the key of the soft-deletion marker."""
    return Key(f"PRODUCT#{product_id}", "DELETION")


def sku(text: str) -> Key:
    """Return the key of the item that makes a SKU unique among live products, case-insensitively (R6)."""
    return Key(f"SKU#{fold(text)}", "SKU")


def view_segments(day: date, shard: int) -> str:
    """Return the partition of a day's views of one shard of products."""
    return f"VIEWS#{day.isoformat()}#{shard}"


def day_and_shard(partition: str) -> tuple[date, int]:
    """Return the day and shard of a partition of `view_segments`. Raises ValueError for another."""
    prefix, day, shard = partition.split("#")
    if prefix != "VIEWS":
        raise ValueError(f"{prefix} holds no views")
    return date.fromisoformat(day), int(shard)


def view_segment(day: date, shard: int, segment_id: str) -> Key:
    """Return the key of a segment of one shard's products. Segment ids sort by time."""
    return Key(view_segments(day, shard), segment_id)


MIXED_PREFIX: Final = "MIXED#"


def mixed_view_segment(day: date, shard: int, segment_id: str) -> Key:
    """Return the key of a segment of products of all shards; it sorts last in the partition of any shard."""
    return Key(view_segments(day, shard), MIXED_PREFIX + segment_id)


def segment_id(sort: str) -> str:
    """Return the id of a segment from its sort key, mixed or not."""
    return sort.removeprefix(MIXED_PREFIX)


VIEW_DAY_PREFIX: Final = "VIEWS#"


def view_day(product_id: str, day: date) -> Key:
    """Return the key of a product's counts of a closed day, in its partition: one query reads many days."""
    return Key(f"PRODUCT#{product_id}", f"{VIEW_DAY_PREFIX}{day.isoformat()}")


VIEW_TALLY_PREFIX: Final = "SHARD#"


def view_tallies(day: date) -> str:
    """Return the partition of a closed day's tables and summary."""
    return f"VIEW_TALLIES#{day.isoformat()}"


def view_tally(day: date, shard: int, part: int) -> Key:
    """Return the key of one part of a shard's table of a closed day."""
    return Key(view_tallies(day), f"{VIEW_TALLY_PREFIX}{shard}#{part:04d}")


def view_summary(day: date) -> Key:
    """Return the key of the summary of a closed day."""
    return Key(view_tallies(day), "SUMMARY")


VIEW_ROLLUPS: Final = "VIEW_ROLLUPS"


def view_rollup(day: date) -> Key:
    """Return the key of a closed day's totals, which complete its rollup."""
    return Key(VIEW_ROLLUPS, day.isoformat())


def idempotency(owner: str, route: str, fingerprint: str) -> Key:
    """Return the key of the stored response for an idempotency key, which belongs to a user and a route."""
    return Key(f"IDEMPOTENCY#{owner}", f"{route}#{fingerprint}")


def idempotency_parts(owner: str, fingerprint: str) -> str:
    """Return the partition of the responses for the parts of one request: many parts are written at a time."""
    return f"IDEMPOTENCY#{owner}#{fingerprint}"


def idempotency_part(owner: str, fingerprint: str, part: int) -> Key:
    """Return the key of the stored response for a part of a request."""
    return Key(idempotency_parts(owner, fingerprint), f"PART#{part:02d}")


def login_attempts(subject: str, window: int) -> Key:
    """Return the key of the login attempts of a subject (a keyed hash) in a window."""
    return Key(f"FAILURES#{subject}", f"WINDOW#{window}")


def leases(stream_label: str) -> str:
    """Return the partition of a stream's leases. A table that is created again has another stream."""
    return f"RELAY#{stream_label}"


def lease(stream_label: str, shard_id: str) -> Key:
    """Return the key of a shard's lease."""
    return Key(leases(stream_label), f"SHARD#{shard_id}")


MIGRATIONS: Final = "MIGRATIONS"


def migration(number: int) -> Key:
    """Return the key of a migration's entry in the ledger."""
    return Key(MIGRATIONS, f"{number:04d}")
