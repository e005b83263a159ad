"""What can go wrong, as the domain sees it: one small class for each failure that a caller can expect.

Nothing here knows HTTP or AWS. `api/http/problems.py` says which status and code each becomes.
"""

from dataclasses import dataclass, field
from typing import Self


@dataclass(eq=False)
class VitrinaError(Exception):
    """The root of every failure that is expected."""

    def __str__(self) -> str:
        return (type(self).__doc__ or type(self).__name__).splitlines()[0]


@dataclass(eq=False)
class AuthenticationRequired(VitrinaError):
    """This needs a signed-in account: send a bearer token."""


@dataclass(eq=False)
class InvalidToken(VitrinaError):
    """The token is malformed, expired or revoked, or was not signed here: sign in again."""


@dataclass(eq=False)
class TokenReused(VitrinaError):
    """This refresh token was used before, so its session has been ended: sign in again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a limited caller may still do: `remaining` of `limit` tries, until `reset` seconds have passed."""

    limit: int
    remaining: int
    reset: int


@dataclass(eq=False)
class InvalidCredentials(VitrinaError):
    """The e-mail or the password is wrong."""

    allowance: Allowance | None = None


@dataclass(eq=False)
class WrongPassword(VitrinaError):
    """The current password is wrong."""

    allowance: Allowance | None = None


@dataclass(eq=False)
class Forbidden(VitrinaError):
    """Your role does not allow this."""


@dataclass(eq=False)
class NotFound(VitrinaError):
    """There is nothing here, or nothing that you may see."""


@dataclass(eq=False)
class FieldError:
    """One field that was refused: `path` are the names and positions that lead to it, none for the whole value."""

    path: tuple[str | int, ...]
    detail: str


@dataclass(eq=False)
class ValidationFailed(VitrinaError):
    """Some fields were refused; `errors` says which and what to change."""

    errors: list[FieldError] = field(default_factory=list)

    @classmethod
    def of(cls, field: str, detail: str) -> Self:
        """Return the error of a single field."""
        return cls([FieldError((field,), detail)])


@dataclass(eq=False)
class InvalidCursor(VitrinaError):
    """The cursor was not made here, or belongs to another query: start again without it."""


@dataclass(eq=False)
class EmailTaken(VitrinaError):
    """Another account has this e-mail."""


@dataclass(eq=False)
class SkuTaken(VitrinaError):
    """A live product holds this SKU (R6); `holder_id` is its id."""

    holder_id: str


@dataclass(eq=False)
class SuperAdminProtected(VitrinaError):
    """A super_admin can be neither changed nor deleted here (R1)."""


@dataclass(eq=False)
class LastSuperAdmin(VitrinaError):
    """This is the last super_admin: it can be neither deleted nor demoted (R1)."""


@dataclass(eq=False)
class VersionMismatch(VitrinaError):
    """It has changed since the version that you named: read it again; `current_version` is the version now."""

    current_version: int


@dataclass(eq=False)
class Conflict(VitrinaError):
    """Others kept changing it at the same time: try again."""


@dataclass(eq=False)
class NotDeleted(VitrinaError):
    """The product is live: there is nothing to restore."""


@dataclass(eq=False)
class IdempotencyKeyReused(VitrinaError):
    """This idempotency key was used with another body: make a new key for a new request."""


@dataclass(eq=False)
class IdempotencyInProgress(VitrinaError):
    """A request with this idempotency key is still running: try again."""


@dataclass(eq=False)
class RateLimited(VitrinaError):
    """Too many tries; `retry_after` is in whole seconds, `limit` is what a window allows."""

    retry_after: int
    limit: int


@dataclass(eq=False)
class Unavailable(VitrinaError):
    """The service cannot do this right now; `retry_after` is in whole seconds."""

    retry_after: int = 1


@dataclass(eq=False)
class TableUnavailable(Unavailable):
    """The table does not answer right now: try again."""


@dataclass(eq=False)
class QueueUnavailable(Unavailable):
    """The queue does not answer right now: try again."""


@dataclass(eq=False)
class Overloaded(Unavailable):
    """The service has more to do than it can take on: try again."""


class NoRoom(OSError):
    """A temporary file can't be made or written: nothing that a caller can expect or change, unlike those above."""
