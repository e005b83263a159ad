"""Time as Vitrina keeps it: aware UTC datetimes cut to the millisecond, written as RFC 3339."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Where the time comes from; services take one, so that a test can hold it still."""


def now() -> datetime:
    """Return this instant in UTC, cut to the millisecond, as everything stored and answered is."""
    instant = datetime.now(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def now_ms() -> int:
    """Return this instant in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def rfc3339(instant: datetime) -> str:
    """Write `instant` as `2026-11-24T07:01:34.120Z`: fixed width, so that text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_rfc3339(text: str) -> datetime:
    """Read what `rfc3339` wrote; raises ValueError for anything that is not a time."""
    return datetime.fromisoformat(text)


def epoch_ms(instant: datetime) -> int:
    """Return whole milliseconds since 1970."""
    return round(instant.timestamp() * 1000)


def epoch_seconds(instant: datetime) -> int:
    """Return whole seconds since 1970, the unit that DynamoDB's TTL reads, rounded down."""
    return int(instant.timestamp())
