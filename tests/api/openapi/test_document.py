"""The OpenAPI document describes the routes as they are declared."""

import re
from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import aiohttp
import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from scripts.devstack import demo
from tests.api.client import Client
from tests.api.openapi.released import RELEASED, contract
from tests.api.small import ROUTES, settings, small_service
from vitrina.api.application import ROUTES as OUR_ROUTES, all_routes
from vitrina.api.http.problems import (
    TABLE,
    BadRequest,
    InvalidHeader,
    MalformedJson,
    PayloadTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
)
from vitrina.api.http.routing import PUBLIC, Route
from vitrina.api.openapi.document import document, errors_of
from vitrina.errors import (
    AuthenticationRequired,
    Conflict,
    Forbidden,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    InvalidCursor,
    InvalidToken,
    NotFound,
    RateLimited,
    SkuTaken,
    TableUnavailable,
    Unavailable,
    ValidationFailed,
    VersionMismatch,
)

_ALWAYS = {BadRequest, InvalidHeader, ValidationFailed, Unavailable, InvalidToken, TableUnavailable}
_BODY = {MalformedJson, UnsupportedMediaType, PayloadTooLarge, RequestTimeout}


@pytest.fixture
async def small(http: aiohttp.ClientSession) -> AsyncIterator[Client]:
    """A client of the small application."""
    async with small_service() as url:
        yield Client(http, url)


@pytest.fixture(scope="module")
def small_document() -> dict[str, Any]:
    """The document of the small application, as it is served."""
    routes = all_routes(settings(), ROUTES)
    return dict(orjson.loads(orjson.dumps(document(routes))))


def _route(method: str, path: str) -> Route:
    return next(route for route in ROUTES if (route.method, route.path) == (method, path))


@pytest.mark.parametrize("routes", [ROUTES, OUR_ROUTES], ids=["small", "ours"])
def test_the_document_is_valid_openapi(routes: tuple[Route, ...]) -> None:
    made = document(all_routes(settings(), routes), server="https://api.example")
    OpenAPIV31SpecValidator(orjson.loads(orjson.dumps(made))).validate()
    assert made["openapi"] == "3.1.0"
    assert made["servers"] == [{"url": "https://api.example"}]


def test_the_document_is_deterministic() -> None:
    """A difference between two documents is then a change of the service."""
    first, second = (orjson.dumps(document(all_routes(settings(), OUR_ROUTES))) for _ in range(2))
    assert first == second


def test_the_document_differs_from_the_released_one_only_in_texts() -> None:
    """A client generated from the released document must continue to work."""
    made = orjson.loads(orjson.dumps(document(all_routes(settings(), OUR_ROUTES))))
    assert contract(made) == orjson.loads(RELEASED.read_bytes())


