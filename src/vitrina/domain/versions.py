"""Preconditions on versions, from If-Match (RFC 9110 section 13.1.1)."""

from vitrina.errors import VersionMismatch

Expected = frozenset[str] | None
"""The tags of the versions that the caller accepts as current: `<version>` or `<id>.<version>`; None accepts any."""


def check_expected(expected: Expected, current: int, *, of: str | None = None) -> None:
    """Raise VersionMismatch unless a tag names the version `current`, alone or as that of the object `of`."""
    tags = {str(current)} if of is None else {str(current), tag(of, current)}
    if expected is not None and expected.isdisjoint(tags):
        raise VersionMismatch(current)


def tag(object_id: str, version: int) -> str:
    """Return the tag of a version that names its object too, for where another object may take its place."""
    return f"{object_id}.{version}"
