"""Accounts in the table (R1 to R4): each with the item that makes its e-mail unique, in one transaction."""

from collections.abc import Sequence
from typing import Final

from vitrina.domain.pages import Page, Position
from vitrina.domain.text import fold
from vitrina.domain.users import Role, User
from vitrina.errors import Conflict, EmailTaken, LastSuperAdmin, NotFound
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.items import EmailItem, Item, SessionItem, SuperAdminsItem, UserItem
from vitrina.store.paging import page
from vitrina.store.reads import Query
from vitrina.store.table import Table
from vitrina.store.transactions import Step, commit
from vitrina.store.writes import Delete, Put, Update

_ABSENT: Final = Item.pk.does_not_exist()
_MOST_CLEARED: Final = 1_000


class UserStore:
    """Reads and writes accounts. Reads are consistent, since decisions rest on them."""

    def __init__(self, table: Table) -> None:
        """Take the table."""
        self._table = table

    async def get(self, user_id: str) -> User | None:
        """Read an account by its id: 1 call."""
        item = await self._table.get(keys.user(user_id), consistent=True)
        return user_from(item) if isinstance(item, UserItem) else None

    async def by_email(self, email: str) -> User | None:
        """Read an account by its e-mail, without regard to case: 2 calls."""
        claim = await self._table.get(keys.email(email), consistent=True)
        # The second call is made for nobody too, so that the time tells nothing.
        return await self.get(claim.user_id if isinstance(claim, EmailItem) else new_id())

    async def email_is_taken(self, email: str) -> bool:
        """Say whether an account has this e-mail: 1 call. Only the transaction decides; this spares a hash."""
        return await self._table.get(keys.email(email), consistent=True) is not None

    async def page(self, *, role: Role | None, limit: int, start: Position | None) -> Page[User]:
        """Read a page of accounts, all or those of a role, newest first."""
        if role is None:
            query = Query(condition=Item.listing == keys.USERS, index=keys.LISTING_BY_TIME, descending=True)
        else:
            query = Query(
                condition=Item.listing_group == keys.role_group(role), index=keys.GROUP_BY_TIME, descending=True
            )
        return await page(self._table, query, limit=limit, start=start, decode=_user)

    async def create(self, user: User, *, also: Sequence[Step] = ()) -> None:
        """Write a new account and claim its e-mail. Raises EmailTaken, and what the steps of `also` raise."""
        steps = [*also, _claim_email(user), Step(Put(user_item(user), _ABSENT), _gone_or_changed)]
        if user.role is Role.SUPER_ADMIN:
            steps.append(_count_super_admin())
        await commit(self._table, steps)

    async def update(self, before: User, after: User, *, keep_session: str | None = None) -> None:
        """Write the next version. Raises Conflict when `before` is not the version there, EmailTaken, LastSuperAdmin.

        A higher `session_epoch` ends every session but `keep_session`, which is written with the new epoch.
        """
        steps = [Step(Put(user_item(after), UserItem.version == before.version), _gone_or_changed)]
        if fold(before.email) != fold(after.email):
            steps += [_claim_email(after), _free_email(before)]
        if keep_session is not None:
            steps.append(
                Step(
                    Update(
                        keys.session(after.id, keep_session),
                        [SessionItem.epoch.set(after.session_epoch)],
                        SessionItem.epoch == before.session_epoch,
                    ),
                    _gone_or_changed,
                )
            )
        if before.role is Role.SUPER_ADMIN and after.role is not Role.SUPER_ADMIN:
            steps.append(_discount_super_admin())
        if before.role is not Role.SUPER_ADMIN and after.role is Role.SUPER_ADMIN:
            steps.append(_count_super_admin())
        await commit(self._table, steps)

    async def delete(self, user: User) -> None:
        """Delete an account and free its e-mail. Raises Conflict, LastSuperAdmin."""
        steps = [
            Step(Delete(keys.user(user.id), UserItem.version == user.version), _gone_or_changed),
            _free_email(user),
        ]
        if user.role is Role.SUPER_ADMIN:
            steps.append(_discount_super_admin())
        await commit(self._table, steps)

    async def clear(self, user_id: str) -> None:
        """Delete what is left in the partition of a deleted account: sessions, inbox, what it wanted to be mailed.

        That is up to 1,000 items, newest notices first, so that a request has time for it. What is more expires, and
        nobody can read it: the account's absence ends it all.
        """
        query = Query(condition=Item.pk == keys.user(user_id).pk, descending=True, consistent=True)
        items, _ = await self._table.query(query, limit=_MOST_CLEARED)
        await self._table.delete_many(keys.Key(item.pk, item.sk) for item in items)


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


def _user(item: Item) -> User:
    assert isinstance(item, UserItem)  # noqa: S101 - only accounts carry these index keys
    return user_from(item)


def _claim_email(user: User) -> Step:
    return Step(Put(EmailItem.keyed(keys.email(user.email), user_id=user.id), _ABSENT), lambda _: EmailTaken())


def _free_email(user: User) -> Step:
    return Step(Delete(keys.email(user.email), EmailItem.user_id == user.id), _gone_or_changed)


def _count_super_admin() -> Step:
    return Step(Update(keys.SUPER_ADMINS, [SuperAdminsItem.members.add(1), *_SUPER_ADMINS_TYPE]))


def _discount_super_admin() -> Step:
    """Take one super_admin off the count, but never the last (R1)."""
    return Step(
        Update(keys.SUPER_ADMINS, [SuperAdminsItem.members.add(-1)], SuperAdminsItem.members > 1),
        lambda _: LastSuperAdmin(),
    )


_SUPER_ADMINS_TYPE: Final = [SuperAdminsItem.type.set(SuperAdminsItem), SuperAdminsItem.v.set(1)]


def _gone_or_changed(item: Item | None) -> Exception:
    return NotFound() if item is None else Conflict()
