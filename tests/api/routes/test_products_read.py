"""GET /v1/products/{id} and /v1/products/by-sku/{sku}."""

import pytest

from tests.api.client import Client, JsonObject, Person, ok, problem, product_body, refused, unique

PUBLIC_FIELDS = {
    "id", "sku", "name", "brand", "description", "price", "currency", "created_at", "updated_at", "version",
}  # fmt: skip
MANAGERS_FIELDS = PUBLIC_FIELDS | {"created_by", "updated_by"}
DELETED_FIELDS = MANAGERS_FIELDS | {"deleted_at", "deleted_by", "original_sku"}


@pytest.fixture
async def product(admin: Person) -> JsonObject:
    """A live product."""
    made: JsonObject = ok(await admin.post("/v1/products", product_body(sku=unique("Read.Me_1"))), 201)
    return made


@pytest.fixture
async def deleted(admin: Person, product: JsonObject) -> JsonObject:
    """A deleted product."""
    ok(await admin.delete(f"/v1/products/{product['id']}"), 204)
    return product


def ways(product: JsonObject) -> list[str]:
    """The paths that read a product."""
    return [f"/v1/products/{product['id']}", f"/v1/products/by-sku/{product['sku']}"]


def tags(product: JsonObject) -> list[str]:
    """The entity tags of its first version, by each path."""
    return ['"1"', f'"{product["id"]}.1"']


async def test_the_public_sees_only_the_public_fields(anonymous: Client, user: Person, product: JsonObject) -> None:
    """Anonymous clients and users, by id and by SKU."""
    for path in ways(product):
        for client in (anonymous, user):
            seen = ok(await client.get(path))
            assert seen == {name: product[name] for name in PUBLIC_FIELDS}


async def test_managers_see_the_authors_of_a_product(admin: Person, super_admin: Person, product: JsonObject) -> None:
    assert product.keys() == MANAGERS_FIELDS
    for path in ways(product):
        for client in (admin, super_admin):
            assert ok(await client.get(path)) == product


async def test_a_sku_is_found_without_regard_to_case(anonymous: Client, product: JsonObject) -> None:
    seen = ok(await anonymous.get(f"/v1/products/by-sku/{product['sku'].upper()}"))
    assert seen["sku"] == product["sku"]


async def test_only_managers_see_a_deleted_product(
    anonymous: Client, user: Person, admin: Person, super_admin: Person, deleted: JsonObject
) -> None:
    """The public gets 404; managers see the time and author of the deletion and the original SKU."""
    path = f"/v1/products/{deleted['id']}"
    for client in (anonymous, user):
        problem(await client.get(path), 404, "not_found")
    for client in (admin, super_admin):
        seen = ok(await client.get(path))
        assert seen.keys() == DELETED_FIELDS
        assert seen["deleted_by"] == seen["updated_by"] == admin.id
        assert seen["deleted_at"] == seen["updated_at"]
        assert seen["original_sku"] == deleted["sku"]
        assert seen["sku"] == f"{deleted['sku']}_delete_{seen['deleted_at']}"
        assert seen["version"] == 2


async def test_a_deleted_product_is_not_found_by_any_sku(
    anonymous: Client, user: Person, admin: Person, deleted: JsonObject
) -> None:
    """Its old SKU and the replacement get 404, even for managers."""
    renamed = ok(await admin.get(f"/v1/products/{deleted['id']}"))["sku"]
    for sku in (deleted["sku"], renamed):
        for client in (anonymous, user, admin):
            problem(await client.get(f"/v1/products/by-sku/{sku}"), 404, "not_found")


STRANGE = [
    "nothing", "01890000-0000-7000-8000-000000000000", "x" * 3000, "%00", "%FF", "%ED%A0%80", "%20", "a%2Fb", "%25",
    "\u017fku", "PRODUCT", "..%2f..", "{id}", "0189-", "%F0%9F%92%A1" * 200,
]  # fmt: skip


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("path", ["/v1/products/{}", "/v1/products/by-sku/{}", "/v1/products/{}/prices"])
async def test_an_unknown_or_malformed_id_is_404(
    anonymous: Client, user: Person, admin: Person, path: str, strange: str
) -> None:
    for client in (anonymous, user, admin):
        problem(await client.get(path.format(strange)), 404, "not_found")


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/products/{}/history", None),
        ("PATCH", "/v1/products/{}", {"name": "x"}),
        ("DELETE", "/v1/products/{}", None),
        ("POST", "/v1/products/{}/restore", None),
    ],
)
async def test_an_unknown_product_cannot_be_managed(
    admin: Person, method: str, path: str, body: JsonObject | None, strange: str
) -> None:
    problem(await admin.request(method, path.format(strange), body), 404, "not_found")


async def test_a_sku_with_letters_that_case_fold_to_ascii_is_not_found(admin: Person, anonymous: Client) -> None:
    """U+017F folds to `s` and U+212A to `k`; neither is valid in a SKU."""
    sku = unique("skus")
    ok(await admin.post("/v1/products", product_body(sku=sku)), 201)
    for alike in (sku.replace("s", "\u017f", 1), sku.replace("k", "\u212a")):
        problem(await anonymous.get(f"/v1/products/by-sku/{alike}"), 404, "not_found")
        problem(await admin.get(f"/v1/products/by-sku/{alike}"), 404, "not_found")


