"""Notices of changed prices (R9): the event, the entry in an admin's inbox, the mail and the preferences for it."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from vitrina.domain.products import Change

_NOTICE_ID: Final = re.compile(
    r"\d{13}-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}-\d{1,10}", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChanged:
    """The price of a live product changed. Amounts are text with the currency's decimals, `changed_by` is a user id.

    `traceparent` is the span that made the change, if it was traced (W3C Trace Context).
    """

    product_id: str
    version: int
    sku: str
    name: str
    old_price: str
    old_currency: str
    price: str
    currency: str
    changed_at: datetime
    changed_by: str
    request_id: str
    traceparent: str | None = None

    @classmethod
    def of(cls, change: Change) -> Self:
        """Return the event of a change that moves the price."""
        before = {name: change.changes[name].before for name in ("price", "currency") if name in change.changes}
        return cls(
            product_id=change.product_id,
            version=change.version,
            sku=change.sku,
            name=change.name,
            old_price=before.get("price") or change.price,
            old_currency=before.get("currency") or change.currency,
            price=change.price,
            currency=change.currency,
            changed_at=change.at,
            changed_by=change.by,
            request_id=change.request_id,
        )

    @property
    def id(self) -> str:
        """The permanent id of the change, from the stream to the inbox: product id and version."""
        return f"{self.product_id}-{self.version}"

    @property
    def notice_id(self) -> str:
        """The id of its notice, the same in every inbox; ids sort by the time of the change."""
        return f"{int(self.changed_at.timestamp() * 1000):013d}-{self.id}"


def is_notice_id(text: str) -> bool:
    """Whether `text` has the form of a notice id."""
    return _NOTICE_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An entry in the inbox of `user_id`; `changed_by_name` is None if that account no longer existed."""

    user_id: str
    change: PriceChanged
    changed_by_name: str | None
    read_at: datetime | None = None

    @property
    def id(self) -> str:
        """The id, unique in the inbox."""
        return self.change.notice_id


class EmailMode(StrEnum):
    """How an admin gets mail: each notice at once, as a digest, or not at all."""

    EACH = "each"
    DIGEST = "digest"
    OFF = "off"


class Language(StrEnum):
    """The languages that mail is written in."""

    ENGLISH = "en"
    SPANISH = "es"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticePreferences:
    """An admin's preferences. With `digest`, the first notices of a window of `digest_minutes` are mailed at once."""

    email: EmailMode
    digest_minutes: int
    language: Language


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """The one mail to `user_id` that is being sent: a single notice, or a digest of many.

    `attempt` counts from 1 how often sending was started, `failures` how often no mail server accepted the mail; an
    attempt may also end because the sender dies or the table does not answer. Until `due_at` the mail belongs to its
    sender, afterwards any sender may take it over.
    """

    id: str
    user_id: str
    notice_ids: tuple[str, ...]
    digest: bool
    attempt: int
    failures: int = 0
    created_at: datetime
    due_at: datetime


@dataclass(slots=True)
class Waiting:
    """The mail due to one account: one whose sender failed, notices to mail one by one, and notices for a digest."""

    user_id: str
    mail: Mail | None = None
    notice_ids: list[str] = field(default_factory=list)
    digest_ids: list[str] = field(default_factory=list)
