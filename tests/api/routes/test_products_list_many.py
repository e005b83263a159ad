"""GET /v1/products?id=…, ?sku=… and ?price_min=&price_max=."""

import random
from urllib.parse import urlencode

import pytest

from tests.api.client import Client, JsonObject, Person, ok, pages, problem, product_body, refused, unique
from tests.service import Service
from vitrina.ids import new_id

BRAND = "Range & Co"
PRICES = ["0", "0.01", "9.99", "10", "10.00", "10.01", "99.9", "100", "123456789012.34"]
Price = tuple[float, str]


def query(*names: str, kind: str) -> str:
    """Return the path of a list by ids or SKUs."""
    return "/v1/products?" + urlencode([(kind, name) for name in names])


@pytest.fixture(scope="module")
async def catalogue(admin: Person) -> list[JsonObject]:
    """Products of two brands at each price, in any order, as managers see them."""
    made = [
        ok(await admin.post("/v1/products", product_body(sku=unique("Many.Of"), brand=brand, price=price)), 201)
        for price in PRICES
        for brand in (BRAND, "Other")
    ]
    yen = product_body(brand=BRAND, price="50", currency="JPY")
    made.append(ok(await admin.post("/v1/products", yen), 201))
    random.Random(4).shuffle(made)
    return made


@pytest.fixture(scope="module")
async def gone(admin: Person) -> JsonObject:
    """A deleted product, as it was."""
    made: JsonObject = ok(await admin.post("/v1/products", product_body()), 201)
    ok(await admin.delete(f"/v1/products/{made['id']}"), 204)
    return made


@pytest.mark.parametrize("kind", ["id", "sku"])
async def test_products_come_in_the_order_asked_and_what_is_not_live_is_missing(
    anonymous: Client, people: dict[str, Person], catalogue: list[JsonObject], gone: JsonObject, kind: str
) -> None:
    """For everyone, admins too; SKUs in any case, each product once, and each as the caller may see it."""
    no_one = ["nothing", new_id(), gone[kind], "", "x" * 300, "\u017fku", "a/b&c=d"]
    asked = [product[kind] for product in catalogue]
    names = [*no_one[:3], *asked, *no_one[3:], asked[2], no_one[0]]
    if kind == "sku":
        names += [asked[0].upper(), gone["sku"].lower()]
    for client in (anonymous, people["user"], people["admin"]):
        page = ok(await client.get(query(*names, kind=kind)))
        assert page.keys() == {"items", "next_cursor", "missing"}
        hidden = set() if client is people["admin"] else {"created_by", "updated_by"}
        assert page["items"] == [{name: p[name] for name in p.keys() - hidden} for p in catalogue]
        assert (page["next_cursor"], page["missing"]) == (None, no_one)
    reply = await anonymous.get(query(gone[kind], kind=kind))
    assert ok(reply) == {"items": [], "next_cursor": None, "missing": [gone[kind]]}
    assert "Link" not in reply.headers


async def test_a_list_by_sku_has_each_product_as_it_is_now(admin: Person, anonymous: Client) -> None:
    """Writes of the same process are seen at once; a page has an entity tag, and is no view."""
    made = ok(await admin.post("/v1/products", product_body()), 201)
    path, moved = query(made["sku"], kind="sku"), unique("MOVED")
    tag = (await anonymous.get(path)).headers["ETag"]
    assert (await anonymous.get(path, headers={"If-None-Match": tag})).status == 304
    ok(await admin.patch(f"/v1/products/{made['id']}", {"price": "5"}))
    for client in (anonymous, admin):
        assert ok(await client.get(path, headers={"If-None-Match": tag}))["items"][0]["price"] == "5.00"
    ok(await admin.patch(f"/v1/products/{made['id']}", {"sku": moved}))
    for client in (anonymous, admin):
        assert ok(await client.get(path))["missing"] == [made["sku"]]
        assert ok(await client.get(query(moved, made["sku"], kind="sku")))["items"][0]["id"] == made["id"]
    assert ok(await admin.get(f"/v1/products/{made['id']}/views"))["total"] == 0


