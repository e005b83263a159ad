"""An HTTP client for tests that depends only on the contract of the API."""

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any, Final, TypedDict, Unpack
from urllib.parse import urlsplit

import aiohttp
import orjson
from multidict import CIMultiDictProxy

JsonObject = dict[str, Any]
PASSWORD: Final = "blue-lantern-2026"
_NUMBERS: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Reply:
    """A response with its whole body."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON is any value
        """The body as JSON."""
        return orjson.loads(self.body)


class Options(TypedDict, total=False):
    """The parts of a request besides its JSON body."""

    headers: dict[str, str]
    params: dict[str, str]
    data: bytes


class Client:
    """Sends requests, with a bearer token if it has one."""

    def __init__(self, http: aiohttp.ClientSession, url: str, *, token: str | None = None) -> None:
        self.http = http
        self.url = url
        self.token = token

    def bearing(self, token: str | None) -> "Client":
        """Return a copy of this client with another token."""
        return Client(self.http, self.url, token=token)

    async def request(self, method: str, path: str, json: object = None, **options: Unpack[Options]) -> Reply:
        """Send a request; the body is `json`, or `data` of the options."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        data = options.get("data")
        if json is not None:
            data = orjson.dumps(json)
            headers["Content-Type"] = "application/json"
        headers |= options.get("headers", {})
        params = options.get("params")
        async with self.http.request(
            method, self.url + path, data=data, params=params, headers=headers, skip_auto_headers=["Content-Type"]
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, **options: Unpack[Options]) -> Reply:
        """Send a GET request."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, json: object = None, **options: Unpack[Options]) -> Reply:
        """Send a POST request."""
        return await self.request("POST", path, json, **options)

    async def patch(self, path: str, json: object = None, **options: Unpack[Options]) -> Reply:
        """Send a PATCH request."""
        return await self.request("PATCH", path, json, **options)

    async def delete(self, path: str, **options: Unpack[Options]) -> Reply:
        """Send a DELETE request."""
        return await self.request("DELETE", path, **options)


class Person(Client):
    """A client that is signed in to an account."""

    def __init__(self, client: Client, account: JsonObject, tokens: JsonObject, password: str) -> None:
        super().__init__(client.http, client.url, token=tokens["access_token"])
        self.account = account
        self.tokens = tokens
        self.password = password

    @property
    def id(self) -> str:
        """The id of the account."""
        return str(self.account["id"])

    @property
    def email(self) -> str:
        """The email of the account."""
        return str(self.account["email"])

    @property
    def credentials(self) -> JsonObject:
        """The body of a sign-in to the account."""
        return {"email": self.email, "password": self.password}


def unique(word: str) -> str:
    """Return a word that no other test uses."""
    return f"{word}-{next(_NUMBERS)}"


def fresh_email() -> str:
    """Return an email that no other account has."""
    return f"{unique('person')}@example.com"


def product_body(**fields: object) -> JsonObject:
    """Return the body that creates a product with a unique SKU."""
    return {"sku": unique("SKU"), "name": "Oak Lamp", "brand": "Alder", "price": "19.99"} | fields


def ok(reply: Reply, status: int = 200) -> Any:  # noqa: ANN401 - JSON is any value
    """Assert that the response has the status; return its JSON, or None if it has no body."""
    assert reply.status == status, reply
    return reply.json if reply.body else None


def problem(reply: Reply, status: int, code: str) -> JsonObject:
    """Assert that the response is the problem `code` in the common form (RFC 9457), and return its members."""
    assert reply.status == status, reply
    assert reply.headers["Content-Type"] == "application/problem+json"
    members: JsonObject = reply.json
    assert members["code"] == code, members
    assert members["status"] == status
    assert all(isinstance(members[name], str) and members[name] for name in ("type", "title", "detail", "instance"))
    return members


def refused(reply: Reply, *pointers: str) -> None:
    """Assert that the response is a 422 for exactly these fields or parameters."""
    members = problem(reply, 422, "validation_failed")
    assert [error["pointer"] for error in members["errors"]] == list(pointers), members
    assert all(error["detail"] for error in members["errors"])


async def sign_up(client: Client, *, password: str = PASSWORD, **fields: object) -> Person:
    """Register an account and sign in to it."""
    account = {"email": fresh_email(), "password": password, "name": "Somebody"} | fields
    made = ok(await client.post("/v1/auth/register", account), 201)
    return await sign_in(client, made, password)


async def sign_in(client: Client, account: JsonObject, password: str = PASSWORD) -> Person:
    """Sign in to an account."""
    tokens = ok(await client.post("/v1/auth/login", {"email": account["email"], "password": password}))
    return Person(client, account, tokens, password)


async def pages(client: Client, path: str, *, limit: int, start: str | None = None) -> list[list[JsonObject]]:
    """Read all pages of a listing by its cursors."""
    read: list[list[JsonObject]] = []
    cursor = start
    while cursor is not None or not read:
        joined = f"{path}{'&' if '?' in path else '?'}limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        page = ok(await client.get(joined))
        read.append(page["items"])
        cursor = page["next_cursor"]
    return read


async def raw(url: str, path: str, *headers: bytes, method: str = "GET", body: bytes = b"") -> bytes:
    """Send a request whose headers can have any bytes; return the bytes of the response."""
    host = urlsplit(url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    start = f"{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {len(body)}".encode()
    writer.write(b"\r\n".join([start, *headers, b"", body]))
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
