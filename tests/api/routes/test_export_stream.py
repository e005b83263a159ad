"""How long an export waits for its reader (R13)."""

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import pytest
from aiohttp import web

from vitrina.api.routes import exports
from vitrina.api.routes.exports import _Reader

PIECE = memoryview(bytes(12 * exports._SLICE))


@dataclass
class Slow:
    """An answer each part of which is taken after so many seconds."""

    seconds: float
    taken: int = 0

    async def write(self, part: Any) -> None:  # noqa: ANN401 - bytes-like
        """Take a part."""
        await asyncio.sleep(self.seconds)
        self.taken += len(part)


async def take(response: Slow) -> None:
    """Write a piece of twelve slices."""
    await _Reader(cast(web.StreamResponse, response)).take(PIECE)


async def test_a_reader_slower_than_the_least_rate_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it takes each slice in time; one that keeps up is waited for as long as it takes."""
    monkeypatch.setattr(exports, "_STALL", 0.25)
    monkeypatch.setattr(exports, "_LEAST_RATE", 1 << 40)
    slow = Slow(0.05)
    with pytest.raises(ConnectionAbortedError):
        await take(slow)
    assert 0 < slow.taken < len(PIECE)
    monkeypatch.setattr(exports, "_LEAST_RATE", exports._SLICE)
    steady = Slow(0.05)
    await take(steady)
    assert steady.taken == len(PIECE)


async def test_what_was_taken_fast_is_no_credit_for_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice has the same time always."""
    monkeypatch.setattr(exports, "_STALL", 0.1)
    response = Slow(0)
    reader = _Reader(cast(web.StreamResponse, response))
    await reader.take(PIECE)
    response.seconds = 60
    with pytest.raises(ConnectionAbortedError):
        async with asyncio.timeout(10):
            await reader.take(PIECE)
