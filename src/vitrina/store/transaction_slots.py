"""Limits how many transactions of a process are in flight."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from vitrina.errors import Overloaded, TableUnavailable
from vitrina.store.retries import Tries

AT_ONCE: Final = 16
"""Transactions of one process that are in flight at once, a quarter of the connections that a client keeps.

At 15 ms each they are 1,000 a second, more than a process can prepare. A slow engine gets no more of them than it can
carry out before they time out: with 300 writers, DynamoDB Local on disk did 13 a second instead of 72.
"""
_WAIT: Final = 0.4
"""Share of an operation's deadline for which a transaction waits until it may be sent: 1 s of 2.5 s."""


class TransactionSlots:
    """Slots for `AT_ONCE` transactions, which get them in the order in which they came."""

    def __init__(self, *, deadline: float) -> None:
        """`deadline`, in seconds, is that of an operation (`RetryPolicy`)."""
        self._free = asyncio.Semaphore(AT_ONCE)
        self._longest_wait = _WAIT * deadline

    @asynccontextmanager
    async def hold(self, tries: Tries) -> AsyncIterator[None]:
        """Wait for a slot, and hold it for a try.

        Raises Overloaded, but TableUnavailable if an earlier try may have succeeded, and what `Tries.check_time` does.
        """
        try:
            async with asyncio.timeout(self._longest_wait):
                await self._free.acquire()
        except TimeoutError:
            raise (TableUnavailable if tries.repeats else Overloaded) from None
        try:
            tries.check_time()
            yield
        finally:
            self._free.release()
