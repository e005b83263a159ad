"""Accounts: registration, and their management by a super_admin (R1 to R4)."""

from dataclasses import asdict, dataclass, replace

import structlog

from vitrina.clock import Clock, now
from vitrina.domain.pages import Page, Position
from vitrina.domain.users import PRODUCT_MANAGERS, Role, User, canonical_email
from vitrina.domain.versions import Expected, Precondition
from vitrina.errors import EmailTaken, NotFound, SuperAdminProtected, TableUnavailable, ValidationFailed
from vitrina.ids import is_id, new_id
from vitrina.services.accounts.passwords import Passwords
from vitrina.services.concurrency import KeyedLock
from vitrina.store.operations import AlsoWrite, nothing_else
from vitrina.store.users import UserStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDraft:
    """The fields of a new account, with its password in plain text."""

    email: str
    password: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChanges:
    """Changes of an account's fields; None leaves a field as it is."""

    email: str | None = None
    name: str | None = None
    role: Role | None = None
    password: str | None = None
    active: bool | None = None


async def check_password(
    passwords: Passwords, password: str, *, email: str, name: str, field: str = "password"
) -> None:
    """Raise ValidationFailed for `field` when a password is among the commonest, or made of the account's own words."""
    if await passwords.is_common(password, context=(email, email.partition("@")[0], name)):
        raise ValidationFailed.of(field, "is too easy to guess: choose a longer or less usual one")


class Accounts:
    """Creates, changes and deletes accounts; the caller has checked what the user may do.

    `by` is the id of the account that acts, None for a registration and the command line. It is logged with the target.
    """

    def __init__(self, users: UserStore, *, passwords: Passwords, clock: Clock = now) -> None:
        self._users = users
        self._passwords = passwords
        self._clock = clock
        self._locks = KeyedLock()

    async def create(self, draft: UserDraft, *, by: str | None = None, also: AlsoWrite[User] = nothing_else) -> User:
        """Create an account, with the steps of `also` in the same transaction.

        Requests for the same e-mail wait for each other: the first takes it, and the others need no password hash.
        Raises EmailTaken, ValidationFailed, Conflict, and what the steps of `also` raise.
        """

        async def attempt() -> User:
            user, password_hash = await self._new_user(draft)
            await self._users.create(user, password_hash, also=also(user))
            log.info("account_created", actor_id=by, account_id=user.id, role=user.role.value)
            return user

        return await self._locks.hold(canonical_email(draft.email), attempt)

    async def create_super_admin(self, *, email: str, password: str, name: str) -> User:
        """Create a super_admin; only the command line does (R1). Raises EmailTaken, ValidationFailed, Overloaded."""
        draft = UserDraft(email=email, password=password, name=name, role=Role.SUPER_ADMIN)
        user, password_hash = await self._new_user(draft)
        await self._users.create(user, password_hash)
        log.info("account_created", actor_id=None, account_id=user.id, role=user.role.value)
        return user

    async def get(self, user_id: str) -> User:
        """Return an account. Raises NotFound."""
        user = await self._users.get(user_id) if is_id(user_id) else None
        if user is None:
            raise NotFound
        return user

    async def page(self, *, role: Role | None, limit: int, start: Position | None) -> Page[User]:
        """Return a page of accounts, newest first."""
        return await self._users.page(role=role, limit=limit, start=start)

    async def change(self, user_id: str, changes: UserChanges, *, by: str, expected: Expected | Precondition) -> User:
        """Change an account. A new role, a new password and deactivation end its sessions at once (R14).

        Deactivation and the loss of an admin's role end its API keys for good.
        Raises NotFound, VersionMismatch, SuperAdminProtected, EmailTaken, Conflict, ValidationFailed.
        """
        password_hash: str | None = None

        async def attempt() -> User:
            nonlocal password_hash
            before = await self._get_changeable(user_id, expected)
            if changes.password is not None and password_hash is None:
                email, name = changes.email or before.email, changes.name or before.name
                password_hash = await self._hash_password(changes.password, email, name)
            after = self._changed(before, changes)
            if after is before:
                return before
            await self._users.update(before, after, password_hash=password_hash)
            fields = [name for name, value in asdict(changes).items() if value is not None]
            log.info("account_changed", actor_id=by, account_id=user_id, fields=fields)
            return after

        return await self._locks.hold(user_id, attempt)

    async def delete(self, user_id: str, *, by: str, expected: Expected | Precondition) -> None:
        """Delete an account with its sessions, API keys and inbox.

        Raises NotFound, VersionMismatch, SuperAdminProtected, Conflict.
        """

        async def attempt() -> None:
            await self._users.delete(await self._get_changeable(user_id, expected))
            log.info("account_deleted", actor_id=by, account_id=user_id)
            await self._clear(user_id)

        await self._locks.hold(user_id, attempt)

    async def remove_super_admin(self, email: str) -> None:
        """Delete a super_admin; only the command line does (R1). Raises NotFound, LastSuperAdmin, Conflict."""
        user = await self._users.by_email(email)
        if user is None or user.role is not Role.SUPER_ADMIN:
            raise NotFound
        await self._users.delete(user)
        log.info("account_deleted", actor_id=None, account_id=user.id)
        await self._clear(user.id)

    async def _clear(self, user_id: str) -> None:
        """Delete what a deleted account leaves.

        If the table is unavailable, it stays where nobody can read it, and TTL deletes all but preferences for mail.
        """
        try:
            await self._users.clear(user_id)
        except TableUnavailable:
            log.warning("account_not_cleared", account_id=user_id)

    async def _get_changeable(self, user_id: str, expected: Expected | Precondition) -> User:
        user = await self.get(user_id)
        Precondition.of(expected).check(user.version)
        if user.role is Role.SUPER_ADMIN:
            raise SuperAdminProtected
        return user

    def _changed(self, before: User, changes: UserChanges) -> User:
        after = replace(
            before,
            email=before.email if changes.email is None else changes.email,
            name=before.name if changes.name is None else changes.name,
            role=before.role if changes.role is None else changes.role,
            active=before.active if changes.active is None else changes.active,
        )
        if after == before and changes.password is None:
            return before
        ends_sessions = (
            after.role is not before.role or changes.password is not None or (before.active and not after.active)
        )
        ends_keys = (before.active and not after.active) or (
            before.role in PRODUCT_MANAGERS and after.role not in PRODUCT_MANAGERS
        )
        return replace(
            after,
            session_epoch=before.session_epoch + ends_sessions,
            key_epoch=before.key_epoch + ends_keys,
            version=before.version + 1,
            updated_at=max(self._clock(), before.updated_at),
        )

    async def _new_user(self, draft: UserDraft) -> tuple[User, str]:
        """Return a new account and the hash of its password."""
        # A hash costs 0.2 s of a core, so an e-mail that is taken is refused before it. The transaction checks again.
        if await self._users.email_is_taken(draft.email):
            raise EmailTaken
        password_hash = await self._hash_password(draft.password, draft.email, draft.name)
        at = self._clock()
        user = User(
            id=new_id(),
            email=draft.email,
            name=draft.name,
            role=draft.role,
            active=True,
            session_epoch=0,
            version=1,
            created_at=at,
            updated_at=at,
        )
        return user, password_hash

    async def _hash_password(self, password: str, email: str, name: str) -> str:
        await check_password(self._passwords, password, email=email, name=name)
        return await self._passwords.hash(password)
