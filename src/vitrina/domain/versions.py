"""Preconditions on versions, from If-Match and If-None-Match (RFC 9110 section 13.1)."""

from dataclasses import dataclass
from typing import Literal

from vitrina.errors import VersionMismatch

Expected = frozenset[str] | None
"""The tags of the versions that the caller accepts as current: `<version>` or `<id>.<version>`; None accepts any."""


Tags = Expected | Literal["*"]
"""Tags of versions, or `*` for those of every version."""


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must hold before an object is written; None requires nothing.

    The current version must have one of the tags of `match`, and none of those of `none_match`. Where no object exists,
    there is no tag.
    """

    match: Tags = None
    none_match: Tags = None

    @classmethod
    def of(cls, expected: "Expected | Precondition") -> "Precondition":
        """Return what is expected as a precondition."""
        return expected if isinstance(expected, Precondition) else cls(expected)

    def check(self, current: int | None, *, of: str | None = None) -> None:
        """Raise VersionMismatch unless it holds for the version `current` of the object `of`; None: there is none."""
        refused = self.none_match is not None and _name(self.none_match, current, of)
        if refused or (self.match is not None and not _name(self.match, current, of)):
            raise VersionMismatch(current)


def tag(object_id: str, version: int) -> str:
    """Return the tag of a version that names its object too, for where another object may take its place."""
    return f"{object_id}.{version}"


def _name(tags: frozenset[str] | Literal["*"], current: int | None, of: str | None) -> bool:
    """Return whether one of `tags` is that of the version, alone or as that of the object `of`."""
    if current is None or tags == "*":
        return current is not None
    return str(current) in tags or (of is not None and tag(of, current) in tags)
