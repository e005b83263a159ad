"""Vitrina as it runs in production: one process, access log to a file, on a table of its own."""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Metric
from pydantic import SecretStr

from scripts.benchmarks.load import Load, Sample, Usage
from scripts.benchmarks.peers import Server
from scripts.devstack.engines import Engine
from vitrina.config import Settings

VITRINA: Final = (sys.executable, "-m", "vitrina")
EMAIL: Final = "bench@example.com"
PASSWORD: Final = secrets.token_urlsafe(24)
LOG_SECONDS: Final = 0.3
"""Seconds until buffered lines of the access log are written and the last views are flushed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One line of the access log."""

    route: str
    method: str
    status: int
    calls: int
    read_units: float
    write_units: float


class Service(Server):
    """A running `vitrina api`."""

    def __init__(
        self, name: str, url: str, *, pid: int, settings: Settings, log: Path, client: aiohttp.ClientSession
    ) -> None:
        super().__init__(name, url, pid=pid)
        self.settings = settings
        self._log = log
        self._client = client

    async def drive(self, load: Load) -> Sample:
        """Run a load, and return its sample with the use of the table."""
        before = await self.usage()
        sample = await super().drive(load)
        await asyncio.sleep(LOG_SECONDS)
        return replace(sample, usage=await self.usage() - before)

    async def usage(self) -> Usage:
        """Read the service's counters from /metrics."""
        samples = await self._metrics()

        def total(name: str, **labels: str) -> float:
            return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())

        writes = {s.labels["operation"] for s in samples if s.labels.get("kind") == "write"}
        return Usage(
            read_units=total("vitrina_dynamodb_capacity_units_total", kind="read"),
            write_units=total("vitrina_dynamodb_capacity_units_total", kind="write"),
            write_calls=sum(total("vitrina_dynamodb_calls_total", operation=operation) for operation in writes),
            views=total("vitrina_views_stored_total"),
            late_views=total("vitrina_views_late_total"),
        )

    async def memory(self) -> float:
        """Return the bytes that the process holds in memory; Linux alone says so."""
        return next(s.value for s in await self._metrics() if s.name == "process_resident_memory_bytes")

    async def _metrics(self) -> list[Metric]:
        async with self._client.get(f"{self.url}/metrics") as response:
            text = await response.text()
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    async def get(self, path: str, *, token: str = "") -> Any:  # noqa: ANN401 - any JSON
        """Get `path`. Raises aiohttp.ClientResponseError for an error response."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._client.get(f"{self.url}{path}", headers=headers, raise_for_status=True) as response:
            return await response.json()

    async def sign_in(self) -> str:
        """Return an access token of the super_admin."""
        credentials = {"email": EMAIL, "password": PASSWORD}
        async with self._client.post(f"{self.url}/v1/auth/login", json=credentials, raise_for_status=True) as response:
            token: str = (await response.json())["access_token"]
            return token

    def log_size(self) -> int:
        """Return the size of the access log in bytes."""
        return self._log.stat().st_size

    async def answered_since(self, position: int) -> list[Answered]:
        """Return the requests logged after `position`."""
        await asyncio.sleep(LOG_SECONDS)
        with self._log.open("rb") as log:
            log.seek(position)
            return list(_answered(log.read().splitlines()))


def settings_for(endpoint: str, table: str, **options: Any) -> Settings:  # noqa: ANN401 - a setting's own field checks it
    """Return production settings with the engine, keys of this run, and `options`."""
    return Settings(
        environment="production",
        table_name=table,
        region="us-east-1",
        writer_endpoint=endpoint,
        signing_keys=SecretStr(f"bench:{secrets.token_hex(32)}"),
        secret_key=SecretStr(secrets.token_hex(32)),
        **options,
    )


@asynccontextmanager
async def service(
    name: str, settings: Settings, *, folder: Path, vitrina: Sequence[str] = VITRINA
) -> AsyncIterator[Service]:
    """Run `vitrina api` with one worker on an existing table, its log in `folder`; `vitrina` is the command line."""
    log = folder / f"{name}.log"
    variables = environment(settings)

    def command(port: int) -> list[str]:
        return ["sh", "-c", f'exec "$@" >{log} 2>&1', "sh", *vitrina, "api", "--port", str(port)]

    engine = Engine(name, command, environment=lambda _: variables, probe="/healthz")
    async with aiohttp.ClientSession() as client, engine as url:
        yield Service(name, url, pid=engine.process.pid, settings=settings, log=log, client=client)


async def create_table(settings: Settings) -> None:
    """Create the table and the account of the writes by the command line.

    The environment is `development`, since no local engine has the point-in-time recovery that production requires.
    """
    settings = settings.model_copy(update={"environment": "development"})
    await _run("table", "create", settings=settings)
    await _run("users", "create-super-admin", "--email", EMAIL, "--name", "Bench", settings=settings, stdin=PASSWORD)


async def _run(*arguments: str, settings: Settings, stdin: str = "") -> None:
    process = await asyncio.create_subprocess_exec(
        *VITRINA,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment(settings)},
    )
    output, _ = await process.communicate(stdin.encode())
    if process.returncode:
        raise RuntimeError(f"vitrina {' '.join(arguments)} failed: {output.decode()}")


def environment(settings: Settings) -> dict[str, str]:
    """Return the settings that were given, as environment variables."""
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    secrets_shown = {n: v.get_secret_value() if isinstance(v, SecretStr) else str(v) for n, v in values.items()}
    return {f"VITRINA_{name.upper()}": value for name, value in secrets_shown.items()}


def _answered(lines: list[bytes]) -> Iterator[Answered]:
    for line in lines:
        entry = json.loads(line) if line.startswith(b"{") else {}
        if "calls" in entry:
            yield Answered(**{name: entry[name] for name in Answered.__slots__})
