"""Whether load balancers should send requests to this process."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from vitrina.errors import TableUnavailable, Unavailable

Probe = Callable[[], Awaitable[object]]
_CHECK_TIMEOUT: Final = 1.0
"""Seconds; load balancers wait for a few."""


async def _always() -> None:
    pass


class Readiness:
    """Ready while `ready` is true and `probe`, which the application sets, does not raise."""

    def __init__(self) -> None:
        self.ready = True
        self.probe: Probe = _always

    async def check(self) -> None:
        """Raise Unavailable unless the process is ready."""
        if not self.ready:
            raise Unavailable
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT):
                await self.probe()
        except TimeoutError as error:
            raise TableUnavailable from error


READINESS: Final = web.AppKey("readiness", Readiness)