async def test_head_has_the_status_and_headers_of_get(
    anonymous: Client, user: Person, admin: Person, product: JsonObject
) -> None:
    """RFC 9110 section 9.3.2."""
    for path in (*ways(product), "/v1/products", f"/v1/products/{product['id']}/prices"):
        for client in (anonymous, user, admin):
            got, headed = await client.get(path), await client.request("HEAD", path)
            assert (headed.status, headed.body) == (200, b"")
            for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control"):
                assert headed.headers.get(name) == got.headers.get(name), (path, name)


async def test_head_of_an_unknown_product_is_404_without_a_body(anonymous: Client) -> None:
    reply = await anonymous.request("HEAD", "/v1/products/nothing")
    assert (reply.status, reply.body) == (404, b"")


@pytest.mark.parametrize("condition", ["{tag}", "W/{tag}", '"9", {tag}', "*", '"9",W/{tag}'])
async def test_a_matching_if_none_match_gets_304(
    anonymous: Client, user: Person, admin: Person, product: JsonObject, condition: str
) -> None:
    """The response has the ETag and no body; the comparison is weak (RFC 9110 section 13.1.2)."""
    for path, tag in zip(ways(product), tags(product), strict=True):
        for client in (anonymous, user, admin):
            for method in ("GET", "HEAD"):
                reply = await client.request(method, path, headers={"If-None-Match": condition.format(tag=tag)})
                assert (reply.status, reply.body) == (304, b""), (path, method)
                assert reply.headers["ETag"] == tag


@pytest.mark.parametrize("condition", ['"2"', '"nonsense"', "", '"9", "8"'])
async def test_another_version_in_if_none_match_gets_the_product(
    anonymous: Client, admin: Person, product: JsonObject, condition: str
) -> None:
    """By id and by SKU a product has different tags, and each confirms only its own."""
    for path, tag, other in zip(ways(product), tags(product), reversed(tags(product)), strict=True):
        for client in (anonymous, admin):
            for given in (condition, other):
                reply = await client.get(path, headers={"If-None-Match": given})
                assert (ok(reply)["version"], reply.headers["ETag"]) == (1, tag)


async def test_a_malformed_if_none_match_is_reported(anonymous: Client, admin: Person, product: JsonObject) -> None:
    """Before existence, and after the token."""
    for path in (*ways(product), "/v1/products/nothing", "/v1/products/by-sku/nothing"):
        for condition in ("1", "nonsense", 'w/"1"', '"1'):
            headers = {"If-None-Match": condition}
            for client in (anonymous, admin):
                problem(await client.get(path, headers=headers), 400, "invalid_header")
            assert (await anonymous.request("HEAD", path, headers=headers)).status == 400
            problem(await anonymous.bearing("nonsense").get(path, headers=headers), 401, "invalid_token")


async def test_a_sku_that_changed_hands_is_not_confirmed(
    anonymous: Client, user: Person, admin: Person, product: JsonObject
) -> None:
    """The other product has the same version and SKU; its predecessor's tag names its predecessor."""
    path = f"/v1/products/by-sku/{product['sku']}"
    tag = (await anonymous.get(path)).headers["ETag"]
    ok(await admin.delete(f"/v1/products/{product['id']}"), 204)
    heir = ok(await admin.post("/v1/products", product_body(sku=product["sku"])), 201)
    for client in (anonymous, user, admin):
        reply = await client.get(path, headers={"If-None-Match": tag})
        assert (ok(reply)["id"], reply.headers["ETag"]) == (heir["id"], f'"{heir["id"]}.1"')


async def test_an_unknown_parameter_of_a_read_is_refused(anonymous: Client, admin: Person, product: JsonObject) -> None:
    """A bad token is reported before it."""
    for path in (*ways(product), "/v1/products/nothing"):
        for client in (anonymous, admin):
            refused(await client.get(f"{path}?fields=id&fields=sku&x"), "/fields", "/x")
            assert (await client.request("HEAD", f"{path}?x=1")).status == 422
        problem(await anonymous.bearing("nonsense").get(f"{path}?x=1"), 401, "invalid_token")
    ok(await anonymous.get(f"{ways(product)[0]}?"))


async def test_an_invalid_token_is_rejected_on_public_reads(anonymous: Client, product: JsonObject) -> None:
    """It is never treated as anonymous, not even when the product does not exist."""
    for path in (*ways(product), "/v1/products/nothing", "/v1/products", f"/v1/products/{product['id']}/prices"):
        for header in ("Bearer nonsense", "Bearer", "", "Basic dTpw", "Bearer a.b.c, Bearer d.e.f"):
            reply = await anonymous.get(path, headers={"Authorization": header})
            problem(reply, 401, "invalid_token")
            assert reply.headers["WWW-Authenticate"].startswith("Bearer")


async def test_an_anonymous_response_is_revalidated_and_varies_by_authorization(
    anonymous: Client, product: JsonObject
) -> None:
    """A cache must not serve an anonymous response to an admin, for whom the version is the same."""
    for path, tag in zip(ways(product), tags(product), strict=True):
        for headers in ({}, {"If-None-Match": tag}):
            reply = await anonymous.get(path, headers=headers)
            assert reply.headers["Cache-Control"] == "no-cache"
            assert "Authorization" in reply.headers.get("Vary", "")


async def test_responses_to_signed_in_clients_are_not_cached(user: Person, admin: Person, product: JsonObject) -> None:
    """Private responses have `no-store`."""
    for path in ways(product):
        for client in (user, admin):
            assert (await client.get(path)).headers["Cache-Control"] == "no-store"
