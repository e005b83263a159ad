"""The items: PynamoDB models, used as schemas and for (de)serialisation, never for I/O.

The attribute `type` names an item's class, `v` the version of that class's schema that wrote the item. All classes are
in this one module: the discriminator finds each of them, and a test compares the chart in table_design.md with it.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Self, TypeVar

import orjson
from pynamodb.attributes import (
    Attribute,
    BinaryAttribute,
    BooleanAttribute,
    DiscriminatorAttribute,
    UnicodeAttribute,
)
from pynamodb.models import Model

from vitrina.clock import from_rfc3339, rfc3339
from vitrina.store.keys import Key

RawItem = dict[str, Any]
"""An item in the form of DynamoDB's API: `{"name": {"S": "..."}}`."""


class IntegerAttribute(Attribute[int]):
    """A whole number."""

    attr_type = "N"

    def serialize(self, value: int) -> str:
        """Write the number."""
        return str(int(value))

    def deserialize(self, value: str) -> int:
        """Read the number."""
        return int(value)


class DecimalAttribute(Attribute[Decimal]):
    """An exact number; PynamoDB's own converts through float. DynamoDB drops trailing zeros: `money.fit` adds them."""

    attr_type = "N"

    def serialize(self, value: Decimal) -> str:
        """Write the number without an exponent."""
        return format(value, "f")

    def deserialize(self, value: str) -> Decimal:
        """Read the number."""
        return Decimal(value)


class JsonAttribute(Attribute[Any]):
    """JSON in UTF-8; PynamoDB's own escapes what is not ASCII, which takes two or three times the bytes."""

    attr_type = "S"

    def serialize(self, value: object) -> str | None:
        """Write the JSON; None becomes no attribute."""
        return None if value is None else orjson.dumps(value).decode()

    def deserialize(self, value: str) -> object:
        """Read the JSON."""
        return orjson.loads(value)


class TimeAttribute(Attribute[datetime]):
    """A time, as sortable RFC 3339 text."""

    attr_type = "S"

    def serialize(self, value: datetime) -> str:
        """Write the time."""
        return rfc3339(value)

    def deserialize(self, value: str) -> datetime:
        """Read the time."""
        return from_rfc3339(value)


class Item(Model):
    """The attributes of every item. Indexes are sparse: they hold items with both key attributes."""

    class Meta:
        """PynamoDB requires a table name here; each request uses the one from the settings."""

        table_name = "vitrina"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    type = DiscriminatorAttribute()
    v = IntegerAttribute(default=1)
    listing = UnicodeAttribute(null=True)
    listing_group = UnicodeAttribute(null=True)
    by_time = UnicodeAttribute(null=True)
    by_name = UnicodeAttribute(null=True)
    by_price = UnicodeAttribute(null=True)
    due = UnicodeAttribute(null=True)
    due_at = TimeAttribute(null=True)
    feed = UnicodeAttribute(null=True)
    feed_position = UnicodeAttribute(null=True)
    expires_at = IntegerAttribute(null=True)

    @classmethod
    def keyed(cls, key: Key, **attributes: Any) -> Self:  # noqa: ANN401 - an attribute's own class checks its value
        """Return a new item with the primary key `key`."""
        return cls(key.pk, key.sk, **attributes)

    @property
    def key(self) -> Key:
        """The primary key."""
        return Key(self.pk, self.sk)


ItemT = TypeVar("ItemT", bound=Item)


def expect_type(item: Item | None, kind: type[ItemT]) -> ItemT:
    """Return `item`, whose key or index key only items of `kind` have. Raises TypeError for another: a defect."""
    if not isinstance(item, kind):
        raise TypeError(f"{type(item).__name__} in the place of {kind.__name__}")
    return item


class UserItem(Item, discriminator="user"):
    """An account. `password_hash` is that of releases before migration 4."""

    id = UnicodeAttribute()
    email = UnicodeAttribute()
    name = UnicodeAttribute()
    role = UnicodeAttribute()
    active = BooleanAttribute()
    password_hash = UnicodeAttribute(null=True)
    session_epoch = IntegerAttribute()
    key_epoch = IntegerAttribute(null=True)
    version = IntegerAttribute()
    created_at = TimeAttribute()
    updated_at = TimeAttribute()


