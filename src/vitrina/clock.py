"""Time: aware UTC datetimes truncated to the millisecond, written as RFC 3339."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current time; services take one as a parameter, so that tests can set the time."""


def now() -> datetime:
    """Return the current time in UTC, truncated to the millisecond like every time that is stored or sent."""
    instant = datetime.now(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def now_ms() -> int:
    """Return the current time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def rfc3339(instant: datetime) -> str:
    """Return `instant` as `2026-11-24T07:01:34.120Z`; the width is fixed, so texts sort by time."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_rfc3339(text: str) -> datetime:
    """Return the time that `rfc3339` wrote. Raises ValueError for a text that is no time."""
    return datetime.fromisoformat(text)


def epoch_ms(instant: datetime) -> int:
    """Return `instant` in milliseconds since 1970."""
    return round(instant.timestamp() * 1000)


def epoch_seconds(instant: datetime) -> int:
    """Return whole seconds since 1970, rounded down: the unit of DynamoDB's TTL."""
    return int(instant.timestamp())
