"""0004: moves the hashes of passwords out of the accounts' items, which two indexes copy, into items of their own.

Run it after every process runs this release: at an older one nobody signs in to an account whose hash has moved.
"""

from typing import Final

from vitrina.errors import Conflict
from vitrina.store.items import Item, UserItem
from vitrina.store.migrations.ledger import Ledger
from vitrina.store.passwords import moving
from vitrina.store.table import Table

NAME: Final = "password hashes"


async def run(table: Table, ledger: Ledger) -> None:
    """Move each account's hash, under a condition on the account's version and on the hash."""

    async def visit(item: Item | None) -> bool:
        while isinstance(item, UserItem) and item.password_hash is not None:
            try:
                await table.commit(moving(item))
            except Conflict:
                item = await table.get(item.key, consistent=True)
            else:
                return True
        return False

    await ledger.sweep(visit, only=Item.type.is_in(UserItem))
