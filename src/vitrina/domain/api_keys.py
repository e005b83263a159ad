"""API keys: credentials of programs that run unattended. A key acts for the admin who made it, within its scope."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

DEFAULT_DAYS: Final = 90
"""Days until a key expires, unless its owner chose another number."""
MOST_DAYS: Final = 365
MOST_KEYS: Final = 100
"""Valid keys of an account."""


class Scope(StrEnum):
    """What a key may do of what its owner may.

    A `read` key reads products, their changes, reports and exports; a `manage` key changes products as well. No key may
    do anything else.
    """

    READ = "read"
    MANAGE = "manage"

    def covers(self, needed: "Scope | None") -> bool:
        """Return whether a key of this scope may do what needs the scope `needed`; None is what no key may do."""
        return needed is self or (self is Scope.MANAGE and needed is Scope.READ)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key, valid until `expires_at` and as long as `epoch` equals the `key_epoch` of its account.

    `digest` is the SHA-256 of the key's text, and all that is stored of it. `last_used_on` is a day (UTC).
    """

    id: str
    user_id: str
    name: str
    scope: Scope
    epoch: int
    digest: bytes
    created_at: datetime
    expires_at: datetime
    last_used_on: date | None = None