def test_the_document_has_every_route_that_is_not_hidden(small_document: dict[str, Any]) -> None:
    """Routes for operations have the tag `ops`."""
    found = {(method.upper(), path) for path, item in small_document["paths"].items() for method in item}
    documented = {(route.method, route.template) for route in ROUTES}
    ops = {("GET", path) for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json")}
    assert found == documented | ops
    assert all(small_document["paths"][path]["get"]["tags"] == ["ops"] for _, path in ops)
    assert "/docs" not in document(all_routes(settings(docs=False), ROUTES))["paths"]


@pytest.mark.parametrize(
    ("method", "path", "implied"),
    [
        ("GET", "/v1/who", set()),
        ("GET", "/v1/mine", {AuthenticationRequired, Forbidden}),
        ("GET", "/v1/accounts", {AuthenticationRequired, Forbidden}),
        ("POST", "/v1/widgets", _BODY | {IdempotencyKeyReused, IdempotencyInProgress}),
        ("POST", "/v1/touch", _BODY | {RateLimited}),
        ("GET", "/v1/widgets/{id}", {NotFound}),
        ("DELETE", "/v1/widgets/{id}", {NotFound, VersionMismatch, Conflict}),
        ("GET", "/v1/pages", {InvalidCursor}),
        ("GET", "/v1/fail", {SkuTaken, NotFound}),
    ],
)
def test_a_route_has_the_errors_of_its_declaration(method: str, path: str, implied: set[type]) -> None:
    assert set(errors_of(_route(method, path))) == _ALWAYS | implied


def test_each_error_is_an_example_under_its_status(small_document: dict[str, Any]) -> None:
    for route in ROUTES:
        operation = small_document["paths"][route.template][route.method.lower()]
        for error in errors_of(route):
            answer = operation["responses"][str(TABLE[error].status.value)]
            examples = answer["content"]["application/problem+json"]["examples"]
            assert examples[TABLE[error].code]["value"]["code"] == TABLE[error].code


def test_security_follows_from_the_policy(small_document: dict[str, Any]) -> None:
    """A public route accepts a token, some routes an API key; a probe declares no security."""
    for route in ROUTES:
        operation = small_document["paths"][route.template][route.method.lower()]
        signed_in: list[dict[str, list[str]]] = [{"password": []}, {"bearer": []}]
        signed_in += [{"api_key": [route.scope]}] if route.scope else []
        assert operation["security"] == ([{}, *signed_in] if route.allow is PUBLIC else signed_in)
        access = "For everyone; a token is optional. " if route.allow is PUBLIC else "For "
        assert operation["description"].rpartition("\n")[2].startswith(access)
    assert small_document["paths"]["/healthz"]["get"]["security"] == []
    assert small_document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_the_password_flow_leads_to_the_token_endpoint() -> None:
    made = document(all_routes(settings(), OUR_ROUTES))
    flow = made["components"]["securitySchemes"]["password"]["flows"]["password"]
    token = made["paths"][flow["tokenUrl"]]["post"]
    assert token["security"] == []
    assert token["requestBody"]["content"].keys() == {"application/x-www-form-urlencoded"}
    assert {status for status, answer in token["responses"].items() if "TokenError" in str(answer)} == {
        "400", "408", "413", "415", "429", "503",
    }  # fmt: skip


def test_every_parameter_is_described_with_its_bounds_and_default() -> None:
    """A default that is no constant is in the description."""
    made = orjson.loads(orjson.dumps(document(all_routes(settings(), OUR_ROUTES))))
    operations = [operation for path in made["paths"].values() for operation in path.values()]
    parameters = [each for operation in operations for each in operation["parameters"] if "$ref" not in each]
    assert {each["in"] for each in parameters} == {"path", "query"}
    for parameter in parameters:
        schema = parameter["schema"]
        assert parameter["description"].endswith("."), parameter
        assert "null" not in str(schema)
        if parameter["in"] == "query":
            assert "default" in schema or "by default" in parameter["description"], parameter
        if schema.get("type") == "integer":
            assert {"minimum", "maximum"} <= schema.keys(), parameter


def test_bounds_are_in_the_words_of_json_schema() -> None:
    """Of a field with a validator of its own pydantic writes `ge` and `le`, which nobody else reads."""
    made = orjson.dumps(document(all_routes(settings(), OUR_ROUTES)))
    assert not re.findall(rb'"(?:g|l)[et]":', made)
    assert made.count(b'"maximum":1440') == made.count(b'"maximum":365') == 1


def test_only_the_demo_names_accounts_of_the_demo() -> None:
    """Its document has them in its description and in the examples of a sign-in, which a form takes by field."""
    routes = all_routes(settings(), OUR_ROUTES)
    usual, shown = (document(routes), document(routes, demo=demo.DOCUMENT))
    for secret in (demo.PASSWORD, demo.SUPER_ADMIN[0], "This is the demo"):
        assert secret not in str(usual)
        assert secret in shown["info"]["description"]
    body = shown["paths"]["/v1/auth/login"]["post"]["requestBody"]["content"]["application/json"]
    assert body["example"] == {"email": demo.SUPER_ADMIN[0], "password": demo.PASSWORD}
    fields = shown["components"]["schemas"]["TokenRequest"]["properties"]
    assert (fields["password"]["examples"], fields["scope"]["examples"]) == ([demo.PASSWORD], [""])
    assert shown["paths"]["/v1/products/by-sku/{sku}"]["get"]["parameters"][0]["example"] == "AA-LAM-OAK"


def test_bodies_queries_paths_and_headers_are_described(small_document: dict[str, Any]) -> None:
    paths = small_document["paths"]
    created = paths["/v1/widgets"]["post"]
    assert created["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Widget"}}},
    }
    assert {"Location", "Idempotency-Replayed", "X-Request-ID"} == created["responses"]["201"]["headers"].keys()
    assert paths["/v1/touch"]["post"]["requestBody"]["required"] is False
    assert len(paths["/v1/widgets/{id}"]["patch"]["requestBody"]["content"]) == 2
    assert paths["/v1/widgets"]["get"]["parameters"][:2] == [
        {
            "name": "limit",
            "in": "query",
            "required": False,
            "description": "How many.",
            "schema": {"type": "integer", "default": 25, "minimum": 1, "maximum": 100},
        },
        {
            "name": "from",
            "in": "query",
            "required": False,
            "schema": {"type": "string"},
        },
    ]
    read = paths["/v1/widgets/{id}"]["get"]
    assert {"$ref": "#/components/parameters/IfNoneMatch"} in read["parameters"]
    assert read["responses"].keys() >= {"200", "304"}
    assert read["responses"]["304"]["headers"].keys() == {"X-Request-ID", "ETag"}
    assert {"$ref": "#/components/parameters/IfMatch"} in paths["/v1/widgets/{id}"]["delete"]["parameters"]
    assert "Link" in paths["/v1/pages"]["get"]["responses"]["200"]["headers"]
    assert paths["/v1/stream"]["get"]["responses"]["200"]["content"] == {"text/plain": {}, "text/csv": {}}
    widget = small_document["components"]["schemas"]["Widget"]
    assert widget["additionalProperties"] is False
    assert widget["properties"]["name"] == {"type": "string", "minLength": 1, "maxLength": 10}


def test_a_replay_has_its_header_in_the_document() -> None:
    """Successes are replayed, and refusals that stored data decided."""
    paths = document(all_routes(settings(), OUR_ROUTES))["paths"]
    found = {
        (path, status)
        for path, operations in paths.items()
        for status, response in operations.get("post", {}).get("responses", {}).items()
        if "Idempotency-Replayed" in response["headers"]
    }
    created = {"/v1/auth/register", "/v1/auth/keys", "/v1/users", "/v1/products"}
    assert found == {*product(created, ("201", "409")), ("/v1/products/batch", "200")}


async def test_the_document_is_served(small: Client) -> None:
    """It is public, and has an ETag."""
    reply = await small.get("/openapi.json")
    assert reply.json["info"]["title"] == "Vitrina"
    again = await small.get("/openapi.json", headers={"If-None-Match": reply.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")
