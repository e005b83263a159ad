"""HTTP allows any byte in a header (RFC 9110 section 5.5); headers that are not text cause no error."""

import asyncio

import orjson
import pytest

from tests.api.client import JsonObject, Person, ok, product_body, raw, sign_in
from tests.api.views import stored_views
from tests.service import Service

pytestmark = pytest.mark.engine(
    "dynamodb_local", "ministack"
)  # the engines differ in the lone surrogates that they accept


@pytest.fixture
async def product(admin: Person) -> JsonObject:
    """A live product."""
    made: JsonObject = ok(await admin.post("/v1/products", product_body()), 201)
    return made


@pytest.mark.parametrize(
    "headers",
    [
        [b"User-Agent: \xff\xfe broken"],
        [b"Referer: http://ex\xffample.org/\xe9"],
        [b"Referer: http://xn--nxasmq6b.example/", b"User-Agent: \xf0\x9f\x92\xa1"],
        [b"Referer: http://" + b"a" * 5000 + b".example/"],
        [b"User-Agent: " + b"x" * 7000],
        [b"Referer: http://caf\xc3\xa9.example/", b"User-Agent:"],
        [b"X-Forwarded-For: \xff", b"Referer: http://\xed\xa0\x80/"],
        [],
    ],
)
async def test_a_read_with_invalid_headers_succeeds(
    service: Service, product: JsonObject, headers: list[bytes]
) -> None:
    """The stored view can be read, as can others of its segment."""
    for path in (f"/v1/products/{product['id']}", f"/v1/products/by-sku/{product['sku']}"):
        answers = await asyncio.gather(raw(service.url, path, *headers), raw(service.url, path))
        assert all(answer.startswith(b"HTTP/1.1 200 OK") for answer in answers), answers
    assert len(await stored_views(service, product["id"])) == 4


@pytest.mark.parametrize("agent", [b"\xff\xfe broken", b"caf\xc3\xa9", b"", b"x" * 7000])
async def test_a_session_with_an_invalid_user_agent_can_be_listed(service: Service, user: Person, agent: bytes) -> None:
    """Bytes of the `User-Agent` that are not UTF-8 are replaced, because JSON cannot hold them."""
    body = orjson.dumps(user.credentials)
    headers = (b"Content-Type: application/json", b"User-Agent: " + agent)
    answer = await raw(service.url, "/v1/auth/login", *headers, method="POST", body=body)
    session_id = orjson.loads(answer.partition(b"\r\n\r\n")[2])["session_id"]
    sessions = ok(await (await sign_in(user, user.account)).get("/v1/auth/sessions?limit=100"))["items"]
    shown = next(session["user_agent"] for session in sessions if session["id"] == session_id)
    assert agent.decode(errors="replace").startswith(shown.replace("?", "\ufffd"))


@pytest.mark.parametrize(
    "header", ["Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-ID", "Origin", "Cookie",
               "Content-Type", "Content-Encoding", "Expect", "X-Forwarded-For", "X-Forwarded-Proto", "Accept"],
)  # fmt: skip
@pytest.mark.parametrize("value", [b"\xff", b"", b"\xed\xa0\x80", b"a" * 7000])
@pytest.mark.engine("dynamodb_local")
async def test_no_route_responds_with_500_to_invalid_headers(
    service: Service, admin: Person, product: JsonObject, header: str, value: bytes
) -> None:
    path, token = f"/v1/products/{product['id']}", f"Bearer {admin.token}"
    calls = [("GET", path, None), ("GET", "/v1/products", None), ("PATCH", path, {"name": "Oak Lamp"})]
    calls += [("POST", "/v1/products", product_body()), ("GET", "/healthz", None), ("POST", "/v1/nothing", {})]
    for method, where, body in calls:
        headers = {"Authorization": token.encode(), "Content-Type": b"application/json"} | {header: value}
        lines = [name.encode() + b": " + content for name, content in headers.items()]
        answer = await raw(service.url, where, *lines, method=method, body=orjson.dumps(body) if body else b"")
        status = int(answer.split(b" ", 2)[1])
        assert status < 500, answer
        assert status != 400 or b"problem+json" in answer
