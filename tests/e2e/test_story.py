"""The commands of an installation in sequence: create a table and a super_admin, run the API, create users, stop."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api.client import (
    PASSWORD,
    Client,
    Person,
    fresh_email,
    ok,
    problem,
    product_body,
    sign_in,
    sign_up,
)
from tests.stored_views import read
from vitrina import aws
from vitrina.config import Settings
from vitrina.store import keys
from vitrina.store.table import Table
from vitrina.store.views import ViewStore

SUPER_ADMIN = "sol@example.com"
READERS = 32


def variables(endpoint: str) -> dict[str, str]:
    """Return the environment variables of an installation; bcrypt is fast, everything else is as in production."""
    return {
        "VITRINA_ENVIRONMENT": "development",
        "VITRINA_TABLE_NAME": f"test-{uuid.uuid4().hex[:12]}",
        "VITRINA_WRITER_ENDPOINT": endpoint,
        "VITRINA_SIGNING_KEYS": "e2e:canary-signing-key-canary-signing-key",
        "VITRINA_SECRET_KEY": "canary-secret-key-canary-secret-key-x",
        "VITRINA_BCRYPT_COST": "4",
    }


@pytest.fixture(scope="module")
def environment(engine: str) -> dict[str, str]:
    """The environment variables of an installation on the engine."""
    return variables(engine)


def run(environment: dict[str, str], *arguments: str, stdin: str = "") -> str:
    """Run a command of `vitrina` to its end and return what it printed."""
    command = [sys.executable, "-m", "vitrina", *arguments]
    done = subprocess.run(
        command, env=os.environ | environment, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def api(environment: dict[str, str], log: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the API on a free port with its log in a file; yields its URL."""
    command = [sys.executable, "-m", "vitrina", "api", "--port", "0", *options]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=errors, text=True) as it,
    ):
        try:
            assert it.stdout is not None
            word, _, url = it.stdout.readline().strip().partition(" ")
            assert word == "ready", log.read_text()
            yield url, it
        finally:
            it.kill()


@pytest.fixture(scope="module")
def installed(environment: dict[str, str]) -> dict[str, str]:
    """An installation with a table and a super_admin."""
    run(environment, "table", "create")
    run(environment, "users", "create-super-admin", "--email", SUPER_ADMIN, "--name", "Sol", stdin=f"{PASSWORD}\n")
    return environment


async def appoint_admin(client: Client) -> Person:
    """Let the super_admin create an admin."""
    super_admin = await sign_in(client, {"email": SUPER_ADMIN})
    account = {"email": fresh_email(), "password": PASSWORD, "name": "Ana", "role": "admin"}
    return await sign_in(client, ok(await super_admin.post("/v1/users", account), 201))


async def seen(client: Client, path: str) -> Any:  # noqa: ANN401 - JSON
    """Return a new product as soon as the client sees it: on AWS anonymous reads may be a moment old."""
    async with asyncio.timeout(5):
        while (reply := await client.get(path)).status == 404:  # noqa: ASYNC110 - the replica tells nobody
            await asyncio.sleep(0.05)
    return ok(reply)


async def views_of(environment: dict[str, str], product_id: str) -> int:
    """Return today's number of views of a product."""
    settings = Settings.model_validate(
        {name.removeprefix("VITRINA_").lower(): value for name, value in environment.items()}
    )
    async with aws.connect(settings) as clients:
        store = ViewStore(Table(clients, name=settings.table_name))
        today = datetime.now(UTC).date()
        shards = [[stored async for stored in read(store, today, shard)] for shard in range(keys.VIEW_SHARDS)]
    return sum(stored.view.product_id == product_id for shard in shards for stored in shard)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_an_installation_works_from_setup_to_shutdown(
    installed: dict[str, str], tmp_path: Path, workers: str
) -> None:
    """Each role does its work, SIGTERM ends the API with exit code 0, and the JSON log contains no secret."""
    log = tmp_path / "log"
    with api(installed, log, "--workers", workers) as (url, process):
        async with aiohttp.ClientSession() as http:
            anonymous = Client(http, url)
            admin, user = await appoint_admin(anonymous), await sign_up(anonymous)
            product = ok(await admin.post("/v1/products", product_body()), 201)
            path = f"/v1/products/{product['id']}"
            assert (await seen(anonymous, path))["version"] == 1
            assert ok(await user.get(path))["version"] == 1
            problem(await user.patch(path, {"price": "1"}), 403, "forbidden")
            ok(await admin.patch(path, {"price": "1"}))
            ok(await anonymous.get("/readyz"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert await views_of(installed, product["id"]) == 1
    lines = log.read_text().splitlines()
    assert {json.loads(line)["level"] for line in lines} == {"info"}
    for secret in ("canary", PASSWORD, str(admin.token), user.tokens["refresh_token"], user.email, "127.0.0.1"):
        assert secret not in log.read_text()


async def test_a_stop_under_load_loses_no_acknowledged_view(installed: dict[str, str], tmp_path: Path) -> None:
    """With a tiny commit timeout, responses are sent before their views are stored, and SIGTERM arrives in between."""
    hasty = installed | {"VITRINA_VIEW_COMMIT_TIMEOUT": "0.0001"}
    answered = 0
    with api(hasty, tmp_path / "log") as (url, process):
        async with aiohttp.ClientSession() as http:
            anonymous = Client(http, url)
            admin = await appoint_admin(anonymous)
            product = ok(await admin.post("/v1/products", product_body()), 201)

            async def read_on() -> None:
                nonlocal answered
                while True:
                    reply = await anonymous.get(f"/v1/products/{product['id']}")
                    assert reply.status == 200, reply
                    answered += 1
                    if answered == 20 * READERS:
                        process.send_signal(signal.SIGTERM)

            readers = await asyncio.gather(*(read_on() for _ in range(READERS)), return_exceptions=True)
        assert all(isinstance(reader, aiohttp.ClientError | ConnectionError) for reader in readers), readers
        assert process.wait(20) == 0
    assert await views_of(installed, product["id"]) >= answered >= 20 * READERS
