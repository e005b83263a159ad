"""The cursors of product listings are opaque, signed and valid for one query."""

import pytest

from tests.api.client import Client, Person, ok, problem, product_body, unique


@pytest.fixture(scope="module")
async def products(admin: Person) -> int:
    """Create a few products of two brands; return their number."""
    names = ("apple", "apricot", "avocado", "banana")
    for brand in ("one", "other"):
        for name in names:
            ok(await admin.post("/v1/products", product_body(brand=brand, name=name)), 201)
    return 2 * len(names)


async def cursor_of(client: Client, query: str) -> str:
    """Return the cursor of the first page of a query."""
    return str(ok(await client.get(f"/v1/products?limit=2&{query}"))["next_cursor"])


async def test_a_cursor_of_products_is_valid_only_for_its_own_query(
    anonymous: Client, admin: Person, user: Person, products: int
) -> None:
    """It is bound to the listing, its sort order and its filters, but not to the limit or the caller."""
    assert products
    queries = ["sort=newest", "sort=name", "sort=price", "sort=-price", "brand=other", "brand=other&sort=name",
               "name_prefix=a", "name_prefix=ap", "brand=other&name_prefix=a"]  # fmt: skip
    cursors = {query: await cursor_of(anonymous, query) for query in queries}
    for query in queries:
        for other, cursor in cursors.items():
            reply = await anonymous.get(f"/v1/products?{query}&cursor={cursor}")
            if query == other:
                ok(reply)
            else:
                problem(reply, 400, "invalid_cursor")
    for client in (admin, user):
        ok(await client.get(f"/v1/products?sort=name&limit=100&cursor={cursors['sort=name']}"))
    ok(await anonymous.get(f"/v1/products?brand=OTHER&cursor={cursors['brand=other']}"))
    ok(await anonymous.get(f"/v1/products?cursor={cursors['sort=newest']}"))
    ok(await anonymous.get(f"/v1/products?name_prefix=A&sort=name&cursor={cursors['name_prefix=a']}"))
    problem(await admin.get(f"/v1/products/deleted?cursor={cursors['sort=newest']}"), 400, "invalid_cursor")
    problem(await admin.get(f"/v1/auth/sessions?cursor={cursors['sort=newest']}"), 400, "invalid_cursor")


async def test_a_forged_cursor_is_rejected(anonymous: Client, products: int) -> None:
    """One character is changed, added or removed."""
    assert products
    cursor = await cursor_of(anonymous, "sort=name")
    forged = [
        "x",
        "null",
        "=",
        "e30",
        "\u00e9",
        "a b",
        cursor + "A",
        cursor + "=",
        cursor[:-1],
        cursor[1:],
        "A" * 5000,
        cursor * 2,
    ]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place in (0, 10, len(cursor) // 2, len(cursor) - 1):
        forged += [cursor[:place] + other + cursor[place + 1 :] for other in alphabet if other != cursor[place]]
    for text in forged:
        reply = await anonymous.get("/v1/products", params={"sort": "name", "cursor": text})
        problem(reply, 400, "invalid_cursor")


async def test_a_cursor_outlives_the_product_at_its_position(admin: Person, anonymous: Client) -> None:
    """If this product is deleted, renamed or repriced, the next pages skip and repeat no other product."""
    brand = unique("Survivor")
    made = [
        ok(await admin.post("/v1/products", product_body(brand=brand, name=f"N{n}", price=n)), 201) for n in range(6)
    ]
    for sort, wanted in (("name", made), ("price", made), ("newest", made[::-1]), ("-price", made[::-1])):
        first = ok(await admin.get("/v1/products", params={"brand": brand, "sort": sort, "limit": "2"}))
        last = first["items"][-1]
        ok(await admin.delete(f"/v1/products/{last['id']}"), 204)
        rest = ok(
            await admin.get("/v1/products", params={"brand": brand, "sort": sort, "cursor": first["next_cursor"]})
        )
        assert [item["id"] for item in rest["items"]] == [product["id"] for product in wanted[2:]]
        ok(await admin.post(f"/v1/products/{last['id']}/restore"))
    assert ok(await anonymous.get("/v1/products", params={"brand": brand, "limit": "6"}))["next_cursor"] is None
