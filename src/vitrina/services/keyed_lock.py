"""Concurrent changes of one item: one after the other in this process, retried against other processes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from vitrina.backoff import Backoff
from vitrina.errors import Conflict

T = TypeVar("T")
_TRIES: Final = 8
_BACKOFF: Final = Backoff(first=0.01, longest=0.64)


class KeyedLock:
    """A lock for each key, so that the writers of one item in this process do not conflict with each other."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def hold(self, key: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `attempt`, which reads, checks and writes; it is repeated after a Conflict.

        Raises Conflict when other processes win every time, and whatever else `attempt` raises.
        """
        async with self._locks.setdefault(key, asyncio.Lock()):
            for failures in range(_TRIES):
                if failures:
                    await _BACKOFF.sleep(failures)
                try:
                    return await attempt()
                except Conflict:
                    continue
            raise Conflict
