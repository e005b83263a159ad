"""Accounts and their roles (R1 to R4)."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

MAX_EMAIL: Final = 254
"""Bytes of an address (RFC 5321 section 4.5.3.1.3, without the angle brackets)."""
_EMAIL: Final = re.compile(
    r"[^\s@<>()\[\]\\,;:\"]{1,64}@(?:[^\s@.<>()\[\]\\,;:\"]{1,63}\.)+[^\s@.<>()\[\]\\,;:\"]{2,63}"
)


class Role(StrEnum):
    """The role of an account: a super_admin manages accounts and products, an admin products, a user reads."""

    SUPER_ADMIN = "super_admin"
    ADMIN = "admin"
    USER = "user"


PRODUCT_MANAGERS: Final = frozenset({Role.SUPER_ADMIN, Role.ADMIN})
ACCOUNT_MANAGERS: Final = frozenset({Role.SUPER_ADMIN})
EVERY_ROLE: Final = frozenset(Role)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account. `session_epoch` counts how often all its sessions were ended at once (R14)."""

    id: str
    email: str
    name: str
    role: Role
    active: bool
    password_hash: str
    session_epoch: int
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in, valid until `expires_at` and as long as `epoch` equals the `session_epoch` of its account.

    `generation` is the number of the current refresh token; one with a lower number has been used already (R14).
    """

    id: str
    user_id: str
    epoch: int
    generation: int
    user_agent: str
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The caller of a request: the account as read for this request, and the session of the token."""

    user: User
    session: Session

    @property
    def id(self) -> str:
        """The account's id."""
        return self.user.id

    @property
    def role(self) -> Role:
        """The account's current role, not the one at the time the token was issued."""
        return self.user.role


def clean_email(text: str) -> str:
    """Return an e-mail address, trimmed; raises ValueError if it does not look like one."""
    text = typed_email(text)
    if not _EMAIL.fullmatch(text) or not text.isprintable():
        raise ValueError("is not an e-mail address")
    return text


def typed_email(text: str) -> str:
    """Return the text of an e-mail address, trimmed; raises ValueError if it is longer than any address."""
    text = text.strip()
    if len(text.encode()) > MAX_EMAIL:
        raise ValueError(f"has more than {MAX_EMAIL} bytes")
    return text
