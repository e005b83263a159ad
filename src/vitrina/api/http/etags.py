"""Entity tags and the conditions of requests (RFC 9110 sections 8.8.3 and 13.1)."""

import re
from typing import Final

from vitrina.domain.versions import Expected

_TAG: Final = re.compile(r'[ \t,]*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,[ \t,]*|$)')
"""One tag of a list, whose elements may be empty (section 5.6.1.2)."""
_VERSION: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def if_match(header: str | None) -> Expected:
    """Return the versions that an `If-Match` accepts; None, for any version, without the header and for `*`.

    The comparison is strong (section 8.8.3.2): weak tags, malformed headers
    and tags that are no versions match nothing.
    """
    if header is None or header.strip() == "*":
        return None
    tags = _tags(header)
    return frozenset(int(tag) for weak, tag in tags if not weak and _VERSION.fullmatch(tag))


def if_none_match(header: str | None, etag: int | str) -> bool:
    """Say whether the client already has the version of `etag`, so that the response is 304 (weak comparison)."""
    if header is None:
        return False
    return header.strip() == "*" or any(tag == str(etag) for _, tag in _tags(header))


def _tags(header: str) -> list[tuple[bool, str]]:
    tags: list[tuple[bool, str]] = []
    position = 0
    while position < len(header):
        match = _TAG.match(header, position)
        if match is None:
            return []
        tags.append((match[1] is not None, match[2]))
        position = match.end()
    return tags