class PasswordItem(Item, discriminator="password"):
    """The hash of an account's password."""

    user_id = UnicodeAttribute()
    password_hash = UnicodeAttribute()


class EmailItem(Item, discriminator="email"):
    """An account's claim of an e-mail address."""

    user_id = UnicodeAttribute()


class SuperAdminsItem(Item, discriminator="super_admins"):
    """The number of super_admins."""

    members = IntegerAttribute()


class SessionItem(Item, discriminator="session"):
    """A session. Every read checks `expires_at`, since TTL deletes late (R14)."""

    id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    epoch = IntegerAttribute()
    generation = IntegerAttribute()
    user_agent = UnicodeAttribute(null=True)
    created_at = TimeAttribute()
    refreshed_at = TimeAttribute()
    mark = UnicodeAttribute(null=True)


class ApiKeyItem(Item, discriminator="api_key"):
    """An API key, without its text. Every read checks `expires_at`, since TTL deletes late."""

    id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    name = UnicodeAttribute()
    scope = UnicodeAttribute()
    epoch = IntegerAttribute()
    digest = BinaryAttribute(legacy_encoding=False)
    created_at = TimeAttribute()
    last_used_on = UnicodeAttribute(null=True)


class ProductItem(Item, discriminator="product"):
    """A product, live or deleted."""

    id = UnicodeAttribute()
    sku = UnicodeAttribute()
    name = UnicodeAttribute()
    brand = UnicodeAttribute()
    description = UnicodeAttribute(null=True)
    price = DecimalAttribute()
    currency = UnicodeAttribute()
    version = IntegerAttribute()
    created_at = TimeAttribute()
    created_by = UnicodeAttribute()
    updated_at = TimeAttribute()
    updated_by = UnicodeAttribute()
    deleted_at = TimeAttribute(null=True)
    deleted_by = UnicodeAttribute(null=True)
    original_sku = UnicodeAttribute(null=True)


class SkuItem(Item, discriminator="sku"):
    """A live product's claim of a SKU."""

    product_id = UnicodeAttribute()


class DeletionItem(Item, discriminator="deletion"):
    """The marker of a soft deletion; it exists while the product is deleted."""

    product_id = UnicodeAttribute()
    original_sku = UnicodeAttribute()
    deleted_at = TimeAttribute()
    deleted_by = UnicodeAttribute()


class ChangeItem(Item, discriminator="change"):
    """The change that made a version; on the stream, the event. `old_price` exists only if the price changed (R9)."""

    product_id = UnicodeAttribute()
    version = IntegerAttribute()
    action = UnicodeAttribute()
    at = TimeAttribute()
    by = UnicodeAttribute()
    request_id = UnicodeAttribute()
    sku = UnicodeAttribute()
    name = UnicodeAttribute()
    price = UnicodeAttribute()
    currency = UnicodeAttribute()
    changes = JsonAttribute()
    old_price = UnicodeAttribute(null=True)
    old_currency = UnicodeAttribute(null=True)
    traceparent = UnicodeAttribute(null=True)


class PriceItem(Item, discriminator="price"):
    """A price and the time from which it applies."""

    price = DecimalAttribute()
    currency = UnicodeAttribute()
    since = TimeAttribute()


class ViewSegmentItem(Item, discriminator="views"):
    """Many views in one item: `events` is packed (domain/views.py), `referrers` are the referring hosts, each once."""

    events = BinaryAttribute(legacy_encoding=False)
    referrers = JsonAttribute(null=True)


class ViewDayItem(Item, discriminator="view_day"):
    """A product's counts of a closed day; `views` and `unique_visitors` exclude bots (R12).

    `generation`, here and in the other items of a rollup, is that of its totals (`ViewRollupItem`).
    """

    views = IntegerAttribute()
    unique_visitors = IntegerAttribute()
    bots = IntegerAttribute()
    generation = UnicodeAttribute(null=True)


class ViewTallyItem(Item, discriminator="view_tally"):
    """The counts of many products on a closed day, packed (domain/reports.py)."""

    rows = BinaryAttribute(legacy_encoding=False)
    generation = UnicodeAttribute(null=True)


