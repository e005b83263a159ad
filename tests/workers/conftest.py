"""Fixtures of the worker tests."""

from typing import Any

import pytest

from tests.aws_simulator.proxy import Urls
from tests.store.conftest import clients, table, table_with_stream
from vitrina.config import Settings

__all__ = ["clients", "settings", "table", "table_with_stream"]

ON_AWS = pytest.mark.parametrize("settings", ["engines", "aws"], indirect=True)
"""Runs a test on the engines alone and behind the simulator of AWS."""


@pytest.fixture
def settings(dynamodb_local: str, ministack: str, table_name: str, request: pytest.FixtureRequest) -> Settings:
    """Settings for a table on DynamoDB Local and a queue on MiniStack, with long timeouts and short leases."""
    endpoints: dict[str, Any] = {"writer_endpoint": dynamodb_local, "queue_endpoint": ministack}
    if getattr(request, "param", "engines") == "aws":
        urls: Urls = request.getfixturevalue("simulated_aws")
        endpoints = {"writer_endpoint": urls.dynamodb, "streams_endpoint": urls.streams, "queue_endpoint": urls.sqs}
        endpoints["ses_endpoint"] = urls.ses
    return Settings(
        environment="development",
        table_name=table_name,
        queue_name=table_name,
        relay_lease_time=1.5,
        relay_idle_interval=0.1,
        signing_keys="test:signing-key-of-the-tests-0123456789",
        secret_key="secret-key-of-the-tests-0123456789",
        connect_timeout=10,
        read_timeout=20,
        **endpoints,
    )
