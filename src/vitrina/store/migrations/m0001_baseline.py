"""0001: the table begins its ledger, which says from here on which migrations it has seen."""

from typing import Final

from vitrina.store.items import Item
from vitrina.store.migrations.ledger import Ledger
from vitrina.store.reads import Scan
from vitrina.store.table import Table

NAME: Final = "baseline"
_LOOKED_AT: Final = 1_000


class ForeignItems(Exception):
    """The table holds items that are not Vitrina's: set VITRINA_TABLE_NAME to a table of its own."""

    def __str__(self) -> str:
        return str(self.__doc__)


async def run(table: Table, _: Ledger) -> None:
    """Refuse a table that others write to: its keys may be named alike. Raises ForeignItems."""
    foreign, _position = await table.scan(Scan(filter=Item.type.does_not_exist(), consistent=True), limit=_LOOKED_AT)
    if foreign:
        raise ForeignItems
