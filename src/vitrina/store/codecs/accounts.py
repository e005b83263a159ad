"""Accounts with the items of their e-mail address and their password, sessions and API keys."""

from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Final

from vitrina.clock import epoch_seconds
from vitrina.domain.api_keys import ApiKey, Scope
from vitrina.domain.users import Role, Session, User
from vitrina.store import keys
from vitrina.store.codecs import attributes
from vitrina.store.items import ApiKeyItem, EmailItem, PasswordItem, SessionItem, UserItem

_LONGEST_USER_AGENT: Final = 256
"""Characters of a user agent that are stored."""


def user_item(user: User) -> UserItem:
    """Return the item of an account."""
    return UserItem.keyed(
        keys.user(user.id),
        **asdict(user) | {"role": user.role.value},
        listing=keys.USERS,
        listing_group=keys.role_group(user.role),
        by_time=keys.by_time(user.created_at, user.id),
    )


def user_from(item: UserItem) -> User:
    """Return the account of an item."""
    return User(**attributes(item, User) | {"role": Role(item.role), "key_epoch": item.key_epoch or 0})


def email_claim(user: User | UserItem) -> EmailItem:
    """Return the item that claims the e-mail address of an account."""
    return EmailItem.keyed(keys.email(user.email), user_id=user.id)


def password_item(user_id: str, password_hash: str) -> PasswordItem:
    """Return the item of the hash of an account's password."""
    return PasswordItem.keyed(keys.password(user_id), user_id=user_id, password_hash=password_hash)


def session_item(session: Session) -> SessionItem:
    """Return the item of a session."""
    converted = {
        "user_agent": session.user_agent[:_LONGEST_USER_AGENT] or None,
        "expires_at": epoch_seconds(session.expires_at),
    }
    return SessionItem.keyed(keys.session(session.user_id, session.id), **asdict(session) | converted)


def session_from(item: SessionItem) -> Session:
    """Return the session of an item."""
    expires_at = datetime.fromtimestamp(item.expires_at or 0, UTC)
    return Session(**attributes(item, Session) | {"user_agent": item.user_agent or "", "expires_at": expires_at})


def api_key_item(key: ApiKey) -> ApiKeyItem:
    """Return the item of an API key."""
    converted = {
        "scope": key.scope.value,
        "expires_at": epoch_seconds(key.expires_at),
        "last_used_on": key.last_used_on and key.last_used_on.isoformat(),
    }
    return ApiKeyItem.keyed(keys.api_key(key.user_id, key.id), **asdict(key) | converted)


def api_key_from(item: ApiKeyItem) -> ApiKey:
    """Return the API key of an item."""
    converted = {
        "scope": Scope(item.scope),
        "expires_at": datetime.fromtimestamp(item.expires_at or 0, UTC),
        "last_used_on": date.fromisoformat(item.last_used_on) if item.last_used_on else None,
    }
    return ApiKey(**attributes(item, ApiKey) | converted)
