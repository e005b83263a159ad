"""Preconditions on versions, from If-Match (RFC 9110 section 13.1.1)."""

from vitrina.errors import VersionMismatch

Expected = frozenset[int] | None
"""The versions that the caller accepts as current; None accepts any."""


def check_expected(expected: Expected, current: int) -> None:
    """Raise VersionMismatch unless `current` is one of the expected versions."""
    if expected is not None and current not in expected:
        raise VersionMismatch(current)
