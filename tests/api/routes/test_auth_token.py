"""POST /v1/auth/token: OAuth 2.0 clients sign in with a password and refresh their tokens (RFC 6749)."""

import re
from urllib.parse import urlencode

import aiohttp
import pytest

from tests.api.client import Client, Person, Reply, ok, problem, sign_up
from tests.service import make_table, serving, settings_for
from vitrina.api.http.oauth import token_error
from vitrina.api.openapi.components import sample
from vitrina.api.openapi.document import errors_of
from vitrina.api.routes import auth
from vitrina.errors import VitrinaError

pytestmark = pytest.mark.engine("moto")
TOKEN = "/v1/auth/token"
ROUTE = next(route for route in auth.routes if route.path == TOKEN)


@pytest.fixture
async def somebody(anonymous: Client) -> Person:
    """An account that no other test uses."""
    return await sign_up(anonymous)


async def ask(client: Client, form: str, **headers: str) -> Reply:
    """Send a form."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"} | headers
    return await client.post(TOKEN, data=form.encode(), headers=headers)


def by_password(person: Person, **more: str) -> str:
    """Return the form of a sign-in."""
    return urlencode({"grant_type": "password", "username": person.email, "password": person.password} | more)


def refused(reply: Reply, code: str, status: int = 400) -> str:
    """Assert that the response is an error of RFC 6749 section 5.2, and return its description."""
    assert reply.status == status, reply
    assert reply.headers["Content-Type"] == "application/json"
    assert (reply.headers["Cache-Control"], reply.headers["Pragma"]) == ("no-store", "no-cache")
    assert reply.json.keys() == {"error", "error_description"}
    assert reply.json["error"] == code, reply
    return str(reply.json["error_description"])


async def test_a_password_buys_the_tokens_of_a_session(anonymous: Client, somebody: Person) -> None:
    """The response has the members of section 5.1 and those of a sign-in, and forbids caches to store it."""
    reply = await ask(anonymous, by_password(somebody))
    tokens = ok(reply)
    assert tokens.keys() == somebody.tokens.keys()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    assert (reply.headers["Cache-Control"], reply.headers["Pragma"]) == ("no-store", "no-cache")
    owner = anonymous.bearing(tokens["access_token"])
    assert ok(await owner.get("/v1/me")) == somebody.account
    sessions = ok(await owner.get("/v1/auth/sessions"))["items"]
    assert {session["id"] for session in sessions} == {tokens["session_id"], somebody.tokens["session_id"]}


async def test_a_refresh_token_buys_a_new_pair_once(anonymous: Client, somebody: Person) -> None:
    """The tokens of a sign-in and of this endpoint are the same; a used one ends the session."""
    form = urlencode({"grant_type": "refresh_token", "refresh_token": somebody.tokens["refresh_token"]})
    tokens = ok(await ask(anonymous, form))
    assert tokens["session_id"] == somebody.tokens["session_id"]
    ok(await anonymous.post("/v1/auth/refresh", {"refresh_token": tokens["refresh_token"]}))
    refused(await ask(anonymous, form), "invalid_grant")
    problem(await somebody.get("/v1/me"), 401, "invalid_token")


@pytest.mark.parametrize("header", ["Basic Og==", "Bearer nonsense", "", "\\xff"])
async def test_an_authorization_header_is_ignored(anonymous: Client, somebody: Person, header: str) -> None:
    """Swagger UI sends empty credentials of a client in one, and no client is registered."""
    ok(await ask(anonymous, by_password(somebody), Authorization=header))


async def test_unknown_and_empty_parameters_are_ignored(anonymous: Client, somebody: Person) -> None:
    """Sections 3.1 and 3.2."""
    ok(await ask(anonymous, by_password(somebody, client_id="docs", client_secret="x", scope="", refresh_token="")))


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ("", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("grant_type=password", "invalid_request"),
        ("grant_type=password&username=a@example.com&password=", "invalid_request"),
        ("grant_type=refresh_token", "invalid_request"),
        ("grant_type=password&grant_type=password", "invalid_request"),
        ("grant_type=password&username=a@example.com&password=x&other=1&other=2", "invalid_request"),
        ("grant_type=password&username=a%00@example.com&password=x", "invalid_request"),
        ("grant_type=password&username=a@example.com&password=%ff", "invalid_request"),
        (f"grant_type=password&username=a@example.com&password={'x' * 4_097}", "invalid_request"),
        ("&".join(f"p{number}=1" for number in range(1_000)), "invalid_request"),
        ("grant_type=client_credentials", "unsupported_grant_type"),
        ("grant_type=authorization_code&code=x", "unsupported_grant_type"),
        ("grant_type=password&username=a@example.com&password=x&scope=admin", "invalid_scope"),
        ("grant_type=password&username=a@example.com&password=wrong-lantern-2026", "invalid_grant"),
        ("grant_type=refresh_token&refresh_token=nonsense", "invalid_grant"),
    ],
)
async def test_what_is_wrong_has_the_code_of_rfc_6749(anonymous: Client, form: str, code: str) -> None:
    assert refused(await ask(anonymous, form), code)


async def test_a_deactivated_account_gets_no_token(anonymous: Client, somebody: Person, super_admin: Person) -> None:
    ok(await super_admin.patch(f"/v1/users/{somebody.id}", {"active": False}))
    refused(await ask(anonymous, by_password(somebody)), "invalid_grant")


@pytest.mark.parametrize("media_type", ["application/json", "multipart/form-data; boundary=x", "text/plain"])
async def test_another_media_type_is_415(anonymous: Client, somebody: Person, media_type: str) -> None:
    """Its code is one of section 5.2, as clients know no others."""
    reply = await anonymous.post(TOKEN, somebody.credentials, headers={"Content-Type": media_type})
    refused(reply, "invalid_request", 415)


async def test_tries_count_together_with_those_of_sign_in(engine: str, http: aiohttp.ClientSession) -> None:
    """Otherwise a guesser would have twice as many."""
    settings = settings_for(engine, login_limit=2)
    await make_table(settings)
    async with serving(settings) as service:
        client = Client(http, service.url)
        somebody = await sign_up(client)
        wrong = somebody.credentials | {"password": "wrong-lantern-2026"}
        problem(await client.post("/v1/auth/login", wrong), 401, "invalid_credentials")
        guess = by_password(somebody, password="wrong-lantern-2026")
        reply = await ask(client, guess)
        refused(reply, "invalid_grant")
        assert reply.headers["RateLimit-Remaining"] == "0"
        assert "WWW-Authenticate" not in reply.headers
        reply = await ask(client, by_password(somebody))
        refused(reply, "rate_limited", 429)
        assert int(reply.headers["Retry-After"]) > 0
        problem(await client.post("/v1/auth/login", somebody.credentials), 429, "rate_limited")


@pytest.mark.parametrize("error", errors_of(ROUTE), ids=lambda error: error.__name__)
def test_descriptions_have_the_characters_of_rfc_6749(error: type[VitrinaError]) -> None:
    """Section 5.2 allows neither quotes nor backslashes nor letters beyond ASCII."""
    _, members = token_error(sample(error))
    assert all(re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", text) for text in members.values())
