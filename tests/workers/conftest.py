"""Fixtures of the worker tests."""

import pytest

from tests.store.conftest import clients, table
from vitrina.config import Settings

__all__ = ["clients", "settings", "table"]


@pytest.fixture
def settings(dynamodb_local: str, ministack: str, table_name: str) -> Settings:
    """Settings for a table on DynamoDB Local and a queue on MiniStack, with long timeouts and short leases."""
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
