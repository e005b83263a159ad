"""Counts of views (R12): by product and day, by hour, by referrer; people and bots separately."""

import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple, Self

from vitrina.domain.views import VIEW_BYTES, PackedViews
from vitrina.errors import ValidationFailed

MOST_DAYS: Final = 366
"""The longest period of a report, in days."""
DEFAULT_DAYS: Final = 30
"""Days of a report or an export without a first day."""
GRACE: Final = timedelta(hours=1)
"""How long a day stays open after its end, for views that are stored late."""

OTHER: Final = ""
"""The key for all referrer hosts that have no count of their own; no host is empty."""
NAMED_HOSTS: Final = 50
"""Referrer hosts that a day's rollup names."""

_ROW: Final = struct.Struct(">16sIII")
"""A row of a packed table: product, views, distinct visitors, views by bots."""
ROW_BYTES: Final = _ROW.size


class Format(StrEnum):
    """The file format of an export."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


class Counts(NamedTuple):
    """Views and distinct visitors without bots, and views by bots."""

    views: int = 0
    unique_visitors: int = 0
    bots: int = 0

    @property
    def events(self) -> int:
        """All views, also those by bots."""
        return self.views + self.bots


class HourViews(NamedTuple):
    """Views of one hour of the day, UTC."""

    people: int
    bots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySummary:
    """The views of the whole shop on one day.

    `total.unique_visitors` counts a person once, regardless of how many products they viewed. `referrers` has the views
    of people by referrer host, most frequent first; `direct` counts those without a referrer, `other` those from hosts
    that are not named.
    """

    day: date
    total: Counts
    products: int = 0
    hours: Sequence[HourViews] = (HourViews(0, 0),) * 24
    referrers: Sequence[tuple[str, int]] = ()
    direct: int = 0
    other: int = 0


@dataclass(frozen=True, slots=True)
class Period:
    """The days from `first` to `last`, both included."""

    first: date
    last: date

    @classmethod
    def of(cls, first: date | None, last: date | None, *, today: date) -> Self:
        """Return the requested period, by default the 30 days up to `last` or today.

        Raises ValidationFailed for `/from` if the days are in the wrong order or more than `MOST_DAYS`.
        """
        last = last or today
        period = cls.between(first or days_before(last, DEFAULT_DAYS - 1), last)
        if len(period) > MOST_DAYS:
            raise ValidationFailed.of("from", f"makes {len(period)} days; {MOST_DAYS} are the most")
        return period

    @classmethod
    def between(cls, first: date | None, last: date | None) -> Self:
        """Return the days from `first` to `last`, of any number; None is no bound.

        Raises ValidationFailed for `/from` if they are in the wrong order.
        """
        period = cls(first or date.min, last or date.max)
        if period.first > period.last:
            raise ValidationFailed.of("from", f"must not be after {last}, the last day")
        return period

    def __len__(self) -> int:
        return self.last.toordinal() - self.first.toordinal() + 1

    def __iter__(self) -> Iterator[date]:
        return map(date.fromordinal, range(self.first.toordinal(), self.last.toordinal() + 1))


def days_before(day: date, number: int) -> date:
    """Return the day `number` days before, but no earlier than `date.min`."""
    return date.fromordinal(max(1, day.toordinal() - number))


def is_closed(day: date, at: datetime) -> bool:
    """Whether a day and its grace period have ended at `at` (UTC), so that all its views are stored."""
    return day < (at - GRACE).date()


def product_key(product_id: str) -> bytes:
    """Return the packed form of a product id, 16 bytes."""
    return uuid.UUID(product_id).bytes


def product_id_of(product: bytes) -> str:
    """Return the product id of its packed form."""
    digits = product.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def only(packed: PackedViews, product: bytes) -> PackedViews:
    """Return the views of one product, by a search in the packed bytes without unpacking them."""
    events, size = packed.events, VIEW_BYTES
    found: list[bytes] = []
    at = events.find(product)
    while at >= 0:
        offset = at % size  # The bytes of an id may also occur within a view.
        if not offset:
            found.append(events[at : at + size])
        at = events.find(product, at + size - offset)
    return PackedViews(events=b"".join(found), referrers=packed.referrers)


def pack_table(products: Mapping[bytes, Counts]) -> bytes:
    """Pack counts by product to 28 bytes each, ordered by product, so that equal counts give equal bytes."""
    return b"".join(_ROW.pack(product, *counts) for product, counts in sorted(products.items()))
