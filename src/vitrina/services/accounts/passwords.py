"""Passwords: bcrypt in a bounded pool of threads, and a check against easily guessed ones (R14)."""

import asyncio
import base64
import contextlib
import hashlib
import re
import threading
import unicodedata
from collections import deque
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
_OF_ONE_OWNER: Final = 8
"""Checks of one account that may wait: 1.6 s. A crowd that guesses its password delays its owner by no more."""
_FEWEST_GUESSES: Final = 10**6
"""Below it zxcvbn calls a password "very guessable": common passwords, and simple variations of them."""
_ESTIMATED_LENGTH: Final = 20
"""Characters that zxcvbn gets to see: 72 characters of l33t substitutions take it 10 s, 20 take 0.4 s at most."""
_LONGEST_COMMON: Final = 32
"""Characters of the longest password that is estimated: a longer one is hard to guess, however it begins."""
_NO_DIGEST: Final = "." * 31
"""Stands for the digest in a hash that nobody has: a check takes as long as any, and making it takes none of that."""
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
        self._decoy_hash = bcrypt.gensalt(cost).decode() + _NO_DIGEST

    async def hash(self, password: str) -> str:
        """Return the hash of a new password. Raises Overloaded when no thread is free in time."""
        return await self._new.run(lambda: bcrypt.hashpw(_digest(password), bcrypt.gensalt(self._cost)).decode())

    async def matches(self, password: str, password_hash: str | None, *, owner: str = "") -> bool:
        """Return whether a password has this hash; without a hash, return False after the same time.

        Owners, which are accounts or sessions, get threads in turn. Raises Overloaded when no thread is free in time,
        and at once when many checks of the owner wait.
        """
        wanted = (password_hash or self._decoy_hash).encode()
        same = await self._checks.run(lambda: bcrypt.checkpw(_digest(password), wanted), owner=owner)
        return same and password_hash is not None

    async def is_common(self, password: str, *, context: tuple[str, ...]) -> bool:
        """Return whether a password is easily guessed, given `context`: the account's own name and address.

        Raises Overloaded when no thread is free in time.
        """
        words = {"vitrina", *context, *re.split(r"\W+", " ".join(context))}
        if fold(password) in map(fold, words):
            return True
        if len(password) > _LONGEST_COMMON:
            return False
        return await self._new.run(lambda: _guesses(password[:_ESTIMATED_LENGTH], sorted(words)) < _FEWEST_GUESSES)

    def close(self) -> None:
        """Stop the threads, without waiting for them."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Share:
    """A share of the threads: up to `at_once` jobs run, and up to `queue` jobs wait for `wait` seconds each.

    An owner has one job running at a time, and owners with waiting jobs get free threads in turn. So the many jobs of
    one delay those of another by one job at most, and leave it a processor.
    """

    def __init__(self, threads: ThreadPoolExecutor, *, at_once: int, queue: int, wait: float) -> None:
        self._threads = threads
        self._idle = at_once
        self._queue = queue
        self._wait = wait
        self._running: set[str] = set()
        self._turns: dict[str, deque[asyncio.Future[None]]] = {}
        self.waiting = 0

    async def run(self, work: Callable[[], T], *, owner: str = "") -> T:
        """Run `work` in a thread and return its result. Raises Overloaded when none is free in time."""
        if self._may_run(owner):
            self._take(owner)
        else:
            await self._wait_for_turn(owner)
        loop = asyncio.get_running_loop()
        job = self._threads.submit(work)
        # The thread is free when its work is done, not when the waiting request is cancelled.
        job.add_done_callback(lambda _: _call_soon(loop, lambda: self._release(owner)))
        return await asyncio.wrap_future(job)

    def _may_run(self, owner: str) -> bool:
        """Return whether a thread is idle that this owner may have; work without an owner has no limit of its own."""
        return self._idle > 0 and owner not in self._running

    def _take(self, owner: str) -> None:
        self._idle -= 1
        if owner:
            self._running.add(owner)

    async def _wait_for_turn(self, owner: str) -> None:
        turns = self._turns.setdefault(owner, deque())
        # No owner takes more than half of the queue, so another one's job has a place in it.
        if self.waiting >= self._queue or (owner and len(turns) >= min(_OF_ONE_OWNER, self._queue // 2)):
            self._forget(owner)
            raise Overloaded
        turn = asyncio.get_running_loop().create_future()
        turns.append(turn)
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait):
                await turn
        except BaseException as error:
            if turn.cancelled():
                turns.remove(turn)
                self._forget(owner)
            else:
                self._release(owner)  # The turn came at the same moment.
            if isinstance(error, TimeoutError):
                raise Overloaded from error
            raise
        finally:
            self.waiting -= 1

    def _release(self, owner: str) -> None:
        """Give the thread of an owner's job to the one whose turn it is."""
        self._idle += 1
        self._running.discard(owner)
        following = next((each for each in self._turns if self._may_run(each)), None)
        if following is None:
            return
        turns = self._turns.pop(following)
        turn = turns.popleft()
        if turns:
            self._turns[following] = turns  # Behind the others.
        self._take(following)
        turn.set_result(None)

    def _forget(self, owner: str) -> None:
        if not self._turns.get(owner):
            self._turns.pop(owner, None)


def _call_soon(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # The loop is closed, so nothing waits for the thread.
        loop.call_soon_threadsafe(work)


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
