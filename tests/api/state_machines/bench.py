"""What the steps of a state machine use: they run in a thread, and the service on the event loop of the tests."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.api.client import Client, JsonObject, Person, ok, pages
from tests.service import Service

T = TypeVar("T")
_PATIENCE = 5.0
"""Seconds in which an index has what was written; the simulated ones are up to 0.3 s late."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The service and two of its clients."""

    loop: asyncio.AbstractEventLoop
    service: Service
    anonymous: Client
    super_admin: Person

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """Await a call on the event loop of the service."""
        return asyncio.run_coroutine_threadsafe(call, self.loop).result(60)

    def listed(self, client: Client, path: str, *, limit: int = 7) -> list[JsonObject]:
        """Return all items of a listing, read page by page."""
        return [item for page in self.run(pages(client, path, limit=limit)) for item in page]

    def newest(self, client: Client, path: str, *, by: str, since: str) -> dict[str, JsonObject]:
        """Return the items of a listing, newest first, by id, down to the time `since` of the attribute `by`.

        All examples share the table, so the rest may be long.
        """
        found: dict[str, JsonObject] = {}
        params = {"limit": "100"}
        while True:
            page = ok(self.run(client.get(path, params=params)))
            found |= {item["id"]: item for item in page["items"] if item[by] >= since}
            if page["next_cursor"] is None or page["items"][-1][by] < since:
                return found
            params["cursor"] = page["next_cursor"]

    def eventually(self, read: Callable[[], object], expected: object) -> None:
        """Assert that what is read from an index is soon what is expected."""
        until = time.monotonic() + _PATIENCE
        while (found := read()) != expected and time.monotonic() < until:
            time.sleep(0.05)
        assert found == expected, found
