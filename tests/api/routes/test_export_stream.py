"""How long an export waits for a slow client (R13)."""

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
    """A response that takes a given number of seconds to write each part."""

    seconds: float
    taken: int = 0

    async def write(self, part: Any) -> None:  # noqa: ANN401 - bytes-like
        """Write a part."""
        await asyncio.sleep(self.seconds)
        self.taken += len(part)


async def take(response: Slow) -> None:
    """Write a piece of twelve slices."""
    await _Reader(cast(web.StreamResponse, response)).take(PIECE)


async def test_a_client_below_the_minimum_rate_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its slices each arrive in time, but too slowly overall.

    A client at the minimum rate may take as long as it needs.
    """
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


async def test_fast_slices_do_not_allow_a_later_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every slice has the same time limit."""
    monkeypatch.setattr(exports, "_STALL", 0.1)
    response = Slow(0)
    reader = _Reader(cast(web.StreamResponse, response))
    await reader.take(PIECE)
    response.seconds = 60
    with pytest.raises(ConnectionAbortedError):
        async with asyncio.timeout(10):
            await reader.take(PIECE)
