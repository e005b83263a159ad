"""Counts of failed sign-ins, in the table because several processes must agree (R14)."""

from collections.abc import Sequence

from vitrina.store import keys
from vitrina.store.items import FailuresItem
from vitrina.store.table import Table
from vitrina.store.writes import Delete, Update


class FailureStore:
    """Counts tries a window; a window's item is not read after it and TTL deletes it."""

    def __init__(self, table: Table) -> None:
        """Take the table."""
        self._table = table

    async def add(self, subject: str, *, window: int, seconds: int, number: int) -> int:
        """Add `number` tries to a subject's count and return it: 1 call. `seconds` is a window's length."""
        item = await self._table.update(
            Update(
                keys.failures(subject, window),
                [
                    FailuresItem.tries.add(number),
                    FailuresItem.type.set(FailuresItem),
                    FailuresItem.v.set(1),
                    FailuresItem.expires_at.set((window + 2) * seconds),
                ],
            )
        )
        return item.tries if isinstance(item, FailuresItem) else 0

    async def count(self, subjects: Sequence[str], *, window: int) -> list[int]:
        """Read the counts of several subjects: 1 call."""
        wanted = [keys.failures(subject, window) for subject in subjects]
        found = await self._table.get_many(wanted, consistent=True)
        items = (found.get(key) for key in wanted)
        return [item.tries if isinstance(item, FailuresItem) else 0 for item in items]

    async def forget(self, subject: str, *, window: int) -> None:
        """Delete a subject's count."""
        await self._table.delete(Delete(keys.failures(subject, window)))
