"""Dead letters for operators: list them, send them to the queue again, delete them.

SQS's own StartMessageMoveTask is not used: no local engine has it, and it keeps the deduplication ids.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from vitrina.queue.channel import Message, Received
from vitrina.queue.notices import NoticeQueue

_HIDDEN: Final = 30
"""Seconds for which letters are hidden from other consumers while they are held."""
_MOST: Final = 1000
"""Letters held at the same time; SQS allows more in flight."""


async def letters(queue: NoticeQueue, *, most: int = _MOST) -> list[Received]:
    """Return the dead letters, oldest first for each product. Raises QueueUnavailable.

    SQS delivers only about the first ten of a product: the others wait behind them in their group.
    """
    async with _held(queue, most=most) as held:
        return list(held)


async def replay(queue: NoticeQueue, *, letter_id: str | None = None) -> list[Received]:
    """Send all dead letters, or the one named, to the queue again; returns those sent. Raises QueueUnavailable.

    Each keeps its group, so the order within a product stays. It gets a deduplication id of its own, because the queue
    would drop the original id within five minutes of its first use. If the process dies between sending and deleting,
    the next replay repeats the new id, and the queue drops the copy.
    """
    sent: list[Received] = []
    while True:
        async with _held(queue, most=_MOST) as held:
            wanted = [letter for letter in held if letter_id in (None, letter.id)]
            messages = [
                Message(body=letter.body, group=letter.group, deduplication_id=f"replay-{letter.id}")
                for letter in wanted
            ]
            refused = {message.deduplication_id for message in await queue.main.send(messages)}
            done = [letter for letter in wanted if f"replay-{letter.id}" not in refused]
            await queue.dead.delete(done)
            held[:] = [letter for letter in held if letter not in done]
        sent += done
        if letter_id is not None or not done:
            return sent


async def purge(queue: NoticeQueue) -> None:
    """Delete all dead letters. Raises QueueUnavailable."""
    await queue.dead.purge()


@asynccontextmanager
async def _held(queue: NoticeQueue, *, most: int) -> AsyncIterator[list[Received]]:
    """Receive dead letters; at the end, release those that are left in the list."""
    held: list[Received] = []
    try:
        while len(held) < most:
            more: Sequence[Received] = await queue.dead.receive(wait=0, hidden=_HIDDEN)
            if not more:
                break
            held += more
        yield held
    finally:
        await queue.dead.extend(held, 0)
