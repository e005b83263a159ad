"""Anonymous reads of products, and nothing else, are recorded as views (R4, R11)."""

import asyncio
import time

import aiohttp
import pytest

from tests.api.client import Client, JsonObject, Person, ok, problem, product_body, raw
from tests.api.views import stored_views
from tests.service import Service
from tests.stored_views import StoredView
from vitrina.store.operations import Scan

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


@pytest.fixture
async def product(admin: Person) -> JsonObject:
    """A live product without views."""
    made: JsonObject = ok(await admin.post("/v1/products", product_body()), 201)
    return made


def ways(product: JsonObject) -> list[str]:
    """The paths that read a product."""
    return [f"/v1/products/{product['id']}", f"/v1/products/by-sku/{product['sku']}"]


async def test_a_view_is_stored_before_the_response(anonymous: Client, service: Service, product: JsonObject) -> None:
    """Reads by id and by SKU store product, time, visitor, host of the referrer and bot flag."""
    stored: list[StoredView] = []
    for path in ways(product):
        began = int(time.time() * 1000)
        ok(await anonymous.get(path, headers={"User-Agent": BROWSER, "Referer": "https://shop.example/a?q=1"}))
        before, stored = stored, await stored_views(service, product["id"])
        assert len(stored) == len(before) + 1
        view = stored[-1].view
        assert view.product_id == product["id"]
        assert began <= view.at_ms <= time.time() * 1000
        assert (view.referrer_host, view.bot, len(view.visitor)) == ("shop.example", False, 12)
    assert len({view.event_id for view in stored}) == 2


async def test_other_requests_are_not_recorded(
    anonymous: Client, people: dict[str, Person], service: Service, product: JsonObject
) -> None:
    """HEAD, 304, listings, prices, invalid tokens and the reads of signed-in users."""
    for path in ways(product):
        tag = (await anonymous.request("HEAD", path)).headers["ETag"]
        for condition in (tag, "*", f"W/{tag}"):
            assert (await anonymous.get(path, headers={"If-None-Match": condition})).status == 304
        problem(await anonymous.bearing("nonsense").get(path), 401, "invalid_token")
        for person in people.values():
            ok(await person.get(path))
    ok(await anonymous.get("/v1/products"))
    ok(await anonymous.get(f"/v1/products/{product['id']}/prices"))
    assert await stored_views(service, product["id"]) == []


async def test_a_conditional_read_that_returns_the_product_is_a_view(
    anonymous: Client, service: Service, product: JsonObject
) -> None:
    """The client had another version."""
    ok(await anonymous.get(ways(product)[0], headers={"If-None-Match": '"7"'}))
    assert len(await stored_views(service, product["id"])) == 1


async def test_a_read_of_a_deleted_product_is_not_a_view(
    anonymous: Client, admin: Person, service: Service, product: JsonObject
) -> None:
    """A 404 is not recorded, even when the product has just been cached."""
    ok(await anonymous.get(ways(product)[0]))
    ok(await admin.delete(ways(product)[0]), 204)
    for path in ways(product):
        problem(await anonymous.get(path), 404, "not_found")
    assert len(await stored_views(service, product["id"])) == 1


async def test_two_hundred_concurrent_readers_are_two_hundred_views(
    anonymous: Client, service: Service, product: JsonObject
) -> None:
    """Half of them read by id, half by SKU; each view has its own id."""
    paths = ways(product) * 100
    replies = await asyncio.gather(*(anonymous.get(path) for path in paths))
    assert {reply.status for reply in replies} == {200}
    stored = await stored_views(service, product["id"])
    assert len(stored) == len({view.event_id for view in stored}) == 200


async def test_concurrent_views_of_many_products_are_stored_under_each(
    anonymous: Client, admin: Person, service: Service
) -> None:
    """Twenty products have ten concurrent readers each."""
    made = [ok(await admin.post("/v1/products", product_body()), 201) for _ in range(20)]
    await asyncio.gather(*(anonymous.get(ways(product)[0]) for product in made * 10))
    for product in made:
        assert len(await stored_views(service, product["id"])) == 10


async def visitors(service: Service, product: JsonObject, *, days_on: int = 0) -> list[bytes]:
    """The hashes of the visitors of a product."""
    return [stored.view.visitor for stored in await stored_views(service, product["id"], days_on=days_on)]


async def test_a_visitor_is_identified_by_address_and_agent(
    anonymous: Client, service: Service, product: JsonObject
) -> None:
    """The same pair is the same visitor for a day; another address or agent is another visitor."""
    elsewhere = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with aiohttp.ClientSession(connector=elsewhere) as http:
        other = Client(http, anonymous.url)
        for client, agent in ((anonymous, "A"), (anonymous, "A"), (anonymous, "B"), (other, "A"), (other, "A")):
            ok(await client.get(ways(product)[0], headers={"User-Agent": agent}))
    first, again, by_agent, by_address, by_address_again = await visitors(service, product)
    assert first == again
    assert by_address == by_address_again
    assert len({first, by_agent, by_address}) == 3


