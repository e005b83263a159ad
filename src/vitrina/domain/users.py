"""Accounts and their roles (R1 to R4)."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import idna

from vitrina.domain.api_keys import ApiKey, Scope
from vitrina.domain.text import clean_line, fold
from vitrina.errors import Forbidden

MAX_EMAIL: Final = 254
"""Bytes of an address (RFC 5321 section 4.5.3.1.3, without the angle brackets)."""
_MAX_LOCAL: Final = 64
"""Bytes before the @ (RFC 5321 section 4.5.3.1.1)."""
ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
"""A word of an address or a display name that needs no quotes (RFC 5322 section 3.2.3)."""
_DOT_ATOM: Final = re.compile(rf"{ATOM}(?:\.{ATOM})*")
ENCODED_WORD: Final = re.compile(r"=\?.*\?=")
"""An encoded word (RFC 2047), which mail programs decode: names and addresses must not hold one."""


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
    """An account. `session_epoch` and `key_epoch` count how often all its sessions and all its API keys were ended.

    `password_hash` is None unless the hash is where releases before migration 4 put it, in the account's own item.
    """

    id: str
    email: str
    name: str
    role: Role
    active: bool
    password_hash: str | None = None
    session_epoch: int
    key_epoch: int = 0
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
    """The caller of a request: the account as read for this request, and what it was authenticated by."""

    user: User
    credential: Session | ApiKey

    @property
    def id(self) -> str:
        """The account's id."""
        return self.user.id

    @property
    def role(self) -> Role:
        """The account's current role, not the one at the time the token was issued."""
        return self.user.role

    @property
    def session(self) -> Session:
        """The session of the request. Raises Forbidden if it was authenticated by an API key."""
        if isinstance(self.credential, ApiKey):
            raise Forbidden
        return self.credential

    @property
    def key_id(self) -> str | None:
        """The id of the API key of the request, None if it was authenticated by a session."""
        return self.credential.id if isinstance(self.credential, ApiKey) else None

    def may(self, scope: Scope | None) -> bool:
        """Return whether the credential allows what API keys need `scope` for; a session allows all that the role does.

        `scope` is None for what no key may do.
        """
        return not isinstance(self.credential, ApiKey) or self.credential.scope.covers(scope)


def clean_email(text: str) -> str:
    """Return an e-mail address, trimmed. Raises ValueError, which says what to change, if no mail could reach it."""
    text = typed_email(text)
    _, _, domain = wire_address(text).rpartition("@")
    if not re.fullmatch(r".+\.(?!\d+$)[^.]{2,}", domain):
        raise ValueError("has no full domain after the @, such as example.com")
    return text


def typed_email(text: str) -> str:
    """Return the text of an e-mail address, trimmed; raises ValueError if it is longer than any address."""
    text = text.strip()
    if len(text.encode()) > MAX_EMAIL:
        raise ValueError(f"has more than {MAX_EMAIL} bytes")
    return text


def wire_address(email: str) -> str:
    """Return an address as mail servers take it, in ASCII: its domain as A-labels (RFC 5890).

    A local part outside ASCII is refused, since each server on the way would need SMTPUTF8 (RFC 6531), which Amazon SES
    does not have. Raises ValueError, which says what to change.
    """
    local, at, domain = email.rpartition("@")
    if not at or not local or not domain:
        raise ValueError("is not an e-mail address such as ana@example.com")
    if not local.isascii():
        raise ValueError("has other characters than ASCII before the @, which not every mail server accepts")
    if not _DOT_ATOM.fullmatch(local):
        raise ValueError("may have before the @ only letters, digits, !#$%&'*+-/=?^_`{|}~ and single dots between them")
    if ENCODED_WORD.search(local):
        raise ValueError("holds an encoded word (=?…?=)")
    address = f"{local}@{_a_labels(domain)}"
    if len(local) > _MAX_LOCAL or len(address) > MAX_EMAIL:
        raise ValueError(
            f"has more than {_MAX_LOCAL} bytes before the @, or more than {MAX_EMAIL} as mail servers write it"
        )
    return address


def canonical_email(email: str) -> str:
    """Return the form in which addresses are one account: without regard to case, and with the domain as A-labels.

    An address whose domain is not valid by IDNA 2008, which older releases accepted, is compared as a text.
    """
    local, _, domain = email.rpartition("@")
    try:
        return f"{fold(local)}@{_a_labels(domain)}"
    except ValueError:
        return fold(email)


def clean_account_name(text: str) -> str:
    """Return an account's name, trimmed. Raises ValueError as `clean_line` does, and for an encoded word."""
    name = clean_line(text)
    if ENCODED_WORD.search(name):
        raise ValueError("holds an encoded word (=?…?=), which a mail program would decode")
    return name


def _a_labels(domain: str) -> str:
    """Return a domain by IDNA 2008, after UTS 46's mapping of case and width. Raises ValueError, which says why."""
    # UTS 46 would drop most of them. IDNA 2008 allows joiners where the script needs them.
    if not domain.replace("\u200c", "").replace("\u200d", "").isprintable():
        raise ValueError("has an invisible character in its domain")
    try:
        labels = idna.encode(domain, uts46=True, std3_rules=True).decode()
    except UnicodeError as error:
        reason = re.split(r" (?:of|in) ['\"]", str(error))[0]  # The rest quotes the domain.
        raise ValueError(f"has a domain that IDNA 2008 does not allow: {reason}") from error
    if labels.endswith("."):
        raise ValueError("ends with a dot: leave it out")
    return labels
