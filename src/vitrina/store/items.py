"""The items: PynamoDB models as schema and codec, never for I/O.

`type` says what an item is, `v` which version of that type's schema wrote it. One table, one module: a discriminator
finds every class, and the chart of table_design.md is held against this file.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from pynamodb.attributes import (
    Attribute,
    BinaryAttribute,
    BooleanAttribute,
    DiscriminatorAttribute,
    JSONAttribute,
    UnicodeAttribute,
)
from pynamodb.models import Model

from vitrina.clock import from_rfc3339, rfc3339
from vitrina.store.keys import Key

RawItem = dict[str, Any]
"""An item as DynamoDB's API has it: `{"name": {"S": "..."}}`."""


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
    """An exact number: PynamoDB's own goes through float. DynamoDB drops trailing zeros, so readers fit money again."""

    attr_type = "N"

    def serialize(self, value: Decimal) -> str:
        """Write the number without an exponent."""
        return format(value, "f")

    def deserialize(self, value: str) -> Decimal:
        """Read the number."""
        return Decimal(value)


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
    """What every item has. Indexes are sparse: an item is in one only while it carries the index's two keys."""

    class Meta:
        """PynamoDB asks for a name here; the real one is a setting and is given with each call."""

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
    expires_at = IntegerAttribute(null=True)

    @classmethod
    def keyed(cls, key: Key, **attributes: Any) -> Self:  # noqa: ANN401 - an attribute's own class checks its value
        """Make the item of `key`."""
        return cls(key.pk, key.sk, **attributes)


class UserItem(Item, discriminator="user"):
    """An account."""

    id = UnicodeAttribute()
    email = UnicodeAttribute()
    name = UnicodeAttribute()
    role = UnicodeAttribute()
    active = BooleanAttribute()
    password_hash = UnicodeAttribute()
    session_epoch = IntegerAttribute()
    version = IntegerAttribute()
    created_at = TimeAttribute()
    updated_at = TimeAttribute()


class EmailItem(Item, discriminator="email"):
    """The claim of an account on an e-mail address."""

    user_id = UnicodeAttribute()


class SuperAdminsItem(Item, discriminator="super_admins"):
    """How many super_admins there are."""

    members = IntegerAttribute()


class SessionItem(Item, discriminator="session"):
    """A sign-in; `expires_at` is checked on every read, since TTL deletes late (R14)."""

    id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    epoch = IntegerAttribute()
    generation = IntegerAttribute()
    user_agent = UnicodeAttribute(null=True)
    created_at = TimeAttribute()
    refreshed_at = TimeAttribute()
    mark = UnicodeAttribute(null=True)


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
    """The claim of a live product on a SKU."""

    product_id = UnicodeAttribute()


class DeletionItem(Item, discriminator="deletion"):
    """The marker of a soft deletion; there while the product is deleted."""

    product_id = UnicodeAttribute()
    original_sku = UnicodeAttribute()
    deleted_at = TimeAttribute()
    deleted_by = UnicodeAttribute()


class ChangeItem(Item, discriminator="change"):
    """What a version changed. On the stream it is the event; `old_price` is there only when a price moved (R9)."""

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
    changes = JSONAttribute()
    old_price = UnicodeAttribute(null=True)
    old_currency = UnicodeAttribute(null=True)


class PriceItem(Item, discriminator="price"):
    """A price and when it came into force."""

    price = DecimalAttribute()
    currency = UnicodeAttribute()
    since = TimeAttribute()


class ViewSegmentItem(Item, discriminator="views"):
    """Many views in one item: `events` packs them (domain/views.py), `referrers` are the hosts that they name."""

    events = BinaryAttribute(legacy_encoding=False)
    referrers = JSONAttribute(null=True)


class ViewDayItem(Item, discriminator="view_day"):
    """What a product's closed day counts; `views` and `unique_visitors` leave bots out (R12)."""

    views = IntegerAttribute()
    unique_visitors = IntegerAttribute()
    bots = IntegerAttribute()


class ViewTallyItem(Item, discriminator="view_tally"):
    """The counts of many products on a closed day, packed (domain/reports.py)."""

    rows = BinaryAttribute(legacy_encoding=False)


class ViewSummaryItem(Item, discriminator="view_summary"):
    """What a closed day tells of the whole shop: views by hour, and the hosts that people came from."""

    hours = JSONAttribute()
    referrers = JSONAttribute()
    direct = IntegerAttribute()
    other = IntegerAttribute()


class ViewRollupItem(Item, discriminator="view_rollup"):
    """Says that a day is rolled up, for it is written last; with the day's totals."""

    views = IntegerAttribute()
    unique_visitors = IntegerAttribute()
    bots = IntegerAttribute()
    products = IntegerAttribute()


class NoticeItem(Item, discriminator="notice"):
    """An entry of an admin's inbox (R9). It is `due` while its mail waits; `mail` names the mail that took it up."""

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
    read_at = TimeAttribute(null=True)
    digest = BooleanAttribute(null=True)
    mail = UnicodeAttribute(null=True)


class NoticePreferencesItem(Item, discriminator="notice_preferences"):
    """What an account wants to be mailed."""

    email = UnicodeAttribute()
    digest_minutes = IntegerAttribute()
    language = UnicodeAttribute()


class MailWindowItem(Item, discriminator="mail_window"):
    """How many notices an account got in the window that ends at `closes_at`."""

    closes_at = TimeAttribute()
    notices = IntegerAttribute()


class MailItem(Item, discriminator="mail"):
    """The mail to an account that is being sent: it holds these notices, and is `due` again if its sender dies."""

    id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    notices = JSONAttribute()
    digest = BooleanAttribute()
    attempts = IntegerAttribute()
    failures = IntegerAttribute()
    created_at = TimeAttribute()


class LeaseItem(Item, discriminator="lease"):
    """The reading of one shard of the stream: by whom, and after which record it goes on.

    `counter` moves with each renewal; `checkpoint` is a sequence number, TRIM_HORIZON or SHARD_END.
    """

    shard_id = UnicodeAttribute()
    parent = UnicodeAttribute(null=True)
    owner = UnicodeAttribute(null=True)
    counter = IntegerAttribute()
    checkpoint = UnicodeAttribute()


class IdempotencyItem(Item, discriminator="idempotency"):
    """The answer that an idempotency key gets again until `expires_at`."""

    body_fingerprint = UnicodeAttribute()
    status = IntegerAttribute()
    headers = JSONAttribute()
    body = BinaryAttribute(legacy_encoding=False)


class FailuresItem(Item, discriminator="failures"):
    """Tries to sign in of one subject in one window that failed or are still being checked."""

    tries = IntegerAttribute()


class MigrationItem(Item, discriminator="migration"):
    """A migration in the ledger: where it is and which run is at it until when, or when it was finished."""

    name = UnicodeAttribute()
    started_at = TimeAttribute()
    finished_at = TimeAttribute(null=True)
    runner = UnicodeAttribute(null=True)
    held_until = TimeAttribute(null=True)
    position = JSONAttribute(null=True)
    seen = IntegerAttribute()
    changed = IntegerAttribute()
