"""Notices of changed prices (R9): the event, an admin's inbox entry, and when that is mailed."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

_NOTICE_ID: Final = re.compile(
    r"\d{13}-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}-\d{1,10}", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceChanged:
    """A price of a live product moved. Amounts are text in their currency's decimals, `changed_by` is a user id."""

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

    @property
    def id(self) -> str:
        """What names the change for ever, from the stream to the inbox: the product and the version that made it."""
        return f"{self.product_id}-{self.version}"

    @property
    def notice_id(self) -> str:
        """The id of the notice of it, the same in every inbox; ids sort by the time of the change."""
        return f"{int(self.changed_at.timestamp() * 1000):013d}-{self.id}"


def is_notice_id(text: str) -> bool:
    """Say whether `text` has the form of a notice's id."""
    return _NOTICE_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """An entry of the inbox of `user_id`; `changed_by_name` is None when that account was gone already."""

    user_id: str
    change: PriceChanged
    changed_by_name: str | None
    read_at: datetime | None = None

    @property
    def id(self) -> str:
        """Its id, unique in its inbox."""
        return self.change.notice_id


class EmailMode(StrEnum):
    """How an admin is mailed: each notice at once, many as a digest, or not at all."""

    EACH = "each"
    DIGEST = "digest"
    OFF = "off"


class Language(StrEnum):
    """The languages that mail is written in."""

    ENGLISH = "en"
    SPANISH = "es"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticePreferences:
    """What an admin wants. With `digest`, the first notices of a window of `digest_minutes` are mailed at once."""

    email: EmailMode
    digest_minutes: int
    language: Language
