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
    foreign, _position = await table.scan(Scan(filter=Item.type.does_not_exist(), consistent=True), limit=_SAMPLE)
    if foreign:
        raise ForeignItems
