"""Versions that a caller expects (RFC 9110 section 13.1.1)."""

from vitrina.errors import VersionMismatch

Expected = frozenset[int] | None
"""The versions of which one must be the current one; None is any."""


def check_expected(expected: Expected, current: int) -> None:
    """Raise VersionMismatch unless `current` is among the versions expected."""
    if expected is not None and current not in expected:
        raise VersionMismatch(current)
