"""What the tests of the workers share."""

from collections.abc import AsyncIterator

import pytest

from vitrina.aws import Clients, connect
from vitrina.config import Settings
from vitrina.store.definition import creation
from vitrina.store.table import Table


@pytest.fixture
def settings(dynamodb_local: str, ministack: str, table_name: str) -> Settings:
    """Settings for a table on DynamoDB Local and a queue on MiniStack; patient, with leases that are over soon."""
    return Settings(
        environment="development",
        table_name=table_name,
        writer_endpoint=dynamodb_local,
        queue_name=table_name,
        queue_endpoint=ministack,
        relay_lease_time=1.5,
        relay_idle_interval=0.1,
        signing_keys="test:signing-key-of-the-tests-0123456789",
        secret_key="secret-key-of-the-tests-0123456789",
        connect_timeout=10,
        read_timeout=20,
    )


@pytest.fixture
async def clients(settings: Settings) -> AsyncIterator[Clients]:
    """Clients of DynamoDB Local."""
    async with connect(settings) as opened:
        yield opened


@pytest.fixture
async def table(clients: Clients, settings: Settings) -> AsyncIterator[Table]:
    """An empty table."""
    await clients.writer.create_table(**creation(settings))
    yield Table(clients, name=settings.table_name, deadline=30)
    await clients.writer.delete_table(TableName=settings.table_name)
