"""What views add up to (R12): by product and day, by hour, by referrer; people and bots apart."""

import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple, Self

from vitrina.domain.views import VIEW_BYTES, PackedViews
from vitrina.errors import ValidationFailed

MOST_DAYS: Final = 366
"""Days of one report."""
DEFAULT_DAYS: Final = 30
"""Days of a report or an export that names no first one."""
GRACE: Final = timedelta(hours=1)
"""How long after its end a day stays open, for views that are stored late."""

OTHER: Final = ""
"""Stands for all referrer hosts past those that are counted each by itself; no host is empty."""
NAMED_HOSTS: Final = 50
"""Referrer hosts of a day that its rollup keeps."""

_ROW: Final = struct.Struct(">16sIII")
"""A product's day in a packed table: product, views, distinct visitors, views by bots."""


class Counts(NamedTuple):
    """Views and distinct visitors without bots, and the views by bots."""

    views: int = 0
    unique_visitors: int = 0
    bots: int = 0


class DayViews(NamedTuple):
    """A day and what it counts."""

    day: date
    counts: Counts


class HourViews(NamedTuple):
    """Views of one hour of the day, UTC."""

    people: int
    bots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySummary:
    """A day of the whole shop.

    `total.unique_visitors` counts a person once, however many products they saw. `referrers` are the hosts that people
    came from, the most frequent first, `direct` is how many came from none, `other` from hosts that are not named.
    """

    day: date
    total: Counts
    products: int
    hours: Sequence[HourViews]
    referrers: Sequence[tuple[str, int]]
    direct: int
    other: int


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `first` to `last`, both among them."""

    first: date
    last: date

    @classmethod
    def of(cls, first: date | None, last: date | None, *, today: date) -> Self:
        """Return the days that were asked for: the last 30 unless said otherwise.

        Raises ValidationFailed, which names `/from`, for days in the wrong order or more than `MOST_DAYS`.
        """
        last = last or today
        first = first or days_before(last, DEFAULT_DAYS - 1)
        if first > last:
            raise ValidationFailed.of("from", f"must not be after {last}, the last day")
        period = cls(first, last)
        if len(period) > MOST_DAYS:
            raise ValidationFailed.of("from", f"makes {len(period)} days; {MOST_DAYS} are the most")
        return period

    def __len__(self) -> int:
        return self.last.toordinal() - self.first.toordinal() + 1

    def __iter__(self) -> Iterator[date]:
        return map(date.fromordinal, range(self.first.toordinal(), self.last.toordinal() + 1))


def days_before(day: date, number: int) -> date:
    """Return the day so many before, or the first day that there is."""
    return date.fromordinal(max(1, day.toordinal() - number))


def is_closed(day: date, at: datetime) -> bool:
    """Say whether a day's views are all there at `at` (UTC): it has ended, and its grace as well."""
    return day < (at - GRACE).date()


def product_key(product_id: str) -> bytes:
    """Return a product's id as packed views and tables have it."""
    return uuid.UUID(product_id).bytes


def product_id_of(product: bytes) -> str:
    """Return the id of a product of a packed table."""
    digits = product.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def only(packed: PackedViews, product: bytes) -> PackedViews:
    """Return the views of one product, without a look at the others: bytes are searched, not unpacked."""
    events, size = packed.events, VIEW_BYTES
    found: list[bytes] = []
    at = events.find(product)
    while at >= 0:
        beside = at % size  # The bytes of an id may turn up elsewhere than at the start of a view.
        if not beside:
            found.append(events[at : at + size])
        at = events.find(product, at + size - beside)
    return PackedViews(events=b"".join(found), referrers=packed.referrers)


def pack_table(products: Mapping[bytes, Counts]) -> bytes:
    """Pack counts by product, 28 bytes each, in the order of the products: the same counts are the same bytes."""
    return b"".join(_ROW.pack(product, *counts) for product, counts in sorted(products.items()))


def unpack_table(table: bytes) -> Iterator[tuple[bytes, Counts]]:
    """Return what was packed."""
    for product, views, unique_visitors, bots in _ROW.iter_unpack(table):
        yield product, Counts(views, unique_visitors, bots)


ROW_BYTES: Final = _ROW.size
