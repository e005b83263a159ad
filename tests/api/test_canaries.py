"""Logs, problems, metrics and pages contain no secret, token, password, address or body (R14)."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from tests.api.client import Client, Person, Reply, fresh_email, ok, product_body, sign_in
from tests.service import Service, make_table, serving, settings_for
from vitrina import logging
from vitrina.errors import TableUnavailable

CANARIES = {
    "signing key": "canary-signing-key-canary-signing-key",
    "secret key": "canary-secret-key-canary-secret-key-x",
    "password": "canary-password-2026",
    "another password": "canary-second-password-2026",
    "wrong password": "canary-wrong-password",
    "e-mail": "canary.person",
    "name": "Canary Person",
    "agent": "canary-agent/1.0",
    "referrer": "canary-path",
    "query": "canary-query",
    "body": "canary-description",
    "field": "canary-field",
    "idempotency key": "canary-idempotency-key",
    "forwarded address": "203.0.113.99",
    "address": "127.0.0.1",
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log file; the level is `debug`."""
    path = tmp_path / "log.jsonl"
    logging.configure(level="debug", style="json", descriptor=os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND))
    return path


@pytest.fixture
async def canary(engine: str, log: Path) -> AsyncIterator[Service]:  # noqa: ARG001 - logs from its start
    """A service whose own secrets are canaries."""
    settings = settings_for(
        engine,
        signing_keys=SecretStr(f"c1:{CANARIES['signing key']}"),
        secret_key=SecretStr(CANARIES["secret key"]),
        trusted_proxies=(),
    )
    await make_table(settings)
    async with serving(settings) as service:
        yield service


async def use(service: Service, http: aiohttp.ClientSession) -> tuple[list[Reply], Person, list[str]]:
    """Send valid and invalid requests; return the problems, an account and its API keys."""
    client = Client(http, service.url)
    email, password = f"{CANARIES['e-mail']}-{fresh_email()}", CANARIES["password"]
    await service.services.accounts.create_super_admin(email=email, password=password, name=CANARIES["name"])
    person = await sign_in(client, {"email": email}, password)
    headers = {
        "User-Agent": CANARIES["agent"],
        "Referer": f"https://shop.example/{CANARIES['referrer']}",
        "Idempotency-Key": CANARIES["idempotency key"],
        "X-Forwarded-For": CANARIES["forwarded address"],
    }
    body = product_body(description=CANARIES["body"])
    product = ok(await person.post("/v1/products", body, headers=headers), 201)
    keys = [
        ok(await person.post("/v1/auth/keys", {"name": "Till", "scope": "read"}, headers={"Idempotency-Key": key}), 201)
        for key in (CANARIES["idempotency key"], "another")
    ]
    ok(await client.bearing(keys[0]["key"]).get("/v1/products"))
    ok(await person.delete(f"/v1/auth/keys/{keys[1]['id']}"), 204)
    ok(await client.get(f"/v1/products/{product['id']}", headers=headers))
    ok(await client.get("/v1/products", params={"brand": CANARIES["query"]}, headers=headers))
    account = {"email": email, "password": CANARIES["another password"], "name": CANARIES["name"]}
    wrong = {"email": email, "password": CANARIES["wrong password"]}
    problems = [
        await client.get(f"/v1/products/{product['id']}?utm={CANARIES['query']}", headers=headers),
        await client.post("/v1/auth/login", wrong, headers=headers),
        await client.post("/v1/auth/login", wrong | {"x": CANARIES["body"]}, headers=headers),
        await client.post("/v1/auth/register", account, headers=headers),
        await client.post("/v1/auth/register", account | {"email": CANARIES["e-mail"]}),
        await client.post("/v1/auth/register", data=f'{{"password": "{CANARIES["password"]}'.encode()),
        await client.post("/v1/auth/refresh", {"refresh_token": person.tokens["access_token"]}),
        await client.bearing(person.tokens["refresh_token"]).get("/v1/me"),
        await client.bearing(f"{person.token}x").get("/v1/me"),
        await client.bearing(keys[0]["key"]).get("/v1/me"),
        await client.bearing(keys[1]["key"]).get("/v1/products"),
        await client.bearing(f"{keys[0]['key']}x").get("/v1/products"),
        await client.get("/v1/products", headers={"Authorization": f"Basic {CANARIES['password']}"}),
        await person.post(
            "/v1/auth/password",
            {"current_password": CANARIES["wrong password"], "new_password": CANARIES["another password"]},
        ),
        await person.post("/v1/products", body | {"sku": CANARIES["body"] + " "}, headers=headers),
        await person.post("/v1/products", body | {"price": CANARIES["body"], "name": [CANARIES["body"]]}),
        await person.patch(f"/v1/products/{product['id']}", {"currency": CANARIES["body"]}),
        await person.get("/v1/products", params={"cursor": CANARIES["query"]}),
        await person.get("/v1/products", params={"limit": CANARIES["query"], "sort": CANARIES["query"]}),
        await person.post("/v1/users", account | {"email": fresh_email(), "role": CANARIES["body"]}),
    ]
    return problems, person, [key["key"] for key in keys]


async def break_down(service: Service, http: aiohttp.ClientSession, person: Person) -> list[Reply]:
    """Send requests while every call to the table fails, with an expected error and with a bug."""
    client = Client(http, service.url)
    wrong = {"email": person.email, "password": person.password}
    problems = []
    for failure in (TableUnavailable(), ValueError(f"it met {person.token}")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vitrina.store.table.client_call", _raising(failure))
            problems += [
                await client.post("/v1/auth/login", wrong, headers={"User-Agent": CANARIES["agent"]}),
                await person.post("/v1/products", product_body(description=CANARIES["body"])),
                await client.get("/v1/products", params={"brand": CANARIES["query"], "limit": "7"}),  # Not cached.
            ]
    return problems


def _raising(failure: Exception) -> object:
    async def request(*_: object, **__: object) -> object:
        raise failure

    return request


async def test_no_canary_is_in_a_response_log_or_metric(
    canary: Service, http: aiohttp.ClientSession, log: Path
) -> None:
    """One of the failures is an unexpected exception with a token in its message."""
    problems, person, keys = await use(canary, http)
    assert {reply.status // 100 for reply in problems} == {4}, [reply.status for reply in problems]
    broken = await break_down(canary, http, person)
    assert {reply.status for reply in broken} == {500, 503}
    metrics = (await Client(http, canary.url).get("/metrics")).body.decode()
    logging.shutdown()
    secrets = CANARIES | {
        "access token": person.tokens["access_token"],
        "refresh token": person.tokens["refresh_token"],
        "API key": keys[0],
        "deleted API key": keys[1],
    }
    answers = b"\n".join(reply.body for reply in [*problems, *broken]).decode()
    logged = await asyncio.to_thread(log.read_text)
    assert logged.count('"event":"request"') >= len(problems) + len(broken)
    for name, secret in secrets.items():
        for place, text in (("a problem", answers), ("the log", logged), ("the metrics", metrics)):
            assert secret not in text, f"{name} is in {place}: {[line for line in text.splitlines() if secret in line]}"
