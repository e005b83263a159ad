"""Responses agree with the OpenAPI document, and valid data are accepted: `scripts/soak` in its smallest form."""

import asyncio
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from scripts.soaking.callers import Caller, callers, command, environment
from tests.api.client import PASSWORD, Person
from tests.service import Service


@pytest.fixture(scope="module")
async def everyone(service: Service, user: Person, admin: Person, super_admin: Person) -> dict[str, Caller]:
    """All callers by name."""
    emails = {"user": user.email, "admin": admin.email, "super_admin": super_admin.email}
    return {each.name: each for each in await asyncio.to_thread(callers, service.url, password=PASSWORD, **emails)}


@pytest.mark.parametrize("name", ["anonymous", "super_admin"])
async def test_responses_agree_with_the_document(
    name: str, everyone: dict[str, Caller], service: Service, tmp_path: Path
) -> None:
    sent = ("--phases", "examples,coverage,fuzzing", "--max-examples", "1", "--seed", "1", "--no-color")
    process = await asyncio.create_subprocess_exec(
        *command(service.url, *sent),
        env=environment(service.url, everyone[name]),
        cwd=tmp_path,
        stdout=PIPE,
        stderr=STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
