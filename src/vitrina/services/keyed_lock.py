"""Changes of one thing by many at once: each starts from what the one before left."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from vitrina.errors import Conflict

T = TypeVar("T")
_TRIES: Final = 8
_FIRST_PAUSE: Final = 0.005


class KeyedLock:
    """The writers of one thing in this process take turns, so that only those of other processes are in their way."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def hold(self, key: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return what `attempt` does; it reads, checks and writes, and does so again while others are faster.

        Raises Conflict when they always are, and what `attempt` raises.
        """
        async with self._locks.setdefault(key, asyncio.Lock()):
            for turn in range(_TRIES):
                if turn:
                    await asyncio.sleep(random.uniform(0, _FIRST_PAUSE * 2**turn))  # noqa: S311 - not a secret
                try:
                    return await attempt()
                except Conflict:
                    continue
            raise Conflict
