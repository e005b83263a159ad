"""Accounts with the item that claims their e-mail address, and sessions."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from vitrina.clock import epoch_seconds
from vitrina.domain.users import Role, Session, User
from vitrina.store import keys
from vitrina.store.codecs import attributes
from vitrina.store.items import EmailItem, SessionItem, UserItem

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
    return User(**attributes(item, User) | {"role": Role(item.role)})


def email_claim(user: User | UserItem) -> EmailItem:
    """Return the item that claims the e-mail address of an account."""
    return EmailItem.keyed(keys.email(user.email), user_id=user.id)


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
