"""Passwords: bcrypt in a bounded pool of threads, and a check against easily guessed ones (R14)."""

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
"""Below it zxcvbn calls a password "very guessable": common passwords, and simple variations of them."""
_ESTIMATED_LENGTH: Final = 20
"""Characters that zxcvbn gets to see: 72 characters of l33t substitutions take it 10 s, 20 take 0.4 s at most."""
_ESTIMATE_LOCK: Final = threading.Lock()
"""zxcvbn stores `user_inputs` in a module-level dictionary, which two threads must not share."""


class Passwords:
    """Hashes and checks passwords in threads, because one hash would block the event loop for 0.2 s.

    `cost` is bcrypt's (log2 of the rounds). A check waits up to `wait` seconds for one of `workers` threads, and up to
    `queue` checks wait. New passwords get at most half of the threads, so many registrations cannot block sign-ins.
    """

    def __init__(self, *, cost: int, wait: float, workers: int = _WORKERS, queue: int = _QUEUE) -> None:
        self._cost = cost
        self._threads = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="password")
        self._checks = _Share(self._threads, at_once=workers, queue=queue, wait=wait)
        self._new = _Share(self._threads, at_once=max(workers // 2, 1), queue=queue, wait=wait)
        self._decoy_hash = bcrypt.hashpw(b"nobody has this password", bcrypt.gensalt(cost)).decode()

    async def hash(self, password: str) -> str:
        """Return the hash of a new password. Raises Overloaded when no thread is free in time."""
        return await self._new.run(lambda: bcrypt.hashpw(_digest(password), bcrypt.gensalt(self._cost)).decode())

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Return whether a password has this hash; without a hash, return False after the same time.

        Raises Overloaded when no thread is free in time.
        """
        wanted = (password_hash or self._decoy_hash).encode()
        same = await self._checks.run(lambda: bcrypt.checkpw(_digest(password), wanted))
        return same and password_hash is not None

    async def is_common(self, password: str, *, context: tuple[str, ...]) -> bool:
        """Return whether a password is easily guessed, given `context`: the account's own name and address.

        Raises Overloaded when no thread is free in time.
        """
        words = {"vitrina", *context, *re.split(r"\W+", " ".join(context))}
        if fold(password) in map(fold, words):
            return True
        return await self._new.run(lambda: _guesses(password[:_ESTIMATED_LENGTH], sorted(words)) < _FEWEST_GUESSES)

    def close(self) -> None:
        """Stop the threads, without waiting for them."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Share:
    """A share of the threads: up to `at_once` jobs run, and up to `queue` jobs wait for `wait` seconds each."""

    def __init__(self, threads: ThreadPoolExecutor, *, at_once: int, queue: int, wait: float) -> None:
        self._threads = threads
        self._free = asyncio.Semaphore(at_once)
        self._queue = queue
        self._wait = wait
        self.waiting = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread and return its result. Raises Overloaded when none is free in time."""
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
        # The thread is free when its work is done, not when the waiting request is cancelled.
        job.add_done_callback(lambda _: _release(self._free, loop))
        return await asyncio.wrap_future(job)


def _release(free: asyncio.Semaphore, loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(RuntimeError):  # The loop is closed, so nothing waits for the thread.
        loop.call_soon_threadsafe(free.release)


def _guesses(password: str, words: list[str]) -> int:
    from zxcvbn import zxcvbn  # type: ignore[import-untyped]  # noqa: PLC0415 - 12 MB, for new passwords alone

    with _ESTIMATE_LOCK:
        return int(zxcvbn(password, user_inputs=words)["guesses"])


def _digest(password: str) -> bytes:
    """Return 44 bytes that depend on the whole password: bcrypt takes at most 72 bytes, and no NUL.

    The password is normalised first, since keyboards encode accented letters differently (NIST SP 800-63B-4, section
    3.1.1.2).
    """
    return base64.b64encode(hashlib.sha256(unicodedata.normalize("NFKC", password).encode()).digest())
