"""0003: moves the claims of e-mail addresses to the keys by IDNA 2008 (`keys.email`).

An account whose key there belongs to another account keeps its claim, by which it signs in as before; the ledger notes
both. Run the migration after every process runs this release: older ones do not find a moved claim.
"""

from typing import Final

from vitrina.domain.users import Role, wire_address
from vitrina.errors import Conflict
from vitrina.store import keys
from vitrina.store.codecs.accounts import email_claim
from vitrina.store.items import EmailItem, Item, UserItem
from vitrina.store.migrations.ledger import Ledger
from vitrina.store.operations import ABSENT, Check, Delete, Put, Step, Write
from vitrina.store.table import Table

NAME: Final = "email domains"


async def run(table: Table, ledger: Ledger) -> None:
    """Move each account's claim, under a condition on the account's version and on both claims."""

    async def visit(item: Item | None) -> bool:
        if isinstance(item, UserItem) and item.role != Role.USER and not _gets_mail(item):
            ledger.note(f"{item.role} {item.id} gets no mail: mail servers do not accept the address; change it")
        while isinstance(item, UserItem) and len(places := keys.emails(item.email)) > 1:
            try:
                return await _move(table, ledger, item, *places)
            except Conflict:
                item = await table.get(item.key, consistent=True)
        return False

    await ledger.sweep(visit, only=Item.type.is_in(UserItem))


async def _move(table: Table, ledger: Ledger, user: UserItem, older: keys.Key, wanted: keys.Key) -> bool:
    """Move a claim; returns False if it was moved before or cannot be moved. Raises Conflict."""
    found = await table.snapshot([older, wanted])
    claim, holder = found.get(older), found.get(wanted)
    if not isinstance(claim, EmailItem) or claim.user_id != user.id:
        return False
    writes: list[Write] = [
        Check(user.key, UserItem.version == user.version),
        Delete(older, EmailItem.user_id == user.id),
    ]
    if holder is None:
        writes.append(Put(email_claim(user), ABSENT))
    elif isinstance(holder, EmailItem) and holder.user_id != user.id:
        ledger.note(
            f"accounts {user.id} and {holder.user_id} have the same e-mail address: both sign in as before, "
            f"{user.id} by the spelling it was made with; change one of the addresses"
        )
        return False
    await table.commit([Step(write, lambda _: Conflict()) for write in writes])
    return True


def _gets_mail(user: UserItem) -> bool:
    try:
        wire_address(user.email)
    except ValueError:
        return False
    return True
