"""A stack on the emulator, as tests use it."""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest
from click.testing import CliRunner

from scripts.deploy import commands
from scripts.deploy.emulator import ACCOUNT_KEY
from scripts.deploy.stack import Stack
from scripts.deploy.target import Target
from tests.api.client import Client, ok
from vitrina import aws

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A stack on the emulator."""

    stack: Stack
    build: Path

    @property
    def target(self) -> Target:
        return self.stack.target

    @property
    def url(self) -> str:
        """Where its API is."""
        return self.target.api(self.stack.outputs()["Url"])

    def run(self, *command: str, build: Path | None = None) -> str:
        """Run a command of `scripts/deploy` to its end, and return what it printed."""
        done = self.attempt(*command, build=build)
        assert done[0] == 0, done[1]
        return done[1]

    def attempt(self, *command: str, build: Path | None = None, answer: str = "") -> tuple[int, str]:
        """Run a command of `scripts/deploy`; returns its exit status and what it printed."""
        name, *options = command
        where = ["--to", "emulator", "--endpoint", self.target.endpoint, "--stack", self.stack.name]
        built = ["--build", str(build or self.build)] if name == "up" else []
        done = CliRunner().invoke(commands.main, [name, *where, *built, *options], input=answer)
        return done.exit_code, done.output

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client of its API."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as http:
            yield Client(http, self.url)

    async def mail_to(self, email: str) -> list[str]:
        """The subjects of the mails to an address."""
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{self.target.endpoint}/_ministack/ses/messages") as reply,
        ):
            sent = [each for account in (await reply.json())["messages"].values() for each in account]
        return [each["Subject"] for each in sent if email in each["To"]]

    async def version(self) -> str:
        """The version of the code that answers."""
        async with self.client() as client:
            return str(ok(await client.get("/openapi.json"))["info"]["version"])


@contextmanager
def root() -> Iterator[None]:
    """Let clients of AWS in this process have the rights of the account."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitrina.aws._session", functools.cache(aws._session.__wrapped__))
        patch.setenv("AWS_ACCESS_KEY_ID", ACCOUNT_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", ACCOUNT_KEY)
        yield


async def until(condition: Callable[[], Awaitable[T]], *, seconds: float = 60) -> T:
    """Wait until a coroutine function returns something true, and return that."""
    end = time.monotonic() + seconds
    while not (found := await condition()):
        assert time.monotonic() < end
        await asyncio.sleep(0.2)
    return found
