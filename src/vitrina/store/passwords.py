"""Where the hash of a password is (R14): in an item of its own, which no index copies.

Releases before migration 4 have it in the account's item. A process of such a release finds it nowhere else, so new
accounts get that form until the migration has begun, and an account keeps it until the migration moves its hash.

A hash in the account's item is always the newest. One transaction takes it out and writes the other item, and no later
write brings it back, except one by an older release, or by a process that had read the account before that transaction;
both write the hash that is then valid. The check of the table finds such an account, and moves its hash again.
"""

from dataclasses import dataclass
from typing import Final

from vitrina.errors import Conflict
from vitrina.store import keys
from vitrina.store.codecs.accounts import password_item
from vitrina.store.findings import Diagnosis, Finding, Problem
from vitrina.store.items import Item, PasswordItem, UserItem
from vitrina.store.keys import Key
from vitrina.store.operations import Put, Step, Update
from vitrina.store.table import Table

_BASELINE: Final = keys.migration(1)
_MOVE: Final = keys.migration(4)


async def have_moved(table: Table) -> bool:
    """Return whether hashes have items of their own, since migration 4 or from the table's beginning: 1 call."""
    found = await table.get_many([_BASELINE, _MOVE], consistent=True)
    return _MOVE in found or _BASELINE not in found


def hash_of(user: UserItem, password: Item | None) -> str | None:
    """Return the hash of an account's password, given its item and what is at `keys.password`."""
    own = password.password_hash if isinstance(password, PasswordItem) else None
    return user.password_hash or own


def moving(user: UserItem) -> list[Step]:
    """Return the transaction that moves the hash out of an account's item. Its steps raise Conflict."""
    unchanged = (UserItem.version == user.version) & (UserItem.password_hash == user.password_hash)
    return [
        Step(Update(user.key, [UserItem.password_hash.remove()], unchanged), lambda _: Conflict()),
        Step(Put(password_item(user.id, user.password_hash))),
    ]


@dataclass(frozen=True, slots=True)
class MisplacedPassword:
    """An account whose hash is in its own item although hashes have moved."""

    user_key: Key

    async def examine(self, table: Table) -> Diagnosis | None:
        """Read the account."""
        user = await table.get(self.user_key, consistent=True)
        if not isinstance(user, UserItem) or user.password_hash is None:
            return None
        detail = f"{user.pk}/{user.sk} holds the hash of its password, as a release before migration 4 wrote it"
        return Diagnosis(Finding(what="password", problem=Problem.MISPLACED, detail=detail), moving(user))
