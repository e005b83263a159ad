"""Anonymous reads leave a trace (R4, R11), and nothing else does."""

import asyncio
import time

import aiohttp
import pytest

from tests.api.client import Client, JsonObject, Person, ok, problem, product_body, raw
from tests.api.views import stored_views
from tests.service import Service
from vitrina.store.operations import Scan
from vitrina.store.views import StoredView

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


@pytest.fixture
async def product(admin: Person) -> JsonObject:
    """A live product that nobody has looked at."""
    made: JsonObject = ok(await admin.post("/v1/products", product_body()), 201)
    return made


def ways(product: JsonObject) -> list[str]:
    """The paths by which a product is read."""
    return [f"/v1/products/{product['id']}", f"/v1/products/by-sku/{product['sku']}"]


async def test_a_read_is_stored_before_it_is_answered(anonymous: Client, service: Service, product: JsonObject) -> None:
    """By id and by SKU: product, time, visitor, referrer's host and bot flag."""
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


async def test_what_is_no_view_leaves_no_trace(
    anonymous: Client, people: dict[str, Person], service: Service, product: JsonObject
) -> None:
    """HEAD, 304, listings, prices, bad tokens and the reads of signed-in people."""
    for path in ways(product):
        await anonymous.request("HEAD", path)
        for condition in ('"1"', "*", 'W/"1"'):
            assert (await anonymous.get(path, headers={"If-None-Match": condition})).status == 304
        problem(await anonymous.bearing("nonsense").get(path), 401, "invalid_token")
        for person in people.values():
            ok(await person.get(path))
    ok(await anonymous.get("/v1/products"))
    ok(await anonymous.get(f"/v1/products/{product['id']}/prices"))
    assert await stored_views(service, product["id"]) == []


async def test_a_reader_whose_condition_fails_has_seen_the_product(
    anonymous: Client, service: Service, product: JsonObject
) -> None:
    """Another version than the one they had is a view."""
    ok(await anonymous.get(ways(product)[0], headers={"If-None-Match": '"7"'}))
    assert len(await stored_views(service, product["id"])) == 1


async def test_a_deleted_product_is_seen_by_nobody(
    anonymous: Client, admin: Person, service: Service, product: JsonObject
) -> None:
    """A 404 is no view, even just after the product was kept for a moment."""
    ok(await anonymous.get(ways(product)[0]))
    ok(await admin.delete(ways(product)[0]), 204)
    for path in ways(product):
        problem(await anonymous.get(path), 404, "not_found")
    assert len(await stored_views(service, product["id"])) == 1


async def test_two_hundred_readers_at_once_leave_two_hundred_traces(
    anonymous: Client, service: Service, product: JsonObject
) -> None:
    """By id and by SKU, each with an id of its own (issue 2)."""
    paths = ways(product) * 100
    replies = await asyncio.gather(*(anonymous.get(path) for path in paths))
    assert {reply.status for reply in replies} == {200}
    stored = await stored_views(service, product["id"])
    assert len(stored) == len({view.event_id for view in stored}) == 200


async def test_readers_of_many_products_leave_each_its_own(anonymous: Client, admin: Person, service: Service) -> None:
    """Twenty products, ten readers each, all at once."""
    made = [ok(await admin.post("/v1/products", product_body()), 201) for _ in range(20)]
    await asyncio.gather(*(anonymous.get(ways(product)[0]) for product in made * 10))
    for product in made:
        assert len(await stored_views(service, product["id"])) == 10


async def visitors(service: Service, product: JsonObject, *, days_on: int = 0) -> list[bytes]:
    """Who looked at a product, as their hashes."""
    return [stored.view.visitor for stored in await stored_views(service, product["id"], days_on=days_on)]


async def test_a_visitor_is_an_address_and_an_agent_together(
    anonymous: Client, service: Service, product: JsonObject
) -> None:
    """The same two are the same visitor all day; another of either is another."""
    elsewhere = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
    async with aiohttp.ClientSession(connector=elsewhere) as http:
        other = Client(http, anonymous.url)
        for client, agent in ((anonymous, "A"), (anonymous, "A"), (anonymous, "B"), (other, "A"), (other, "A")):
            ok(await client.get(ways(product)[0], headers={"User-Agent": agent}))
    first, again, by_agent, by_address, by_address_again = await visitors(service, product)
    assert first == again
    assert by_address == by_address_again
    assert len({first, by_agent, by_address}) == 3


async def test_a_visitor_is_another_the_next_day(
    anonymous: Client, service: Service, product: JsonObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of the hash turns daily, so nobody can be followed from day to day."""
    now_ms = service.services.views._now_ms()
    for days in (0, 1):
        monkeypatch.setattr(service.services.views, "_now_ms", lambda days=days: now_ms + days * 86_400_000)
        ok(await anonymous.get(ways(product)[0], headers={"User-Agent": "A"}))
        ok(await anonymous.get(ways(product)[0], headers={"User-Agent": "A"}))
    monkeypatch.undo()
    today, tomorrow = await visitors(service, product), await visitors(service, product, days_on=1)
    assert (len(today), len(set(today))) == (len(tomorrow), len(set(tomorrow))) == (2, 1)
    assert set(today).isdisjoint(tomorrow)


async def test_nothing_in_the_table_says_who_looked(anonymous: Client, service: Service, product: JsonObject) -> None:
    """No address, no agent, and of the referrer its host alone (R11)."""
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
async def test_of_a_referrer_its_host_is_kept(
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
    ],
)
async def test_a_crawler_is_known_by_its_agent(
    anonymous: Client,
    service: Service,
    product: JsonObject,
    agent: str,
    bot: bool,  # noqa: FBT001
) -> None:
    ok(await anonymous.get(ways(product)[0], headers={"User-Agent": agent}))
    assert [stored.view.bot for stored in await stored_views(service, product["id"])] == [bot]
