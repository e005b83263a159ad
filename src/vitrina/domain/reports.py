"""What views add up to (R12): by product and day, by hour, by referrer; people and bots apart."""

import heapq
import struct
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import compress, groupby
from typing import Final, NamedTuple, Self

from vitrina.domain.views import BOT, VISITOR_BYTES, PackedViews
from vitrina.errors import ValidationFailed

MOST_DAYS: Final = 366
"""Days of one report."""
_DEFAULT_DAYS: Final = 30
GRACE: Final = timedelta(hours=1)
"""How long after its end a day stays open, for views that are stored late."""

OTHER: Final = ""
"""Stands for all referrer hosts past those that are counted each by itself; no host is empty."""
_MOST_HOSTS: Final = 20_000
"""Referrer hosts that one count tells apart: anybody can send any, and memory is not to grow with them."""
NAMED_HOSTS: Final = 50
"""Referrer hosts of a day that its rollup keeps."""

_EVENT: Final = struct.Struct(">28sIHB")
"""A view as `domain.views` packs it, product and visitor in one piece."""
_IS_BOT: Final = bytes(flags & BOT for flags in range(256))
_IS_PERSON: Final = bytes(not flags & BOT for flags in range(256))
"""Tables that tell of a flags' byte what it is."""
_PRODUCT_BYTES: Final = 16
_HOUR_MS: Final = 3_600_000
_HOURS: Final = 24
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
        first = first or date.fromordinal(max(1, last.toordinal() - _DEFAULT_DAYS + 1))
        if first > last:
            raise ValidationFailed.of("/from", f"must not be after {last}, the last day")
        period = cls(first, last)
        if len(period) > MOST_DAYS:
            raise ValidationFailed.of("/from", f"makes {len(period)} days; {MOST_DAYS} are the most")
        return period

    def __len__(self) -> int:
        return self.last.toordinal() - self.first.toordinal() + 1

    def __iter__(self) -> Iterator[date]:
        return map(date.fromordinal, range(self.first.toordinal(), self.last.toordinal() + 1))


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


class Tally:
    """A count of packed views of one day; memory grows with the pairs of product and visitor among them."""

    def __init__(self) -> None:
        """Start with no view."""
        self.hours = [[0, 0] for _ in range(_HOURS)]
        self.referrers: Counter[str | None] = Counter()
        self._pairs: Counter[bytes] = Counter()
        self._bots: Counter[bytes] = Counter()

    def add(self, packed: PackedViews) -> None:
        """Count the views of a segment, column by column, which is twice as fast as view by view."""
        if not packed:
            return
        pairs, times, referrers, _ = zip(*_EVENT.iter_unpack(packed.events), strict=True)
        flags = packed.events[_EVENT.size - 1 :: _EVENT.size]
        people, bots = flags.translate(_IS_PERSON), flags.translate(_IS_BOT)
        self._pairs.update(compress(pairs, people))
        self._bots.update(pair[:_PRODUCT_BYTES] for pair in compress(pairs, bots))
        hosts = [None, *map(self._host, packed.referrers)]
        for referrer, number in Counter(compress(referrers, people)).items():
            self.referrers[hosts[referrer]] += number
        hours = [of_day_ms // _HOUR_MS for of_day_ms in times]
        for hour, number in Counter(compress(hours, people)).items():
            self.hours[hour][0] += number
        for hour, number in Counter(compress(hours, bots)).items():
            self.hours[hour][1] += number

    def products(self) -> dict[bytes, Counts]:
        """Return the counts of each product, in the order of their keys."""
        products = [pair[:_PRODUCT_BYTES] for pair in self._pairs]
        visitors = Counter(products)
        views = dict.fromkeys(visitors, 0)
        for product, number in zip(products, self._pairs.values(), strict=True):
            views[product] += number
        seen = sorted(views.keys() | self._bots.keys())
        return {product: Counts(views.get(product, 0), visitors[product], self._bots[product]) for product in seen}

    def visitors(self) -> bytes:
        """Return the distinct visitors, bots left out, in order, one after the other."""
        return b"".join(sorted({pair[_PRODUCT_BYTES:] for pair in self._pairs}))

    def _host(self, host: str) -> str:
        return host if host in self.referrers or len(self.referrers) < _MOST_HOSTS else OTHER


def only(packed: PackedViews, product: bytes) -> PackedViews:
    """Return the views of one product, without a look at the others: bytes are searched, not unpacked."""
    events, size = packed.events, _EVENT.size
    found: list[bytes] = []
    at = events.find(product)
    while at >= 0:
        beside = at % size  # The bytes of an id may turn up elsewhere than at the start of a view.
        if not beside:
            found.append(events[at : at + size])
        at = events.find(product, at + size - beside)
    return PackedViews(events=b"".join(found), referrers=packed.referrers)


def count_distinct(parts: Iterable[bytes]) -> int:
    """Count the visitors in what several `Tally.visitors` returned, each once."""
    each = struct.Struct(f"{VISITOR_BYTES}s")
    return sum(1 for _ in groupby(heapq.merge(*map(each.iter_unpack, parts))))


def pack_table(products: Mapping[bytes, Counts]) -> bytes:
    """Pack counts by product, 28 bytes each, in the order of the products: the same counts are the same bytes."""
    return b"".join(_ROW.pack(product, *counts) for product, counts in sorted(products.items()))


def unpack_table(table: bytes) -> Iterator[tuple[bytes, Counts]]:
    """Return what was packed."""
    for product, views, unique_visitors, bots in _ROW.iter_unpack(table):
        yield product, Counts(views, unique_visitors, bots)


ROW_BYTES: Final = _ROW.size


class Leaders:
    """Views and visitors by product over several days; bots are left out."""

    def __init__(self) -> None:
        """Start with no product."""
        self._views: Counter[bytes] = Counter()
        self._visitors: Counter[bytes] = Counter()

    def add_table(self, table: bytes) -> None:
        """Add a packed table."""
        views, visitors = self._views, self._visitors
        for product, more, unique_visitors, _ in _ROW.iter_unpack(table):
            views[product] += more
            visitors[product] += unique_visitors

    def first(self, number: int) -> list[tuple[str, Counts]]:
        """Return the ids of the products with the most views, and their counts; ties by id. None has no view at all."""
        seen = (product for product, views in self._views.items() if views)
        leading = heapq.nsmallest(number, seen, key=lambda product: (-self._views[product], product))
        return [(product_id_of(product), Counts(self._views[product], self._visitors[product])) for product in leading]
