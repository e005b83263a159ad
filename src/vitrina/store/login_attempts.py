"""Counts of login attempts (R14), in the table so that all processes share them."""

from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.items import LoginAttemptsItem, expect_type
from vitrina.store.operations import Delete, Update
from vitrina.store.table import ConditionFailed, Table


class LoginAttemptStore:
    """Counts the attempts of a subject in each window. A window's item is not used after it, and TTL deletes it."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def add(self, subject: str, *, window: int, seconds: int, number: int) -> int:
        """Add `number` attempts to a subject's count and return it: 1 call. `seconds` is the length of a window.

        A call whose response is lost counts once, unless another one has counted on the subject before it is repeated.
        """
        this, last = new_id(), LoginAttemptsItem.last
        update = Update(
            keys.login_attempts(subject, window),
            [
                LoginAttemptsItem.tries.add(number),
                LoginAttemptsItem.type.set(LoginAttemptsItem),
                LoginAttemptsItem.v.set(1),
                LoginAttemptsItem.expires_at.set((window + 2) * seconds),
                last.set(this),
            ],
            last.does_not_exist() | (last != this),
        )
        try:
            item = await self._table.update(update)
        except ConditionFailed as failure:
            item = expect_type(failure.item, LoginAttemptsItem)  # What this call has written itself.
        return expect_type(item, LoginAttemptsItem).tries

    async def forget(self, subject: str, *, window: int) -> None:
        """Delete a subject's count."""
        await self._table.delete(Delete(keys.login_attempts(subject, window)))
