"""No cache, of this process or on the way, gives a reader what another one caused or may alone see.

ASVS 5.0 V14.2.2, V14.2.5 and V14.3.2, API8:2023.
"""

import pytest

from tests.api.client import Client, JsonObject, Person, ok, product_body
from tests.api.test_policy import CALLS, SIGN_IN, nowhere

PRIVATE = "no-store"
PUBLIC = {f"/v1/products{rest}" for rest in ("", "/{product_id}", "/by-sku/{sku}", "/{product_id}/prices")}
UNKEYED = {
    "Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "6",
    "X-Forwarded-Prefix": "/evil", "Forwarded": "host=evil.example;proto=https", "X-Original-URL": "/v1/users",
    "X-Rewrite-URL": "/v1/users", "X-HTTP-Method-Override": "DELETE", "Accept": "text/html", "Accept-Encoding": "br",
    "Accept-Language": "evil", "Cookie": "evil=1", "Origin": "https://evil.example", "Range": "bytes=0-3",
    "If-None-Match": '"evil"', "If-Modified-Since": "Tue, 01 Jan 2030 00:00:00 GMT", "X-Request-ID": "evil",
    "User-Agent": "evil", "Referer": "https://evil.example/",
}  # fmt: skip
"""Headers that are no part of a cache's key."""


@pytest.fixture(scope="module")
async def products(admin: Person) -> list[JsonObject]:
    """Live products."""
    return [ok(await admin.post("/v1/products", product_body()), 201) for _ in range(3)]


@pytest.mark.parametrize("header", [*UNKEYED, "Authorization"])
async def test_no_header_of_one_reader_is_in_the_response_to_the_next(
    anonymous: Client, admin: Person, products: list[JsonObject], header: str
) -> None:
    """The first to ask for a page or a product, which the process then keeps, has no say in what others get."""
    headers = {header: UNKEYED[header]} if header in UNKEYED else {header: f"Bearer {admin.token}"}
    paths = [f"/v1/products?limit=1&name_prefix={header}", "/v1/products?limit=1&brand=Alder&sort=name"]
    for path in [*paths, f"/v1/products/{products[0]['id']}", f"/v1/products/by-sku/{products[1]['sku']}"]:
        ok(await anonymous.get(path, headers=headers), 200)
        reply = await anonymous.get(path)
        again = await anonymous.get(path)
        ok(reply)
        assert b"created_by" not in reply.body
        assert "evil" not in f"{reply.headers} {reply.body.decode()}".replace("X-Request-ID", "")
        fixed = [{**each.headers, "Date": "", "X-Request-ID": ""} for each in (reply, again)]
        assert (fixed[0], reply.body) == (fixed[1], again.body)
        if "Link" in reply.headers:
            assert reply.headers["Link"].startswith(f"<{anonymous.url}/v1/products?")


async def test_spellings_of_a_query_are_one_query_or_an_error(anonymous: Client, products: list[JsonObject]) -> None:
    """What a cache in front keys apart or together, the service reads in one way (V15.3.7)."""
    assert products
    page = ok(await anonymous.get("/v1/products?limit=2&sort=name"))
    for query in ("sort=name&limit=2", "limit=%32&sort=n%61me", "limit=2&&sort=name&", "limit=02&sort=name"):
        assert ok(await anonymous.get(f"/v1/products?{query}")) == page
    for query in ("limit=2&limit=3", "limit=2&sort=name&sort=price", "limit=2;sort=name", "limit=+2", "limit=%202",
                  "Limit=2", "limit[]=2", "sort=NAME", "utm_source=evil", "callback=evil"):  # fmt: skip
        assert (await anonymous.get(f"/v1/products?{query}")).status == 422, query


@pytest.mark.parametrize("method_path", CALLS, ids=" ".join)
async def test_only_public_responses_may_be_stored(
    anonymous: Client, super_admin: Person, products: list[JsonObject], method_path: tuple[str, str]
) -> None:
    """Errors and what needs a token are `no-store`; what caches may keep they must ask for again, for each token."""
    method, path = method_path
    where = path.replace("{product_id}", products[0]["id"]).replace("{sku}", products[1]["sku"])
    callers = [anonymous] if method_path in SIGN_IN else [super_admin, anonymous, anonymous.bearing("nonsense")]
    for caller in callers:
        reply = await caller.request(method, nowhere(where), {} if method in {"POST", "PUT", "PATCH"} else None)
        stored = method in {"GET", "HEAD"} and path in PUBLIC and caller is anonymous
        assert reply.headers["Cache-Control"] == ("no-cache" if stored else PRIVATE), reply
        assert (reply.headers.get("Vary") == "Authorization") == stored
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
        assert reply.headers["Server"] == "vitrina"
