"""Consumes the queue: receives messages, keeps them hidden while they are handled, deletes those that are done.

Messages that fail because the table is unavailable are retried here, so an outage sends none to the dead letters.
Poison messages are left to the queue, which moves them there after `queue_max_receives` receives.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, Protocol

import structlog

from vitrina.backoff import Backoff
from vitrina.clock import Clock, now
from vitrina.errors import QueueUnavailable, VitrinaError
from vitrina.metrics import MESSAGES, QUEUE_AGE, WORKER_FAILURES
from vitrina.queue.channel import Received
from vitrina.workers.running import pause

log = structlog.get_logger(__name__)

_WAIT: Final = 2.0
"""Seconds that a receive waits for a message. A stop waits for it too: a cancelled receive would hide its messages."""
_EXTENSIONS: Final = 3
"""Extensions in a visibility timeout, so that one may fail."""
_ATTEMPTS: Final = 5
_RETRY: Final = Backoff(first=0.2, longest=5, jitter=0)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The results of messages, by their ids.

    Messages that are `done` can be deleted. Those that `failed` can be retried. `poison` messages fail at every attempt
    until their cause is repaired: they belong among the dead letters.
    """

    done: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    poison: set[str] = field(default_factory=set)
    mail_is_due: bool = False


class MessageSource(Protocol):
    """A queue to consume: `vitrina.queue.channel.Channel`."""

    async def receive(self, *, wait: float) -> list[Received]: ...  # noqa: D102
    async def delete(self, received: list[Received]) -> list[Received]: ...  # noqa: D102
    async def extend(self, received: list[Received], seconds: int) -> list[Received]: ...  # noqa: D102


class Consumer:
    """Passes messages to `handle`; any number of consumers may share a queue.

    `probe` raises VitrinaError while the table is unavailable, `on_mail` is called when mail is due, and `visibility`
    is the queue's visibility timeout in seconds.
    """

    def __init__(
        self,
        queue: MessageSource,
        handle: Callable[[dict[str, str]], Awaitable[Outcome]],
        *,
        probe: Callable[[], Awaitable[None]],
        on_mail: Callable[[], None],
        visibility: int,
        clock: Clock = now,
        backoff: Backoff = _RETRY,
    ) -> None:
        self._queue = queue
        self._handle = handle
        self._probe = probe
        self._on_mail = on_mail
        self._visibility = visibility
        self._clock = clock
        self._backoff = backoff

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; then finish the current messages, or release them in a table outage."""
        failures = 0
        while not stop.is_set():
            try:
                received = await self._queue.receive(wait=_WAIT)
                if received:
                    await self._consume(received, stop)
                failures = 0
            except QueueUnavailable:
                failures += 1
                WORKER_FAILURES.labels("use the queue").inc()
                await pause(stop, self._backoff.pause(failures))

    async def _consume(self, received: list[Received], stop: asyncio.Event) -> None:
        """Handle messages until each is done or left to the queue. Raises QueueUnavailable."""
        left = {message.id: message for message in received}
        async with self._hidden(left):
            for attempt in itertools.count(1):
                outcome = await self._handle({message.id: message.body for message in left.values()})
                if outcome.mail_is_due:
                    self._on_mail()
                await self._settle(left, outcome)
                if not left:
                    return
                WORKER_FAILURES.labels("write notices").inc()
                if stop.is_set() or (attempt >= _ATTEMPTS and await self._table_is_available()):
                    break
                await pause(stop, self._backoff.pause(attempt))
        MESSAGES.labels("failed").inc(len(left))
        await self._release(left.values())

    async def _table_is_available(self) -> bool:
        try:
            await self._probe()
        except VitrinaError:
            return False
        return True

    async def _settle(self, left: dict[str, Received], outcome: Outcome) -> None:
        """Remove the settled messages from `left`: delete those that are done, release the poison ones."""
        done = [left.pop(message_id) for message_id in outcome.done]
        poison = [left.pop(message_id) for message_id in outcome.poison]
        if done:
            await self._queue.delete(done)
            oldest = min(message.sent_at for message in done)
            QUEUE_AGE.set(max(0.0, (self._clock() - oldest).total_seconds()))
            MESSAGES.labels("told").inc(len(done))
        MESSAGES.labels("poison").inc(len(poison))
        await self._release(poison)

    async def _release(self, messages: Iterable[Received]) -> None:
        """Make messages visible again soon, later with each receive: the rest of their group waits behind them."""
        receives = attrgetter("receives")
        for number, group in itertools.groupby(sorted(messages, key=receives), key=receives):
            await self._queue.extend(list(group), min(2 ** (number - 1), self._visibility))

    @asynccontextmanager
    async def _hidden(self, left: dict[str, Received]) -> AsyncIterator[None]:
        """Keep the messages in `left` hidden, however long their handling takes."""
        task = asyncio.create_task(self._keep_hidden(left))
        try:
            yield
        finally:
            task.cancel()

    async def _keep_hidden(self, left: dict[str, Received]) -> None:
        while True:
            await asyncio.sleep(self._visibility / _EXTENSIONS)
            try:
                lost = await self._queue.extend(list(left.values()), self._visibility)
            except QueueUnavailable:
                continue  # Already logged; the visibility timeout leaves time for another attempt.
            if lost:
                log.warning("message_receipts_lost", messages=[message.id for message in lost])
