"""A service that the tests of a module share on each engine, and the people who use it.

A table a module: to make one, and the people in it, takes longer than most tests.
"""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.api.client import PASSWORD, Client, Person, fresh_email, ok, sign_in, sign_up
from tests.service import Service, drop_table, make_table, serving, settings_for
from vitrina import logging


@pytest.fixture(scope="session", autouse=True)
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file to which the services log, as in production."""
    path = tmp_path_factory.mktemp("logs") / "log.jsonl"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    logging.configure(level="debug", style="json", descriptor=descriptor)
    yield path
    logging.shutdown()


@pytest.fixture(scope="module")
async def service(engine: str) -> AsyncIterator[Service]:
    """The service on the engine of the test, with a table that the tests of a module share."""
    settings = settings_for(engine)
    await make_table(settings)
    async with serving(settings) as service:
        yield service
    await drop_table(settings)


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """The session for connections to any service."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture(scope="module")
def anonymous(http: aiohttp.ClientSession, service: Service) -> Client:
    """An anonymous client."""
    return Client(http, service.url)


@pytest.fixture(scope="module")
async def super_admin(anonymous: Client, service: Service) -> Person:
    """A super_admin, created as the command line creates one."""
    email = fresh_email()
    await service.services.accounts.create_super_admin(email=email, password=PASSWORD, name="Sol Supervisor")
    person = await sign_in(anonymous, {"email": email})
    person.account = ok(await person.get("/v1/me"))
    return person


@pytest.fixture(scope="module")
async def admin(anonymous: Client, super_admin: Person) -> Person:
    """An admin."""
    account = {"email": fresh_email(), "password": PASSWORD, "name": "Ana Admin", "role": "admin"}
    return await sign_in(anonymous, ok(await super_admin.post("/v1/users", account), 201))


@pytest.fixture(scope="module")
async def user(anonymous: Client) -> Person:
    """A user."""
    return await sign_up(anonymous, name="Uma User")


@pytest.fixture(scope="module")
def people(user: Person, admin: Person, super_admin: Person) -> dict[str, Person]:
    """One of each role."""
    return {"user": user, "admin": admin, "super_admin": super_admin}