class ViewSummaryItem(Item, discriminator="view_summary"):
    """Views of all products on a closed day, by hour and by referring host."""

    hours = JsonAttribute()
    referrers = JsonAttribute()
    direct = IntegerAttribute()
    other = IntegerAttribute()
    generation = UnicodeAttribute(null=True)


class ViewRollupItem(Item, discriminator="view_rollup"):
    """The totals of a closed day. It is written last, so its existence means that the day's rollup is complete.

    `made_at` is when its counting began, by the table's clock; rollups of older releases have none. What outdates a
    rollup, such as views that are stored after the day has closed, sets `generation` to a new id, and `made_at` to the
    day's first moment, so that the rollup does not count until it is made again. A day's first rollup has no
    generation. `may_lack_views` is true if a rollup could not be made again because the segments had expired, so that
    it counts as it was.
    """

    views = IntegerAttribute()
    unique_visitors = IntegerAttribute()
    bots = IntegerAttribute()
    products = IntegerAttribute()
    made_at = TimeAttribute(null=True)
    generation = UnicodeAttribute(null=True)
    may_lack_views = BooleanAttribute(null=True)


class NoticeItem(Item, discriminator="notice"):
    """An entry of an admin's inbox (R9). It has `due` while its mail is pending; `mail` is that mail's id."""

    id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    product_id = UnicodeAttribute()
    version = IntegerAttribute()
    sku = UnicodeAttribute()
    name = UnicodeAttribute()
    old_price = UnicodeAttribute()
    old_currency = UnicodeAttribute()
    price = UnicodeAttribute()
    currency = UnicodeAttribute()
    changed_at = TimeAttribute()
    changed_by = UnicodeAttribute()
    changed_by_name = UnicodeAttribute(null=True)
    request_id = UnicodeAttribute()
    traceparent = UnicodeAttribute(null=True)
    read_at = TimeAttribute(null=True)
    digest = BooleanAttribute(null=True)
    mail = UnicodeAttribute(null=True)


class NoticePreferencesItem(Item, discriminator="notice_preferences"):
    """An account's preferences for mail about notices."""

    email = UnicodeAttribute()
    digest_minutes = IntegerAttribute()
    language = UnicodeAttribute()


class MailWindowItem(Item, discriminator="mail_window"):
    """The number of notices for an account in the window that ends at `closes_at`."""

    closes_at = TimeAttribute()
    notices = IntegerAttribute()


class MailItem(Item, discriminator="mail"):
    """The mail that is being sent to an account, with the ids of its notices. It is `due` again if its sender dies."""

    id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    notices = JsonAttribute()
    digest = BooleanAttribute()
    attempts = IntegerAttribute()
    failures = IntegerAttribute()
    created_at = TimeAttribute()


class LeaseItem(Item, discriminator="lease"):
    """The lease of a shard of the stream: its owner, and the record after which reading continues.

    Each renewal increments `counter`. `checkpoint` is a sequence number, TRIM_HORIZON or SHARD_END.
    """

    shard_id = UnicodeAttribute()
    parent = UnicodeAttribute(null=True)
    owner = UnicodeAttribute(null=True)
    counter = IntegerAttribute()
    checkpoint = UnicodeAttribute()


class IdempotencyItem(Item, discriminator="idempotency"):
    """The response that is replayed for an idempotency key until `expires_at`."""

    body_fingerprint = UnicodeAttribute()
    status = IntegerAttribute()
    headers = JsonAttribute()
    body = BinaryAttribute(legacy_encoding=False)


class LoginAttemptsItem(Item, discriminator="failures"):
    """Sign-in attempts of a subject in a window that failed or are still being checked.

    `last` names the write that counted last, which may be sent twice; older releases write none.
    """

    tries = IntegerAttribute()
    last = UnicodeAttribute(null=True)


class MigrationItem(Item, discriminator="migration"):
    """A migration's entry in the ledger: position, and the run that holds it until `held_until`."""

    name = UnicodeAttribute()
    started_at = TimeAttribute()
    finished_at = TimeAttribute(null=True)
    runner = UnicodeAttribute(null=True)
    held_until = TimeAttribute(null=True)
    position = JsonAttribute(null=True)
    notes = JsonAttribute(null=True)
    seen = IntegerAttribute()
    changed = IntegerAttribute()
