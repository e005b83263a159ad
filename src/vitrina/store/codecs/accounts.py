"""Accounts with the item that claims their e-mail address, and sessions."""

from datetime import UTC, datetime
from typing import Final

from vitrina.clock import epoch_seconds
from vitrina.domain.users import Role, Session, User
from vitrina.store import keys
from vitrina.store.items import EmailItem, SessionItem, UserItem

_LONGEST_USER_AGENT: Final = 256
"""Characters of a user agent that are stored."""


def user_item(user: User) -> UserItem:
    """Return the item of an account."""
    return UserItem.keyed(
        keys.user(user.id),
        id=user.id,
        email=user.email,
        name=user.name,
        role=user.role.value,
        active=user.active,
        password_hash=user.password_hash,
        session_epoch=user.session_epoch,
        version=user.version,
        created_at=user.created_at,
        updated_at=user.updated_at,
        listing=keys.USERS,
        listing_group=keys.role_group(user.role),
        by_time=keys.by_time(user.created_at, user.id),
    )


def user_from(item: UserItem) -> User:
    """Return the account of an item."""
    return User(
        id=item.id,
        email=item.email,
        name=item.name,
        role=Role(item.role),
        active=item.active,
        password_hash=item.password_hash,
        session_epoch=item.session_epoch,
        version=item.version,
        created_at=item.created_at,
        updated_at=item.updated_at,
    )


def email_claim(user: User | UserItem) -> EmailItem:
    """Return the item that claims the e-mail address of an account."""
    return EmailItem.keyed(keys.email(user.email), user_id=user.id)


def session_item(session: Session) -> SessionItem:
    """Return the item of a session."""
    return SessionItem.keyed(
        keys.session(session.user_id, session.id),
        id=session.id,
        user_id=session.user_id,
        epoch=session.epoch,
        generation=session.generation,
        user_agent=session.user_agent[:_LONGEST_USER_AGENT] or None,
        created_at=session.created_at,
        refreshed_at=session.refreshed_at,
        expires_at=epoch_seconds(session.expires_at),
    )


def session_from(item: SessionItem) -> Session:
    """Return the session of an item."""
    return Session(
        id=item.id,
        user_id=item.user_id,
        epoch=item.epoch,
        generation=item.generation,
        user_agent=item.user_agent or "",
        created_at=item.created_at,
        refreshed_at=item.refreshed_at,
        expires_at=datetime.fromtimestamp(item.expires_at or 0, UTC),
    )
