"""Passwords: hashed by bcrypt in a bounded pool of threads, refused when they are among the commonest (R14)."""

import asyncio
import base64
import contextlib
import hashlib
import re
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import bcrypt
from zxcvbn import zxcvbn  # type: ignore[import-untyped]

from vitrina.domain.text import fold
from vitrina.errors import Overloaded

T = TypeVar("T")

SHORTEST: Final = 12
LONGEST: Final = 128
_WORKERS: Final = 2
"""Threads that run bcrypt."""
_QUEUE: Final = 256
"""Password checks that may wait for a thread; past that they are refused."""
_FEWEST_GUESSES: Final = 10**6
"""Below it zxcvbn calls a password "very guessable": the commonest, and simple dressings of them."""
_ESTIMATED: Final = 20
"""Characters of a password that zxcvbn looks at: of look-alikes of letters, 72 take it ten seconds, 20 at most 0.4."""
_ESTIMATING: Final = threading.Lock()
"""zxcvbn keeps the words it is told in one dictionary of its module, which two threads must not share."""


class Passwords:
    """Hashes and checks, never on the event loop: one hash takes it away for a fifth of a second.

    New passwords have half of the threads at most: a crowd that registers does not keep people from signing in.
    """

    def __init__(self, *, cost: int, wait: float, workers: int = _WORKERS, queue: int = _QUEUE) -> None:
        self._cost = cost
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="password")
        self._checks = _Lane(self._threads, at_once=workers, queue=queue, wait=wait)
        self._new = _Lane(self._threads, at_once=max(workers // 2, 1), queue=queue, wait=wait)
        self._nobodys = bcrypt.hashpw(b"nobody has this password", bcrypt.gensalt(cost)).decode()

    async def hash(self, password: str) -> str:
        """Return a password's hash. Raises Overloaded when no thread is free in time."""
        return await self._new.run(lambda: bcrypt.hashpw(_digest(password), bcrypt.gensalt(self._cost)).decode())

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Say whether a password has this hash; without one it takes the same time and is False."""
        wanted = (password_hash or self._nobodys).encode()
        same = await self._checks.run(lambda: bcrypt.checkpw(_digest(password), wanted))
        return same and password_hash is not None

    async def is_common(self, password: str, *, context: tuple[str, ...]) -> bool:
        """Say whether a password is easily guessed, knowing `context`: the account's own name and address."""
        words = {"vitrina", *context, *re.split(r"\W+", " ".join(context))}
        if fold(password) in map(fold, words):
            return True
        return await self._new.run(lambda: _guesses(password[:_ESTIMATED], sorted(words)) < _FEWEST_GUESSES)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Lane:
    """Work of one kind: so much of it at once, and so much that waits."""

    def __init__(self, threads: ThreadPoolExecutor, *, at_once: int, queue: int, wait: float) -> None:
        self._threads = threads
        self._free = asyncio.Semaphore(at_once)
        self._queue = queue
        self._wait = wait
        self.waiting = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Do work in a thread. Raises Overloaded when none is free in time."""
        if self.waiting >= self._queue:
            raise Overloaded
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait):
                await self._free.acquire()
        except TimeoutError as error:
            raise Overloaded from error
        finally:
            self.waiting -= 1
        loop = asyncio.get_running_loop()
        job = self._threads.submit(work)
        # A thread is free once its work is done, not once whoever waited for that has gone.
        job.add_done_callback(lambda _: _release(self._free, loop))
        return await asyncio.wrap_future(job)


def _release(free: asyncio.Semaphore, loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(RuntimeError):  # The loop is closed, and nobody waits any more.
        loop.call_soon_threadsafe(free.release)


def _guesses(password: str, words: list[str]) -> int:
    with _ESTIMATING:
        return int(zxcvbn(password, user_inputs=words)["guesses"])


def _digest(password: str) -> bytes:
    """Return 44 bytes that stand for the whole password: bcrypt takes 72 bytes at most and no NUL.

    Keyboards differ in how they write a letter and its accent, so the password is normalised first (NIST SP 800-63B-4,
    section 3.1.1.2).
    """
    return base64.b64encode(hashlib.sha256(unicodedata.normalize("NFKC", password).encode()).digest())
