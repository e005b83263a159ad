"""The consumer of the queue: takes messages, keeps them hidden while it works, deletes those that were told.

What cannot be told because the table does not answer is kept and tried again here, so that an outage does not send
messages to the dead letters; what is poison is left to the queue, which moves it there after `queue_max_receives`.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final, Protocol

import structlog

from vitrina.clock import Clock, now
from vitrina.errors import QueueUnavailable, VitrinaError
from vitrina.metrics import MESSAGES, QUEUE_AGE
from vitrina.queue.channel import Received
from vitrina.workers.notification_handler import Outcome
from vitrina.workers.running import pause

log = structlog.get_logger(__name__)

_WAIT: Final = 2.0
"""Seconds that a receive waits for a message, which a stop waits for: a receive that is cut off hides what it took."""
_EXTENSIONS: Final = 3
"""Times that a message is hidden anew before it would be seen again."""
_TRIES: Final = 5
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_MOST_DOUBLINGS: Final = 10


class MessageSource(Protocol):
    """Where messages come from: `vitrina.queue.notices.NoticeQueue`."""

    async def receive(self, *, wait: float) -> list[Received]: ...  # noqa: D102
    async def delete(self, received: list[Received]) -> list[Received]: ...  # noqa: D102
    async def extend(self, received: list[Received], seconds: int) -> list[Received]: ...  # noqa: D102


class Consumer:
    """One consumer; any number of them share a queue."""

    def __init__(
        self,
        queue: MessageSource,
        tell: Callable[[dict[str, str]], Awaitable[Outcome]],
        *,
        probe: Callable[[], Awaitable[None]],
        on_mail: Callable[[], None],
        visibility: int,
        clock: Clock = now,
    ) -> None:
        """Take the queue, what tells, what raises while the table does not answer, and whom to wake for mail."""
        self._queue = queue
        self._tell = tell
        self._probe = probe
        self._on_mail = on_mail
        self._visibility = visibility
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; what is at hand then is finished, or given back if the table does not answer."""
        failures = 0
        while not stop.is_set():
            try:
                received = await self._queue.receive(wait=_WAIT)
                if received:
                    await self.handle(received, stop)
                failures = 0
            except QueueUnavailable:
                failures += 1
                await pause(stop, _pause_after(failures))

    async def handle(self, received: list[Received], stop: asyncio.Event) -> None:
        """Tell of messages until each is told or left to the queue. Raises QueueUnavailable."""
        left = {message.id: message for message in received}
        async with self._hidden(left):
            for attempt in itertools.count(1):
                outcome = await self._tell({message.id: message.body for message in left.values()})
                if outcome.mail_is_due:
                    self._on_mail()
                await self._settle(left, outcome)
                if not left:
                    return
                if stop.is_set() or (attempt >= _TRIES and await self._table_answers()):
                    break
                await pause(stop, _pause_after(attempt))
        MESSAGES.labels("failed").inc(len(left))
        await self._leave(left.values())

    async def _table_answers(self) -> bool:
        try:
            await self._probe()
        except VitrinaError:
            return False
        return True

    async def _settle(self, left: dict[str, Received], outcome: Outcome) -> None:
        """Take out of `left` what came to its end: what was told is deleted, what is poison waits for its next try."""
        done = [left.pop(message_id) for message_id in outcome.done]
        poison = [left.pop(message_id) for message_id in outcome.poison]
        if done:
            await self._queue.delete(done)
            oldest = min(message.sent_at for message in done)
            QUEUE_AGE.set(max(0.0, (self._clock() - oldest).total_seconds()))
            MESSAGES.labels("told").inc(len(done))
        MESSAGES.labels("poison").inc(len(poison))
        await self._leave(poison)

    async def _leave(self, messages: Iterable[Received]) -> None:
        """Let messages be seen again soon, later with each time: their group waits behind them."""
        for receives, group in itertools.groupby(sorted(messages, key=_receives), key=_receives):
            await self._queue.extend(list(group), min(2 ** (receives - 1), self._visibility))

    @asynccontextmanager
    async def _hidden(self, left: dict[str, Received]) -> AsyncIterator[None]:
        """Keep hidden what is in `left`, however long it takes."""
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
                continue  # The queue has logged it, and there is time for another try.
            if lost:
                log.warning("messages_lost", messages=[message.id for message in lost])


def _receives(message: Received) -> int:
    return message.receives


def _pause_after(failures: int) -> float:
    return min(_FIRST_PAUSE * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), _LONGEST_PAUSE)
