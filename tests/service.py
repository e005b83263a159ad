"""The service as tests start it: the whole application on a free port, over a table of its own on an engine."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from vitrina import aws
from vitrina.api.application import create_app
from vitrina.api.http.app_keys import SERVICES
from vitrina.bootstrap import Services
from vitrina.config import DEMO_SECRET_KEY, DEMO_SIGNING_KEYS, Settings
from vitrina.store.schema import ensure

_PATIENCE: Final = 30.0
"""Seconds for a call of the table: how slow an engine is on a busy machine is not what these tests are about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running service: where it listens, and what a test may reach into where no door leads."""

    url: str
    app: web.Application
    settings: Settings

    @property
    def services(self) -> Services:
        """Its services."""
        return self.app[SERVICES]


def settings_for(endpoint: str, **options: Any) -> Settings:  # noqa: ANN401 - a setting's own field checks its value
    """Settings for a table on an engine: quick passwords, and time enough for a busy machine."""
    defaults: dict[str, Any] = {
        "environment": "development",
        "table_name": f"test-{uuid.uuid4().hex[:12]}",
        "writer_endpoint": endpoint,
        "signing_keys": SecretStr(DEMO_SIGNING_KEYS),
        "secret_key": SecretStr(DEMO_SECRET_KEY),
        "bcrypt_cost": 4,
        "read_timeout": _PATIENCE,
        "request_timeout": _PATIENCE,
        "password_wait": _PATIENCE,
    }
    return Settings(**defaults | options)


async def make_table(settings: Settings) -> None:
    """Make the table of the settings."""
    async with aws.connect(settings) as clients:
        await ensure(clients.writer, settings, lambda _: None)


async def drop_table(settings: Settings) -> None:
    """Delete the table of the settings: each one with a stream slows the writes of all others on DynamoDB Local."""
    async with aws.connect(settings) as clients:
        await clients.writer.delete_table(TableName=settings.table_name)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Service]:
    """Serve over a table that exists."""
    app = create_app(settings, patient=_PATIENCE)
    async with TestServer(app) as server:
        yield Service(url=str(server.make_url("")).rstrip("/"), app=app, settings=settings)


class Clock:
    """A clock that a test sets."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        """Return the time that was set."""
        return self.at
