"""The service under test: the whole application on a free port, with its own table on an engine."""

import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from vitrina import aws
from vitrina.api.application import create_app
from vitrina.api.http.app_keys import SERVICES
from vitrina.api.http.routing import Route
from vitrina.bootstrap import Services
from vitrina.clock import now
from vitrina.config import DEMO_SECRET_KEY, DEMO_SIGNING_KEYS, Settings
from vitrina.store.schema import end_stream, ensure

_PATIENCE: Final = 30.0
"""Seconds for one response of an engine, which may be slow on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running service: its URL, its clock, and its application for what HTTP does not expose."""

    url: str
    app: web.Application
    settings: Settings
    clock: "Clock"

    @property
    def services(self) -> Services:
        """Its services."""
        return self.app[SERVICES]


def settings_for(endpoint: str, **options: Any) -> Settings:  # noqa: ANN401 - each setting has its own type
    """Return settings of a table on an engine, with cheap password hashes and long timeouts."""
    defaults: dict[str, Any] = {
        "environment": "development",
        "table_name": f"test-{uuid.uuid4().hex[:12]}",
        "writer_endpoint": endpoint,
        "signing_keys": SecretStr(DEMO_SIGNING_KEYS),
        "secret_key": SecretStr(DEMO_SECRET_KEY),
        "bcrypt_cost": 4,
        "login_address_limit": 10_000,  # All clients of the tests have one address.
        "read_timeout": _PATIENCE,
        "request_timeout": _PATIENCE,
        "password_wait": _PATIENCE,
    }
    return Settings(**defaults | options)


async def make_table(settings: Settings, *, stream: bool = False) -> None:
    """Create the table of the settings; records of a stream would slow down every later write of DynamoDB Local.

    On moto, which calls itself `amazon.com`, it keeps its stream: moto fails each write of a table that had one.
    """
    async with aws.connect(settings) as clients:
        await ensure(clients.writer, settings, _unreported)
        server = (await clients.writer.list_tables(Limit=1))["ResponseMetadata"]["HTTPHeaders"].get("server", "")
        if not stream and server != "amazon.com":
            await end_stream(clients.writer, settings, _unreported)


async def drop_table(settings: Settings) -> None:
    """Delete the table of the settings."""
    async with aws.connect(settings) as clients:
        await clients.writer.delete_table(TableName=settings.table_name)


def _unreported(_: str) -> None:
    """Print no progress."""


@asynccontextmanager
async def serving(
    settings: Settings, *, extra: Sequence[Route] = (), patient: float | None = _PATIENCE
) -> AsyncIterator[Service]:
    """Serve the API, and `extra` routes besides its own, over an existing table; without `patient` as in production."""
    clock = Clock()
    app = create_app(settings, clock=clock, patient=patient, extra=extra)
    async with TestServer(app) as server:
        yield Service(url=str(server.make_url("")).rstrip("/"), app=app, settings=settings, clock=clock)


class Clock:
    """A clock that a test sets and moves, so that a test of a month takes a moment; the machine's until it is set."""

    def __init__(self, at: datetime | None = None) -> None:
        self._held = at

    def __call__(self) -> datetime:
        """Return the time."""
        return self._held or now()

    @property
    def at(self) -> datetime:
        """The time; setting it stops the clock."""
        return self()

    @at.setter
    def at(self, time: datetime) -> None:
        self._held = time

    @contextmanager
    def hold(self) -> Iterator[Self]:
        """Stop the clock for a while: only `go_on` moves it."""
        self._held = now()
        try:
            yield self
        finally:
            self._held = None

    def go_on(self, **duration: float) -> None:
        """Move the clock by the arguments of a `timedelta`."""
        self.at += timedelta(**duration)
