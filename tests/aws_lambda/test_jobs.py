"""The daily jobs as Lambda functions."""

import asyncio
import json
from pathlib import Path

import click
import pytest

from vitrina.aws import connect
from vitrina.aws_lambda.jobs import export, rollup
from vitrina.config import Settings
from vitrina.store.definition import create_table_arguments


def test_a_job_runs_its_commands_and_raises_what_fails(
    dynamodb_local: str, table_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler repeats what was raised."""
    chosen = {"TABLE_NAME": table_name, "WRITER_ENDPOINT": dynamodb_local, "VIEWS_RETENTION_DAYS": "2"}
    for name, value in chosen.items():
        monkeypatch.setenv(f"VITRINA_{name}", value)

    async def create() -> None:
        async with connect(Settings()) as clients:
            await clients.writer.create_table(**create_table_arguments(Settings(environment="development")))

    asyncio.run(create())
    rollup({}, None)
    export({"out": str(tmp_path)}, None)
    assert json.loads((tmp_path / "prices.manifest.json").read_text())["rows"] == 0
    with pytest.raises(click.ClickException, match="cannot be written"):
        export({"out": str(tmp_path / "prices.manifest.json")}, None)
