"""Counts of failed sign-ins, in the table because several processes must agree (R14)."""

from vitrina.store import keys
from vitrina.store.items import FailuresItem
from vitrina.store.table import Table
from vitrina.store.writes import Delete, Update


class LoginAttemptStore:
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

    async def forget(self, subject: str, *, window: int) -> None:
        """Delete a subject's count."""
        await self._table.delete(Delete(keys.failures(subject, window)))
