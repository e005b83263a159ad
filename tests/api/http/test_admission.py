"""Which role can call a route, and the order of the checks (api.md: authentication, authorisation, shape)."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.api.client import Client
from tests.api.small import small_service
from vitrina.domain.users import Role


@pytest.fixture(scope="module")
async def small(http: aiohttp.ClientSession) -> AsyncIterator[Client]:
    """A client of the small application."""
    async with small_service(trusted_proxies="127.0.0.0/8") as url:
        yield Client(http, url)


@pytest.mark.parametrize("path", ["/v1/who", "/v1/late"])
@pytest.mark.parametrize(("token", "caller"), [(None, "None"), (Role.USER, "id-of-user")])
async def test_a_public_route_accepts_every_caller(small: Client, path: str, token: str | None, caller: str) -> None:
    reply = await small.bearing(token).get(path)
    assert reply.status == 200
    assert reply.json["id"] == caller


@pytest.mark.parametrize("path", ["/v1/who", "/v1/late", "/v1/mine", "/v1/accounts"])
@pytest.mark.parametrize(
    "authorization", ["Bearer wrong", "Bearer", "Bearer ", "Bearer a b", "Basic dTpw", "user", "Bearer ü", ""]
)
async def test_an_invalid_token_is_rejected_on_every_route(small: Client, path: str, authorization: str) -> None:
    """Public routes must not treat its sender as anonymous."""
    reply = await small.get(path, headers={"Authorization": authorization})
    assert (reply.status, reply.json["code"]) == (401, "invalid_token")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="vitrina", error="invalid_token"'
    assert reply.headers["Cache-Control"] == "no-store"


async def test_two_tokens_in_one_request_are_rejected(small: Client) -> None:
    """The request is ambiguous."""
    async with small.http.get(
        small.url + "/v1/mine", headers=[("Authorization", "Bearer user"), ("Authorization", "Bearer admin")]
    ) as answer:
        assert answer.status == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_the_scheme_has_no_case(small: Client, scheme: str) -> None:
    """RFC 9110 section 11.1."""
    reply = await small.get("/v1/mine", headers={"Authorization": f"{scheme} user"})
    assert reply.status == 200


@pytest.mark.parametrize(
    ("path", "token", "status", "code"),
    [
        ("/v1/mine", None, 401, "authentication_required"),
        ("/v1/mine", "user", 200, None),
        ("/v1/accounts", None, 401, "authentication_required"),
        ("/v1/accounts", "user", 403, "forbidden"),
        ("/v1/accounts", "admin", 403, "forbidden"),
        ("/v1/accounts", "super_admin", 200, None),
        ("/v1/accounts", "outage", 503, "table_unavailable"),
    ],
)
async def test_the_policy_of_a_route_decides_by_role(
    small: Client, path: str, token: str | None, status: int, code: str | None
) -> None:
    reply = await small.bearing(token).get(path)
    assert (reply.status, reply.json.get("code")) == (status, code)


@pytest.mark.parametrize(
    ("token", "headers", "body", "status"),
    [
        (None, {"Content-Type": "text/plain"}, b"{", 401),
        ("user", {"Content-Type": "text/plain"}, b"{", 403),
        ("super_admin", {"Content-Type": "text/plain"}, b"{", 415),
        ("super_admin", {"Content-Type": "application/json"}, b"{", 400),
        ("super_admin", {"Content-Type": "application/json"}, b'{"name": ""}', 422),
        ("super_admin", {"Content-Type": "application/json"}, b'{"name": "x"}', 201),
    ],
)
async def test_permission_is_checked_before_shape(
    small: Client, token: str | None, headers: dict[str, str], body: bytes, status: int
) -> None:
    """A caller without permission must not learn what is wrong with the body."""
    reply = await small.bearing(token).post("/v1/accounts", data=body, headers=headers)
    assert reply.status == status


async def test_handlers_see_the_client_behind_trusted_proxies(small: Client) -> None:
    """The `User-Agent` is cut to 512 characters, the length that sessions store."""
    reply = await small.get("/v1/who", headers={"X-Forwarded-For": "1.1.1.1, 203.0.113.9", "User-Agent": "a" * 600})
    assert reply.json == {"id": "None", "address": "203.0.113.9", "agent": "a" * 512}


async def test_probes_ignore_tokens_of_other_services(small: Client) -> None:
    """A scraper sends the same token to every target."""
    assert (await small.get("/healthz", headers={"Authorization": "Basic dTpw"})).status == 200