@pytest.mark.parametrize("kind", ["id", "sku"])
async def test_a_list_of_names_has_a_hundred_at_most_and_goes_with_no_other_filter(
    anonymous: Client, catalogue: list[JsonObject], kind: str
) -> None:
    one = catalogue[0][kind]
    assert len(ok(await anonymous.get(query(*[one] * 99, "x", kind=kind)))["items"]) == 1
    refused(await anonymous.get(query(*[one] * 101, kind=kind)), f"/{kind}")
    refused(await anonymous.get(f"/v1/products?{kind}={one}&{kind}=a%00"), f"/{kind}")
    path = query(one, kind=kind)
    assert len(ok(await anonymous.get(f"{path}&limit=5&cursor="))["items"]) == 1  # They filter nothing.
    for name, value in {"cursor": "c", "sort": "name", "brand": "b", "name_prefix": "n"}.items():
        refused(await anonymous.get(f"{path}&{name}={value}"), f"/{name}")
    refused(await anonymous.get(f"{path}&price_max=1&price_min=2"), "/price_min", "/price_max")
    refused(await anonymous.get("/v1/products?sku=A&id=B"), "/sku")


def order(product: JsonObject) -> Price:
    """Sort by amount, whatever the currency."""
    return float(product["price"]), product["id"]


@pytest.mark.parametrize("brand", [None, BRAND])
@pytest.mark.parametrize(
    "limits", [("10", "100"), ("10.00", "10"), (None, "0.01"), ("99.9", None), ("11", "12"), ("0", "999999999999.9999")]
)
async def test_a_price_range_includes_both_ends(
    admin: Person, catalogue: list[JsonObject], limits: tuple[str | None, str | None], brand: str | None
) -> None:
    """It implies the sort by price, goes with the reverse and a brand, and its pages are full but for the last."""
    least, most = limits
    given = {"price_min": least, "price_max": most, "brand": brand}
    asked = {name: value for name, value in given.items() if value is not None}
    wanted = sorted(
        (
            product
            for product in catalogue
            if brand in {None, product["brand"]}
            and float(least or 0) <= float(product["price"]) <= float(most or "inf")
        ),
        key=order,
    )
    for sort, expected in (({}, wanted), ({"sort": "price"}, wanted), ({"sort": "-price"}, wanted[::-1])):
        read = await pages(admin, f"/v1/products?{urlencode(asked | sort)}", limit=3)
        ours = {product["id"] for product in catalogue}
        assert [item for page in read for item in page if item["id"] in ours] == expected
        assert {len(page) for page in read[:-1]} <= {3}


async def test_a_cursor_of_a_price_range_is_valid_for_that_range(
    anonymous: Client, catalogue: list[JsonObject]
) -> None:
    """However its amounts are written; a cursor of all products is valid for no range."""
    assert catalogue
    path = "/v1/products?price_min=1&price_max=100&limit=2"
    cursor = ok(await anonymous.get(path))["next_cursor"]
    ok(await anonymous.get(f"/v1/products?sort=price&price_max=100.00&price_min=01.0&limit=3&cursor={cursor}"))
    for other in ("price_min=1&price_max=101", "price_min=1", "sort=price", "price_min=1&price_max=100&sort=-price"):
        problem(await anonymous.get(f"/v1/products?{other}&cursor={cursor}"), 400, "invalid_cursor")
    whole = ok(await anonymous.get("/v1/products?sort=price&limit=2"))["next_cursor"]
    problem(await anonymous.get(f"{path}&cursor={whole}"), 400, "invalid_cursor")


@pytest.mark.parametrize(
    ("parameters", "pointer"),
    [(f"price_min={value}", "/price_min") for value in ("", "-1", "1e2", "%201", "1,5", "1.00001", "1" * 13, "\u0665")]
    + [
        ("price_min=2&price_max=1.99", "/price_max"),
        ("price_max=1&sort=name", "/price_max"),
        ("price_min=1&sort=newest", "/price_min"),
        ("price_min=1&name_prefix=a", "/price_min"),
        ("price_min=1&price_min=2", "/price_min"),
    ],
)
async def test_an_invalid_price_range_is_refused(anonymous: Client, parameters: str, pointer: str) -> None:
    """The form is that of a price; a range goes with no other sort."""
    refused(await anonymous.get(f"/v1/products?{parameters}"), pointer)


@pytest.mark.parametrize(("kind", "possible"), [("id", new_id()), ("sku", "LAMP-1")], ids=["id", "sku"])
async def test_a_list_for_which_the_table_is_not_asked_does_not_tell_that_it_answers(
    service: Service, anonymous: Client, kind: str, possible: str
) -> None:
    """Only an answer of the table closes the circuit breaker."""
    circuit = service.services.product_cache.pages._circuit
    circuit._open()
    for _ in range(2):
        page = ok(await anonymous.get(query("no name", "", kind=kind)))
        assert (page["items"], page["missing"]) == ([], ["no name", ""])
    assert circuit._is_open
    ok(await anonymous.get(query("no name", possible, kind=kind)))
    assert not circuit._is_open
