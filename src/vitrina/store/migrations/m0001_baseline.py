"""0001: starts the ledger, after making sure that the table has no foreign items."""

from typing import Final

from vitrina.store.items import Item
from vitrina.store.migrations.ledger import Ledger
from vitrina.store.operations import Scan
from vitrina.store.table import Table

NAME: Final = "baseline"
_SAMPLE: Final = 1_000


class ForeignItems(Exception):
    """The table holds items that are not Vitrina's: set VITRINA_TABLE_NAME to a table of its own."""

    def __str__(self) -> str:
        return str(self.__doc__)


async def run(table: Table, _: Ledger) -> None:
    """Reject a table with items of another application. Raises ForeignItems."""
    await look_for_foreign_items(table)


async def look_for_foreign_items(table: Table) -> None:
    """Raise ForeignItems if one of the first thousand items lacks what each of Vitrina's has: 1 call."""
    only = Item.type.does_not_exist() | Item.v.does_not_exist()
    try:
        foreign, _position = await table.scan(Scan(filter=only, consistent=True), limit=_SAMPLE)
    except (TypeError, ValueError) as error:  # There is no class for what was found.
        raise ForeignItems from error
    if foreign:
        raise ForeignItems