async def test_a_visitor_has_another_hash_the_next_day(
    anonymous: Client, service: Service, product: JsonObject
) -> None:
    """The key of the hash changes daily, so that nobody can be tracked across days."""
    with service.clock.hold() as clock:
        for _ in range(2):
            ok(await anonymous.get(ways(product)[0], headers={"User-Agent": "A"}))
            ok(await anonymous.get(ways(product)[0], headers={"User-Agent": "A"}))
            clock.go_on(days=1)
    today, tomorrow = await visitors(service, product), await visitors(service, product, days_on=1)
    assert (len(today), len(set(today))) == (len(tomorrow), len(set(tomorrow))) == (2, 1)
    assert set(today).isdisjoint(tomorrow)


async def test_the_table_holds_no_personal_data_of_visitors(
    anonymous: Client, service: Service, product: JsonObject
) -> None:
    """No address and no agent; of the referrer only its host (R11)."""
    headers = {"User-Agent": "canary-agent", "Referer": "https://canary-user:canary-word@shop.example:8443/canary-path"}
    ok(await anonymous.get(ways(product)[0], headers=headers | {"X-Forwarded-For": "203.0.113.77"}))
    items, position = [], None
    while True:
        page, position = await service.services.table.scan(Scan(), limit=1000, start=position)
        items += page
        if position is None:
            break
    text = repr([item.serialize() for item in items])
    assert "shop.example" in text
    for secret in ("127.0.0.1", "203.0.113.77", "canary", ":8443"):
        assert secret not in text


@pytest.mark.parametrize(
    ("referrer", "host"),
    [
        ("https://news.example.org/article?id=1#top", "news.example.org"),
        ("http://News.Example.ORG:8080", "news.example.org"),
        ("https://me:word@shop.example/", "shop.example"),
        ("//cdn.example/x", "cdn.example"),
        ("http://[2001:db8::1]/", "2001:db8::1"),
        ("android-app://com.example.app/", "com.example.app"),
        ("http://xn--caf-dma.example/", "xn--caf-dma.example"),
        ("http://caf\u00e9.example/", None),
        ("about:blank", None),
        ("nonsense", None),
        ("http://", None),
        ("http://[", None),
        ("https:///path", None),
    ],
)
async def test_only_the_host_of_a_referrer_is_kept(
    service: Service, product: JsonObject, referrer: str, host: str | None
) -> None:
    await raw(service.url, ways(product)[0], b"Referer: " + referrer.encode())
    assert [stored.view.referrer_host for stored in await stored_views(service, product["id"])] == [host]


@pytest.mark.parametrize(
    ("agent", "bot"),
    [
        (BROWSER, False),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        (
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            True,
        ),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", True),
        ("curl/8.5.0", True),
        ("python-requests/2.32", True),
        ("ELB-HealthChecker/2.0", True),
        ("GoogleHC/1.0", True),
    ],
)
async def test_a_crawler_is_recognised_by_its_agent(
    anonymous: Client,
    service: Service,
    product: JsonObject,
    agent: str,
    bot: bool,  # noqa: FBT001
) -> None:
    ok(await anonymous.get(ways(product)[0], headers={"User-Agent": agent}))
    assert [stored.view.bot for stored in await stored_views(service, product["id"])] == [bot]


@pytest.mark.parametrize(
    ("headers", "bot"),
    [
        ({"Sec-Purpose": "prefetch"}, True),
        ({"Sec-Purpose": "prefetch;prerender"}, True),
        ({"Sec-Purpose": "Prefetch; anonymous-client-ip"}, True),
        ({"Purpose": "prefetch"}, True),
        ({"X-Purpose": "preview"}, True),
        ({"X-Moz": "prefetch"}, True),
        ({"Purpose": "checkout", "X-Moz": "prefetch"}, True),
        ({"Sec-Purpose": "prefetching"}, False),
        ({"Purpose": ""}, False),
        ({"Purpose": "no-prefetch"}, False),
        ({"X-Requested-With": "prefetch"}, False),
    ],
)
async def test_a_read_ahead_of_a_visit_is_set_apart_like_a_bots(
    anonymous: Client,
    service: Service,
    product: JsonObject,
    headers: dict[str, str],
    bot: bool,  # noqa: FBT001
) -> None:
    """The page may never be shown; a later read by the same visitor counts as a person's."""
    for sent in (headers, {}):
        ok(await anonymous.get(ways(product)[1], headers={"User-Agent": BROWSER} | sent))
    first, second = await stored_views(service, product["id"])
    assert (first.view.bot, second.view.bot) == (bot, False)
    assert first.view.visitor == second.view.visitor
