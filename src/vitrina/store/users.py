"""Accounts in the table (R1 to R4).

An account, the claim of its e-mail address and the hash of its password are written in one transaction.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from vitrina.domain.pages import Page, Position
from vitrina.domain.users import Role, User
from vitrina.errors import Conflict, EmailTaken, LastSuperAdmin, NotFound
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.codecs.accounts import email_claim, password_item, user_from, user_item
from vitrina.store.items import EmailItem, Item, SessionItem, SuperAdminsItem, UserItem
from vitrina.store.keys import Key
from vitrina.store.operations import ABSENT, Delete, Put, Query, Step, Update
from vitrina.store.paging import page
from vitrina.store.passwords import hash_of, have_moved
from vitrina.store.table import Table

_MOST_CLEARED: Final = 1_000


class UserStore:
    """Reads and writes accounts. Reads of single accounts are consistent, since decisions depend on them."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._hashes_have_moved = False

    async def get(self, user_id: str) -> User | None:
        """Return an account by its id: 1 call."""
        item = await self._table.get(keys.user(user_id), consistent=True)
        return user_from(item) if isinstance(item, UserItem) else None

    async def by_email(self, email: str) -> User | None:
        """Return an account by its e-mail: 2 calls, 4 for a domain outside ASCII."""
        found = await self.with_password(email)
        return found and found[0]

    async def with_password(self, email: str) -> tuple[User, str | None] | None:
        """Return an account by its e-mail, and the hash of its password: 2 calls, 4 for a domain outside ASCII.

        Such an account may have its claim where releases before migration 3 put it, which then has precedence.
        """
        for key in keys.emails(email):
            claim = await self._table.get(key, consistent=True)
            # The second call is made for an unknown address too, so that the response time reveals nothing.
            found = await self._password(claim.user_id if isinstance(claim, EmailItem) else new_id())
            if found is not None and keys.email(found[0].email) == keys.email(email):
                return found
        return None

    async def password_hash(self, user_id: str) -> str | None:
        """Return the hash of an account's password: 1 call. None if the account is gone."""
        found = await self._password(user_id)
        return found and found[1]

    async def email_is_taken(self, email: str) -> bool:
        """Return whether an account has this e-mail: 1 call, 4 for a domain outside ASCII.

        The transaction decides; this avoids a needless hash, and finds claims of before migration 3.
        """
        if len(keys.emails(email)) > 1:
            return await self.by_email(email) is not None
        return await self._table.get(keys.email(email), consistent=True) is not None

    async def page(self, *, role: Role | None, limit: int, start: Position | None) -> Page[User]:
        """Read a page of all accounts or of those of a role, newest first."""
        if role is None:
            query = Query(condition=Item.listing == keys.USERS, index=keys.LISTING_BY_TIME, descending=True)
        else:
            query = Query(
                condition=Item.listing_group == keys.role_group(role), index=keys.GROUP_BY_TIME, descending=True
            )
        return await page(self._table, query, UserItem, user_from, limit=limit, start=start)

    async def create(self, user: User, password_hash: str, *, also: Sequence[Step] = ()) -> None:
        """Write a new account and claim its e-mail. Raises EmailTaken and the errors of the steps in `also`.

        Makes a call before to see whether hashes have moved, until they have.
        """
        self._hashes_have_moved = self._hashes_have_moved or await have_moved(self._table)
        if not self._hashes_have_moved:
            user = replace(user, password_hash=password_hash)
        steps = [*also, _claim_email(user), Step(Put(user_item(user), ABSENT), _lost_race)]
        if user.password_hash is None:
            steps.append(Step(Put(password_item(user.id, password_hash))))
        if user.role is Role.SUPER_ADMIN:
            steps.append(_count_super_admin())
        await self._table.commit(steps)

    async def update(
        self, before: User, after: User, *, password_hash: str | None = None, keep_session: str | None = None
    ) -> None:
        """Write the next version of an account, with a new `password_hash` if there is one.

        An account of before migration 4 keeps its form, so that older processes find its hash. A higher
        `session_epoch` ends all sessions except `keep_session`, which gets the new epoch. Raises Conflict if `before`
        is not the stored version, NotFound, EmailTaken, LastSuperAdmin.
        """
        if password_hash is not None and before.password_hash is not None:
            after = replace(after, password_hash=password_hash)
        steps = [Step(Put(user_item(after), UserItem.version == before.version), _lost_race)]
        if password_hash is not None and before.password_hash is None:
            steps.append(Step(Put(password_item(after.id, password_hash))))
        if keys.emails(before.email) != keys.emails(after.email):
            if len(keys.emails(after.email)) > 1:
                # Its holder may have a claim of before migration 3, which is not where the transaction looks.
                holder = await self.by_email(after.email)
                if holder is not None and holder.id != after.id:
                    raise EmailTaken
            claimed = await self._claimed(before)
            if keys.email(after.email) not in claimed:
                steps.append(_claim_email(after))
            steps += [_release(key, before) for key in claimed if key != keys.email(after.email)]
        if keep_session is not None:
            steps.append(
                Step(
                    Update(
                        keys.session(after.id, keep_session),
                        [SessionItem.epoch.set(after.session_epoch)],
                        SessionItem.epoch == before.session_epoch,
                    ),
                    _lost_race,
                )
            )
        if before.role is Role.SUPER_ADMIN and after.role is not Role.SUPER_ADMIN:
            steps.append(_discount_super_admin())
        if before.role is not Role.SUPER_ADMIN and after.role is Role.SUPER_ADMIN:
            steps.append(_count_super_admin())
        await self._table.commit(steps)

    async def delete(self, user: User) -> None:
        """Delete an account and release its e-mail. Raises Conflict, NotFound, LastSuperAdmin."""
        steps = [
            Step(Delete(keys.user(user.id), UserItem.version == user.version), _lost_race),
            Step(Delete(keys.password(user.id))),
            *(_release(key, user) for key in await self._claimed(user)),
        ]
        if user.role is Role.SUPER_ADMIN:
            steps.append(_discount_super_admin())
        await self._table.commit(steps)

    async def clear(self, user_id: str) -> None:
        """Delete the other items in the partition of a deleted account: sessions, notices, preferences, mail.

        One call deletes at most 1,000 items, the newest notices first, so that a request has time for it. Nobody can
        read the rest without an account, and TTL deletes it.
        """
        query = Query(condition=Item.pk == keys.user(user_id).pk, descending=True, consistent=True)
        items, _ = await self._table.query(query, limit=_MOST_CLEARED)
        await self._table.delete_many(item.key for item in items)

    async def _password(self, user_id: str) -> tuple[User, str | None] | None:
        """Return an account and the hash of its password: 1 call."""
        wanted = [keys.user(user_id), keys.password(user_id)]
        found = await self._table.get_many(wanted, consistent=True)
        user, password = (found.get(key) for key in wanted)
        return (user_from(user), hash_of(user, password)) if isinstance(user, UserItem) else None

    async def _claimed(self, user: User) -> list[Key]:
        """Return the keys of an account's claims: no call, 2 for a domain outside ASCII."""
        wanted = keys.emails(user.email)
        if len(wanted) == 1:
            return list(wanted)
        found = [await self._table.get(key, consistent=True) for key in wanted]
        return [item.key for item in found if isinstance(item, EmailItem) and item.user_id == user.id]


def _claim_email(user: User) -> Step:
    return Step(Put(email_claim(user), ABSENT), lambda _: EmailTaken())


def _release(key: Key, user: User) -> Step:
    # The account's own step, which comes first, tells whether the account is gone.
    return Step(Delete(key, EmailItem.user_id == user.id), lambda _: Conflict())


def _count_super_admin() -> Step:
    return Step(Update(keys.SUPER_ADMINS, [SuperAdminsItem.members.add(1), *_SUPER_ADMINS_TYPE]))


def _discount_super_admin() -> Step:
    """Decrement the count of super_admins, but never below one (R1)."""
    return Step(
        Update(keys.SUPER_ADMINS, [SuperAdminsItem.members.add(-1)], SuperAdminsItem.members > 1),
        lambda _: LastSuperAdmin(),
    )


_SUPER_ADMINS_TYPE: Final = [SuperAdminsItem.type.set(SuperAdminsItem), SuperAdminsItem.v.set(1)]


def _lost_race(item: Item | None) -> Exception:
    return NotFound() if item is None else Conflict()
