"""Whether this process should be sent requests."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from vitrina.errors import TableUnavailable, Unavailable

Probe = Callable[[], Awaitable[object]]
_CHECK_TIMEOUT: Final = 1.0
"""Seconds: a load balancer's own patience is a few."""


async def _always() -> None:
    pass


class Readiness:
    """Ready while `ready` is set and the check that it was given passes."""

    def __init__(self) -> None:
        """Start ready, with nothing to check; the application gives `probe` once it has something to ask."""
        self.ready = True
        self.probe: Probe = _always

    async def check(self) -> None:
        """Raise Unavailable unless this process should be sent requests."""
        if not self.ready:
            raise Unavailable
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT):
                await self.probe()
        except TimeoutError as error:
            raise TableUnavailable from error


READINESS: Final = web.AppKey("readiness", Readiness)
