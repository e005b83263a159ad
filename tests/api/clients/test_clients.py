"""Clients that people generate from the OpenAPI document have types without errors, and work."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.devstack.engines import LOOPBACK
from tests.api.client import Person, ok, product_body
from tests.npm import CannotRunError, installed
from tests.service import Service
from tests.store.samples import price_changed
from vitrina.api.openapi.document import document
from vitrina.cli.api import declared_routes
from vitrina.domain.notices import Notice

HERE = Path(__file__).parent


async def run(*command: str | Path, cwd: Path) -> None:
    """Run a program; its output is the message of a failure."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": str(cwd), "NO_PROXY": LOOPBACK},
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


@pytest.fixture
def description(tmp_path: Path) -> Path:
    """The document in a folder of its own."""
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document(declared_routes())))
    return path


@pytest.fixture(scope="module")
async def owner(admin: Person) -> Person:
    """The admin of three products."""
    for _ in range(3):
        ok(await admin.post("/v1/products", product_body()), 201)
    return admin


@pytest.fixture
async def account(service: Service, owner: Person) -> AsyncIterator[tuple[str, ...]]:
    """The arguments of a story: an admin with an unread notice. The feed has all changes so far."""
    notice = Notice(user_id=owner.id, change=price_changed(), changed_by_name="Sol")
    notice = replace(notice, change=replace(notice.change, changed_at=service.clock()))
    await service.services.inbox_store.add(notice, due_at=None, digest=False)
    with service.clock.hold() as clock:
        clock.go_on(seconds=20)
        yield service.url, owner.email, owner.password


async def test_a_python_client_is_typed_and_works(account: tuple[str, ...], description: Path) -> None:
    """openapi-python-client with its defaults, but for the formatter that it runs."""
    folder = description.parent
    (folder / "config.yml").write_text("post_hooks: []")
    generate = ["-c", "from openapi_python_client.cli import app; app()", "generate", "--path", str(description)]
    options = ["--output-path", "vitrina_client", "--meta", "none", "--config", "config.yml", "--fail-on-warning"]
    await run(sys.executable, *generate, *options, cwd=folder)
    shutil.copy(HERE / "story.py", folder)
    await run(sys.executable, "-m", "mypy", "--strict", "story.py", "vitrina_client", cwd=folder)
    await run(sys.executable, "story.py", *account, cwd=folder)


async def test_a_typescript_client_is_typed_and_works(account: tuple[str, ...], description: Path) -> None:
    """openapi-typescript with its defaults, the compiler's strictest checks, and openapi-fetch."""
    try:
        node, packages = await asyncio.to_thread(installed, HERE)
    except CannotRunError as error:
        pytest.skip(f"only npm can prove that a client for TypeScript works: {error}")
    folder = description.parent
    (folder / "node_modules").symlink_to(packages)
    shutil.copy(HERE / "package.json", folder)
    shutil.copy(HERE / "story.ts", folder)
    await run(node, packages / "openapi-typescript/bin/cli.js", description, "-o", "schema.d.ts", cwd=folder)
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom,dom.iterable"]
    await run(node, packages / "typescript/bin/tsc", *options, "story.ts", cwd=folder)
    await run(node, "story.js", *account, cwd=folder)
