"""What an operator does with dead letters: look at them, send them on their way again, throw them away.

SQS has StartMessageMoveTask for the second, but no local engine does, and it keeps the deduplication ids.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from vitrina.queue.channel import Message, Received
from vitrina.queue.notices import NoticeQueue

_HIDDEN: Final = 30
"""Seconds that letters are hidden from other operators while they are looked at."""
_MOST: Final = 1000
"""Letters that are looked at in one go: SQS lets so many be in flight beside each other, and more."""


async def letters(queue: NoticeQueue, *, most: int = _MOST) -> list[Received]:
    """List the dead letters, oldest first for each product. Raises QueueUnavailable.

    SQS shows the first ten of a product, or a few more: the others stand behind them.
    """
    async with _held(queue, most=most) as held:
        return list(held)


async def replay(queue: NoticeQueue, *, letter_id: str | None = None) -> list[Received]:
    """Send dead letters to the queue again, all or one; returns those that were sent. Raises QueueUnavailable.

    Each keeps its product, so that their order stays, and gets a deduplication id of its own: within five minutes of
    the first time the queue would take the old one for a repetition and drop it. Whoever dies between sending and
    deleting makes the next replay a repetition, which is what the new id is for.
    """
    sent: list[Received] = []
    while True:
        async with _held(queue, most=_MOST) as held:
            wanted = [letter for letter in held if letter_id in (None, letter.id)]
            messages = [
                Message(body=letter.body, group=letter.group, deduplication_id=f"replay-{letter.id}")
                for letter in wanted
            ]
            refused = {message.deduplication_id for message in await queue.channel.send(messages)}
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
    """Take dead letters, and give back at the end those that are left in the list."""
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
