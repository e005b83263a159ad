"""Expected failures: one small class for each that a caller can act on.

Nothing here knows HTTP or AWS: `api/http/problems.py` maps each class to a status, a code and the words for clients.
"""

import re
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

_INNER_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(eq=False)
class VitrinaError(Exception):
    """The root of all expected failures.

    `message` is what commands and logs say; without one they say the name of the class in words.
    """

    message: ClassVar[str] = ""

    def __str__(self) -> str:
        return self.message or _INNER_CAPITAL.sub(" ", type(self).__name__).lower()


# Who calls


class AuthenticationRequired(VitrinaError):
    """The request carries no access token, and this needs one."""


class InvalidToken(VitrinaError):
    """The token or API key is malformed, expired or revoked, or is from another service."""


class TokenReused(VitrinaError):
    """The refresh token was used before; its session has been ended (RFC 9700 section 4.14.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a rate limit still allows: `remaining` of `limit` tries, until `reset` seconds have passed."""

    limit: int
    remaining: int
    reset: int


@dataclass(eq=False)
class InvalidCredentials(VitrinaError):
    """The e-mail or the password is wrong."""

    allowance: Allowance | None = None


@dataclass(eq=False)
class WrongPassword(VitrinaError):
    """The current password, which a change of the password needs, is wrong."""

    allowance: Allowance | None = None


class Forbidden(VitrinaError):
    """The caller's role, or the scope of its API key, does not allow this."""


@dataclass(eq=False)
class RateLimited(VitrinaError):
    """Too many tries; `retry_after` is in whole seconds, `limit` is what a window allows."""

    retry_after: int
    limit: int


# What was sent


class NotFound(VitrinaError):
    """The object does not exist, or the caller may not see it."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One rejected field: `path` are the names and positions that lead to it, none for the whole value."""

    path: tuple[str | int, ...]
    detail: str


@dataclass(eq=False)
class ValidationFailed(VitrinaError):
    """Fields were rejected; `errors` says which, and why."""

    errors: list[FieldError] = field(default_factory=list)

    @classmethod
    def of(cls, field: str, detail: str) -> Self:
        """Return the error of a single field."""
        return cls([FieldError((field,), detail)])


class InvalidCursor(VitrinaError):
    """The cursor was not signed here, or was signed for another listing."""


class IdempotencyKeyReused(VitrinaError):
    """The idempotency key was used before with another body."""


class IdempotencyInProgress(VitrinaError):
    """A request with this idempotency key is still being processed."""


# What the table holds


@dataclass(eq=False)
class EmailTaken(VitrinaError):
    """Another account has this e-mail."""

    message = "Another account has this e-mail."
    allowance: Allowance | None = None


@dataclass(eq=False)
class SkuTaken(VitrinaError):
    """A live product holds this SKU (R6); `holder_id` is its id."""

    holder_id: str


class SuperAdminProtected(VitrinaError):
    """A super_admin can be neither changed nor deleted over HTTP (R1)."""


class LastSuperAdmin(VitrinaError):
    """The last super_admin can be neither deleted nor demoted (R1)."""


@dataclass(eq=False)
class VersionMismatch(VitrinaError):
    """The object has another version than the caller expects; `current_version` is its version now, None for none."""

    current_version: int | None


class TooManyApiKeys(VitrinaError):
    """The account has as many valid API keys as it may have."""


class Conflict(VitrinaError):
    """Concurrent changes of the same items made every try fail."""

    message = "Other requests kept changing the same data: try again."


class NotDeleted(VitrinaError):
    """The product is live, so it cannot be restored."""


# The service itself


@dataclass(eq=False)
class Unavailable(VitrinaError):
    """The service cannot process the request now; `retry_after` is in whole seconds."""

    message = "The service cannot do this right now: try again."
    retry_after: int = 1


class TableUnavailable(Unavailable):
    """DynamoDB does not respond, or rejects requests for now.

    `throttled` says that it responds: it refuses more requests to the table, an index or a partition.
    """

    message = "The table does not answer right now: try again."

    def __init__(self, *, throttled: bool = False) -> None:
        super().__init__()
        self.throttled = throttled


class QueueUnavailable(Unavailable):
    """SQS does not respond, or rejects requests for now."""

    message = "The queue does not answer right now: try again."


class Overloaded(Unavailable):
    """A queue of this process is full."""

    message = "The service has more to do than it can take on: try again."


class ReportsNotInstalled(VitrinaError):
    """Counting and exporting views needs the extra `reports`, and it is not installed."""

    message = "Reports and exports need the extra `reports`, which is not installed."


class StreamingUnsupported(VitrinaError):
    """A response of unknown length cannot be sent from a Lambda function, which returns whole responses of 6 MB."""


class NoRoom(OSError):
    """A temporary file cannot be created or written. No `VitrinaError`, because no caller can act on it."""
