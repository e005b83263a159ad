"""A client that knows of the service what its contract says, and nothing else."""

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
    """An answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON is any value
        """The body as JSON."""
        return orjson.loads(self.body)


class Options(TypedDict, total=False):
    """What a request may carry besides its JSON."""

    headers: dict[str, str]
    params: dict[str, str]
    data: bytes


class Client:
    """Sends requests, as somebody if it has a token."""

    def __init__(self, http: aiohttp.ClientSession, url: str, *, token: str | None = None) -> None:
        self.http = http
        self.url = url
        self.token = token

    def bearing(self, token: str | None) -> "Client":
        """Return a client like this one with another token."""
        return Client(self.http, self.url, token=token)

    async def request(self, method: str, path: str, json: object = None, **options: Unpack[Options]) -> Reply:
        """Send a request; `json` is the body unless `data` among the options is."""
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
        """GET."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, json: object = None, **options: Unpack[Options]) -> Reply:
        """POST."""
        return await self.request("POST", path, json, **options)

    async def patch(self, path: str, json: object = None, **options: Unpack[Options]) -> Reply:
        """PATCH."""
        return await self.request("PATCH", path, json, **options)

    async def delete(self, path: str, **options: Unpack[Options]) -> Reply:
        """DELETE."""
        return await self.request("DELETE", path, **options)


class Person(Client):
    """Somebody who is signed in."""

    def __init__(self, client: Client, account: JsonObject, tokens: JsonObject, password: str) -> None:
        super().__init__(client.http, client.url, token=tokens["access_token"])
        self.account = account
        self.tokens = tokens
        self.password = password

    @property
    def id(self) -> str:
        """The account's id."""
        return str(self.account["id"])

    @property
    def email(self) -> str:
        """The account's e-mail."""
        return str(self.account["email"])

    @property
    def credentials(self) -> JsonObject:
        """What the account signs in with."""
        return {"email": self.email, "password": self.password}


def unique(word: str) -> str:
    """Return a word that no other test uses."""
    return f"{word}-{next(_NUMBERS)}"


def fresh_email() -> str:
    """Return an address that nobody has."""
    return f"{unique('person')}@example.com"


def product_body(**fields: object) -> JsonObject:
    """Return a product to create, with a SKU of its own."""
    return {"sku": unique("SKU"), "name": "Oak Lamp", "brand": "Alder", "price": "19.99"} | fields


def ok(reply: Reply, status: int = 200) -> Any:  # noqa: ANN401 - JSON is any value
    """Assert a success and return its body, None if it has none."""
    assert reply.status == status, reply
    return reply.json if reply.body else None


def problem(reply: Reply, status: int, code: str) -> JsonObject:
    """Assert that an answer is the problem `code`, in the form that all have (RFC 9457), and return it."""
    assert reply.status == status, reply
    assert reply.headers["Content-Type"] == "application/problem+json"
    members: JsonObject = reply.json
    assert members["code"] == code, members
    assert members["status"] == status
    assert all(isinstance(members[name], str) and members[name] for name in ("type", "title", "detail", "instance"))
    return members


def refused(reply: Reply, *pointers: str) -> None:
    """Assert that just these fields of a body or parameters were refused."""
    members = problem(reply, 422, "validation_failed")
    assert [error["pointer"] for error in members["errors"]] == list(pointers), members
    assert all(error["detail"] for error in members["errors"])


async def sign_up(client: Client, *, password: str = PASSWORD, **fields: object) -> Person:
    """Register somebody and sign them in."""
    account = {"email": fresh_email(), "password": password, "name": "Somebody"} | fields
    made = ok(await client.post("/v1/auth/register", account), 201)
    return await sign_in(client, made, password)


async def sign_in(client: Client, account: JsonObject, password: str = PASSWORD) -> Person:
    """Sign in to an account."""
    tokens = ok(await client.post("/v1/auth/login", {"email": account["email"], "password": password}))
    return Person(client, account, tokens, password)


async def pages(client: Client, path: str, *, limit: int, start: str | None = None) -> list[list[JsonObject]]:
    """Read a listing to its end, page by page, by its cursors."""
    read: list[list[JsonObject]] = []
    cursor = start
    while cursor is not None or not read:
        joined = f"{path}{'&' if '?' in path else '?'}limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        page = ok(await client.get(joined))
        read.append(page["items"])
        cursor = page["next_cursor"]
    return read


async def raw(url: str, path: str, *headers: bytes, method: str = "GET", body: bytes = b"") -> bytes:
    """Send a request whose headers may hold any bytes; return the answer as it came."""
    host = urlsplit(url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    start = f"{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {len(body)}".encode()
    writer.write(b"\r\n".join([start, *headers, b"", body]))
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
