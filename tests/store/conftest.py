"""Fixtures of the store's tests: each test has a table of its own, on the engine that its mark names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.chaos.faults import Fault, faulty_table
from vitrina.aws import Clients, connect
from vitrina.config import Settings
from vitrina.store.definition import create_table_arguments
from vitrina.store.table import Table


@pytest.fixture
def settings(engine: str, table_name: str) -> Settings:
    """Settings for the engine, with long timeouts, since a test machine may be busy."""
    return Settings(
        environment="development",
        table_name=table_name,
        writer_endpoint=engine,
        signing_keys="test:signing-key-of-the-tests-0123456789",
        secret_key="secret-key-of-the-tests-0123456789",
        connect_timeout=10,
        read_timeout=20,
    )


@pytest.fixture
async def clients(settings: Settings) -> AsyncIterator[Clients]:
    """Clients of the engine."""
    async with connect(settings) as opened:
        yield opened


@pytest.fixture
async def table(clients: Clients, settings: Settings) -> AsyncIterator[Table]:
    """An empty table without a stream, whose records would slow down every later write of DynamoDB Local."""
    async with made(clients, settings, StreamSpecification={"StreamEnabled": False}) as table:
        yield table


@pytest.fixture
async def table_with_stream(clients: Clients, settings: Settings) -> AsyncIterator[Table]:
    """An empty table, as in production."""
    async with made(clients, settings) as table:
        yield table


@asynccontextmanager
async def made(clients: Clients, settings: Settings, **changed: Any) -> AsyncIterator[Table]:  # noqa: ANN401 - DynamoDB's
    """Create a table, with other arguments than in production, and delete it at the end."""
    await clients.writer.create_table(**create_table_arguments(settings) | changed)
    yield Table(clients, name=settings.table_name, deadline=30)
    await clients.writer.delete_table(TableName=settings.table_name)


@pytest.fixture
async def lossy(table: Table, settings: Settings) -> AsyncIterator[Table]:
    """The same table; the response to the first try of each call is lost after the call was carried out."""
    async with faulty_table(settings.writer_endpoint or "") as (proxy, url):
        proxy.fault = Fault.LOST_ONCE
        async with connect(settings.model_copy(update={"writer_endpoint": url})) as clients:
            yield Table(clients, name=table.name, deadline=30)
