"""GET /v1/products: sort orders, filters, pages and cursors."""

import random
import unicodedata
from collections.abc import Callable

import pytest

from tests.api.client import Client, JsonObject, Person, ok, pages, product_body, refused, unique

NAMES = [
    "Zebra", "apple", "Apple", "APPLE pie", "apple\u00a0pie", "Ápple", "A\u0301pple", "ápple", "Straße", "STRASSE",
    "strasse 2", "Éclair", "eclair", "\u00e9clair", "\U0001f4a1 bulb", "10 cups", "9 cups", "a", "A", "a!", "a b", "ab",
    "\ufb01ne", "fine", "~", "Ω", "ω",
]  # fmt: skip
PRICES = ["10", "9.99", "100", "0", "10.00", "9.9", "0.01", "123456789012.34", "10.01", "99999", "5", "5", "5"]


BRAND = "Ärger & Co"
BRAND_IN_URL = "%C3%84rger%20%26%20Co"
SortKey = tuple[str | float, str]


def folded(text: str) -> str:
    """The case-folded NFC form of a name, the sort key of names."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


@pytest.fixture(scope="module")
async def catalogue(admin: Person) -> list[JsonObject]:
    """Products of two brands in order of creation, as managers see them."""
    chance = random.Random(1)
    fields = [(name, chance.choice(PRICES), brand) for name in NAMES for brand in (BRAND, "other")]
    chance.shuffle(fields)
    return [
        ok(await admin.post("/v1/products", product_body(name=name, price=price, brand=brand)), 201)
        for name, price, brand in fields
    ]


def newest(product: JsonObject) -> SortKey:
    """The newest first; products of the same instant are in any fixed order of their ids."""
    return (product["created_at"], product["id"])


def by_name(product: JsonObject) -> SortKey:
    """Sort by case-folded NFC name, code point by code point."""
    return (folded(product["name"]), product["id"])


def by_price(product: JsonObject) -> SortKey:
    """Sort by amount."""
    return (float(product["price"]), product["id"])


ORDERS: dict[str, tuple[Callable[[JsonObject], SortKey], bool]] = {
    "newest": (newest, True),
    "name": (by_name, False),
    "price": (by_price, False),
    "-price": (by_price, True),
}


@pytest.mark.parametrize(("limit", "brand"), [(1, BRAND), (9, BRAND), (9, None), (27, BRAND), (54, None), (100, None)])
@pytest.mark.parametrize("sort", ORDERS)
async def test_every_sort_order_lists_each_product_once_in_full_pages(
    admin: Person, catalogue: list[JsonObject], sort: str, brand: str | None, limit: int
) -> None:
    """This holds with and without a brand, with ties, and for any page size; the last page is never empty."""
    key, descending = ORDERS[sort]
    wanted = [product for product in catalogue if brand in {None, product["brand"]}]
    path = f"/v1/products?sort={sort.replace('+', '%2B')}" + (f"&brand={BRAND_IN_URL}" if brand else "")
    read = await pages(admin, path, limit=limit)
    assert [len(page) for page in read[:-1]] == [limit] * ((len(wanted) - 1) // limit)
    assert [item for page in read for item in page] == sorted(wanted, key=key, reverse=descending)


async def test_the_default_is_the_newest_25_products(
    anonymous: Client, user: Person, catalogue: list[JsonObject]
) -> None:
    """The page has a cursor and a link to the next; the public sees only the public fields."""
    for client in (anonymous, user):
        reply = await client.get("/v1/products")
        page = ok(reply)
        assert page.keys() == {"items", "next_cursor"}
        newest_first = sorted(catalogue, key=newest, reverse=True)[:25]
        public = [
            {name: value for name, value in product.items() if name not in {"created_by", "updated_by"}}
            for product in newest_first
        ]
        assert page["items"] == public
        assert reply.headers["Link"] == f'<{anonymous.url}/v1/products?cursor={page["next_cursor"]}>; rel="next"'


async def test_the_next_link_leads_through_all_pages(anonymous: Client, catalogue: list[JsonObject]) -> None:
    """It keeps the query of the request, with its escapes; the last page has no link."""
    url, seen = f"/v1/products?brand={BRAND_IN_URL}&sort=name&limit=10", 0
    while url:
        reply = await anonymous.get(url)
        seen += len(ok(reply)["items"])
        link = reply.headers.get("Link")
        assert (link is None) == (reply.json["next_cursor"] is None)
        url = link.removeprefix(f"<{anonymous.url}").removesuffix('>; rel="next"') if link else ""
    assert seen == len(catalogue) // 2


@pytest.mark.parametrize("brand", ["ärger & co", "ÄRGER & CO", "A\u0308rger & Co", " Ärger & Co "])
async def test_the_brand_filter_ignores_case_and_composition(
    anonymous: Client, catalogue: list[JsonObject], brand: str
) -> None:
    read = ok(await anonymous.get("/v1/products", params={"brand": brand, "limit": "100"}))
    assert len(read["items"]) == len(catalogue) // 2


async def test_an_unknown_brand_is_an_empty_page(anonymous: Client, catalogue: list[JsonObject]) -> None:
    """The filter does not match a part of a brand."""
    assert catalogue
    for brand in ("Ärger", "Ärger & Co.", "nobody"):
        reply = await anonymous.get("/v1/products", params={"brand": brand})
        assert ok(reply) == {"items": [], "next_cursor": None}
        assert "Link" not in reply.headers


@pytest.mark.parametrize(
    "prefix",
    [
        "a",
        "A",
        "app",
        "APPLE",
        "á",
        "A\u0301",
        "stra",
        "STRASS",
        "straß",
        "ecl",
        "é",
        "fi",
        "\U0001f4a1",
        "1",
        "z",
        "x",
    ],
)
@pytest.mark.parametrize("brand", [None, "other"])
async def test_a_name_prefix_ignores_case(
    admin: Person, catalogue: list[JsonObject], prefix: str, brand: str | None
) -> None:
    """It implies sorting by name and can be combined with a brand. Every page but the last is full."""
    params = {"name_prefix": prefix, "limit": "2"} | ({"brand": brand, "sort": "name"} if brand else {})
    found: list[JsonObject] = []
    while True:
        page = ok(await admin.get("/v1/products", params=params))
        found += page["items"]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == 2
        params["cursor"] = page["next_cursor"]
    wanted = [
        product
        for product in catalogue
        if brand in {None, product["brand"]} and folded(product["name"]).startswith(folded(prefix))
    ]
    assert found == sorted(wanted, key=by_name)


@pytest.mark.parametrize("sort", ["newest", "price", "-price"])
async def test_a_name_prefix_with_another_sort_is_rejected(anonymous: Client, sort: str) -> None:
    refused(await anonymous.get("/v1/products", params={"name_prefix": "a", "sort": sort}), "/name_prefix")


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", value) for value in ("0", "101", "-1", "+5", "1.0", "1e1", "", " 5", "5_0", "ten", "\u0665", "9" * 30)]
    + [("sort", value) for value in ("", "Name", "-name", "price,name", "oldest")]
    + [("brand", value) for value in ("", " ", "x" * 201, "a\nb")]
    + [("name_prefix", value) for value in ("", "x" * 201, "a\nb")],
)
async def test_an_invalid_parameter_is_rejected_by_name(anonymous: Client, name: str, value: str) -> None:
    """The response is 422; the value is never clamped."""
    refused(await anonymous.get("/v1/products", params={name: value}), f"/{name}")


async def test_a_repeated_parameter_is_rejected(anonymous: Client) -> None:
    """The request is ambiguous."""
    refused(await anonymous.get("/v1/products?limit=5&limit=6"), "/limit")


async def test_an_unknown_parameter_is_refused_and_the_known_ones_are_named(anonymous: Client) -> None:
    """Who misspells a filter must not get everything. Names differ by case."""
    path = "/v1/products?limit=3&utm=1&utm=2&Limit=0&%FF=%FF&a/b"
    reply = await anonymous.get(path)
    refused(reply, "/utm", "/Limit", "/\ufffd", "/a~1b")
    assert "limit, cursor, sort, brand, name_prefix, price_min, price_max, id, sku" in reply.json["errors"][0]["detail"]
    assert (await anonymous.request("HEAD", path)).status == 422


async def test_a_changed_product_moves_in_every_sort_order(admin: Person, anonymous: Client) -> None:
    """After a new name, price and brand every listing is updated; its place among the newest is kept."""
    brand = unique("Mover")
    made = [
        ok(await admin.post("/v1/products", product_body(brand=brand, name=f"N{n}", price=n)), 201) for n in range(3)
    ]
    ok(await admin.patch(f"/v1/products/{made[0]['id']}", {"name": "Z", "price": "99"}))

    async def ids(sort: str, brand: str) -> list[int]:
        page = ok(await anonymous.get("/v1/products", params={"brand": brand, "sort": sort}))
        return [[product["id"] for product in made].index(item["id"]) for item in page["items"]]

    assert await ids("name", brand) == [1, 2, 0]
    assert await ids("price", brand) == [1, 2, 0]
    assert await ids("-price", brand) == [0, 2, 1]
    assert await ids("newest", brand) == [2, 1, 0]
    ok(await admin.patch(f"/v1/products/{made[1]['id']}", {"brand": f"{brand} B"}))
    assert await ids("name", brand) == [2, 0]
    assert await ids("name", f"{brand} b") == [1]
