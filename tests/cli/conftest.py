"""Fixtures of the command-line tests."""

from collections.abc import Iterator

import boto3
import pytest


@pytest.fixture(autouse=True)
def _no_table_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """Delete the test's table: each table occupies one of DynamoDB Local's few index threads."""
    has_table = {"engine", "table_name"} <= set(request.fixturenames)
    engine, table_name = (request.getfixturevalue(name) if has_table else "" for name in ("engine", "table_name"))
    yield
    if has_table:
        client = boto3.client("dynamodb", endpoint_url=engine, region_name="us-east-1")
        if table_name in client.list_tables()["TableNames"]:
            client.delete_table(TableName=table_name)
        client.close()
