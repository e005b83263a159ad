"""Concurrent requests about products, over HTTP on DynamoDB Local: R6 and R7 hold in any race.

`RACE_RIVALS=200 RACE_ROUNDS=50 scripts/test tests/api/routes -k one_succeeds` is a long run.
"""

import asyncio
import itertools
import os
from collections import Counter
from collections.abc import Sequence

import aiohttp

from tests.api.client import Client, JsonObject, Person, Reply, ok, problem, product_body, unique
from tests.service import Service, serving

RIVALS = int(os.environ.get("RACE_RIVALS") or 40)
ROUNDS = int(os.environ.get("RACE_ROUNDS") or 3)


def statuses(replies: Sequence[Reply]) -> Counter[int]:
    """The number of responses with each status."""
    return Counter(reply.status for reply in replies)


async def made(admin: Person, **fields: object) -> JsonObject:
    """A live product."""
    product: JsonObject = ok(await admin.post("/v1/products", product_body(**fields)), 201)
    return product


def path_of(product: JsonObject) -> str:
    """The path of a product."""
    return f"/v1/products/{product['id']}"


async def history_of(admin: Person, product: JsonObject) -> list[JsonObject]:
    """The changes of a product, newest first."""
    items: list[JsonObject] = ok(await admin.get(f"{path_of(product)}/history?limit=100"))["items"]
    return items


async def test_of_concurrent_creations_of_one_sku_one_succeeds(
    admin: Person, super_admin: Person, anonymous: Client
) -> None:
    """The SKUs differ in case. One gets 201, the others get `sku_taken` with the id of the new product."""
    for _ in range(ROUNDS):
        sku = unique("Race")
        replies = await asyncio.gather(
            *(
                (admin, super_admin)[n % 2].post("/v1/products", product_body(sku=(sku, sku.upper())[n % 2 == 0]))
                for n in range(RIVALS)
            )
        )
        assert statuses(replies) == {201: 1, 409: RIVALS - 1}
        winner = next(reply.json for reply in replies if reply.status == 201)
        for reply in replies:
            if reply.status == 409:
                holder = problem(reply, 409, "sku_taken")["holder"]
                assert holder == {"id": winner["id"], "href": path_of(winner)}
        assert ok(await anonymous.get(f"/v1/products/by-sku/{sku}"))["id"] == winner["id"]


async def written_at_once(admin: Person, product: JsonObject, clients: Sequence[Client]) -> Counter[int]:
    """Rename a product concurrently by all clients; check that history and version match the responses.

    Return the number of responses with each status.
    """
    replies = await asyncio.gather(
        *(client.patch(path_of(product), {"name": f"Name {number}"}) for number, client in enumerate(clients))
    )
    changed = [reply for reply in replies if reply.status == 200]
    for reply in replies:
        if reply not in changed:
            problem(reply, 409, "conflict")
    assert ok(await admin.get(path_of(product)))["version"] == 1 + len(changed)
    assert sorted(reply.json["version"] for reply in changed) == list(range(2, 2 + len(changed)))
    history = await history_of(admin, product)
    assert [entry["version"] for entry in history] == list(range(1 + len(changed), 0, -1))
    for newer, older in itertools.pairwise(history):
        assert newer["changes"]["name"]["from"] == older["changes"]["name"]["to"]
        assert newer["at"] >= older["at"]
    return statuses(replies)


async def test_fifty_concurrent_writers_in_one_process_all_succeed(admin: Person, super_admin: Person) -> None:
    """The process serialises them: the version is 1 + the number of 2xx, and the history has each change once."""
    assert await written_at_once(admin, await made(admin), [admin, super_admin] * 25) == {200: 50}


async def test_concurrent_writers_in_several_processes_succeed_or_get_409(
    admin: Person, service: Service, http: aiohttp.ClientSession
) -> None:
    """The table decides between processes. The version still counts the successful writes."""
    async with serving(service.settings) as second, serving(service.settings) as third:
        urls = (service.url, second.url, third.url)
        clients = [Client(http, url, token=admin.token) for url in urls] * 16
        assert (await written_at_once(admin, await made(admin), clients)).keys() <= {200, 409}


async def test_of_concurrent_writers_with_the_same_if_match_one_succeeds(admin: Person) -> None:
    """The others get 412 with the current version."""
    product = await made(admin)
    replies = await asyncio.gather(
        *(admin.patch(path_of(product), {"name": f"N{n}"}, headers={"If-Match": '"1"'}) for n in range(20))
    )
    assert statuses(replies) == {200: 1, 412: 19}
    for reply in replies:
        if reply.status == 412:
            assert problem(reply, 412, "version_mismatch")["current_version"] == 2
    assert ok(await admin.get(path_of(product)))["version"] == 2


async def test_concurrent_writers_of_the_same_values_make_one_version(admin: Person) -> None:
    """R8: the later writers change nothing."""
    product = await made(admin, price="10")
    replies = await asyncio.gather(*(admin.patch(path_of(product), {"price": "12"}) for _ in range(20)))
    assert {reply.json["version"] for reply in replies if reply.status == 200} == {2}
    assert ok(await admin.get(path_of(product)))["version"] == 2
    assert len(ok(await admin.get(f"{path_of(product)}/prices"))["items"]) == 2


async def test_of_twenty_concurrent_deletions_one_succeeds(admin: Person) -> None:
    """The others get 404."""
    product = await made(admin)
    replies = await asyncio.gather(*(admin.delete(path_of(product)) for _ in range(20)))
    assert statuses(replies) == {204: 1, 404: 19}
    assert ok(await admin.get(path_of(product)))["version"] == 2


async def test_of_twenty_concurrent_restores_one_succeeds(admin: Person) -> None:
    """The others get 409 `not_deleted`."""
    product = await made(admin)
    ok(await admin.delete(path_of(product)), 204)
    replies = await asyncio.gather(*(admin.post(f"{path_of(product)}/restore") for _ in range(20)))
    assert statuses(replies) == {200: 1, 409: 19}
    assert {reply.json["code"] for reply in replies if reply.status == 409} == {"not_deleted"}
    assert ok(await admin.get(path_of(product)))["version"] == 3


async def test_of_concurrent_claims_of_a_freed_sku_one_succeeds(admin: Person, anonymous: Client) -> None:
    """Restores of several products and creations compete for it; the others get the id of its holder."""
    sku = unique("Wanted")
    deleted = []
    for _ in range(5):
        deleted.append(await made(admin, sku=sku))
        ok(await admin.delete(path_of(deleted[-1])), 204)
    replies = await asyncio.gather(
        *(admin.post(f"{path_of(product)}/restore") for product in deleted),
        *(admin.post("/v1/products", product_body(sku=sku)) for _ in range(5)),
    )
    winners = [reply for reply in replies if reply.status in {200, 201}]
    assert len(winners) == 1
    for reply in replies:
        if reply not in winners:
            assert problem(reply, 409, "sku_taken")["holder"]["id"] == winners[0].json["id"]
    assert ok(await anonymous.get(f"/v1/products/by-sku/{sku}"))["id"] == winners[0].json["id"]


async def test_concurrent_changes_deletions_and_restores_leave_a_consistent_product(
    admin: Person, anonymous: Client
) -> None:
    """The history has every version, and the SKU finds the product if and only if it is live."""
    product = await made(admin)
    for turn in range(4):
        replies = await asyncio.gather(
            *(admin.patch(path_of(product), {"name": f"Turn {turn} {n}"}) for n in range(4)),
            *(admin.delete(path_of(product)) for _ in range(2)),
            *(admin.post(f"{path_of(product)}/restore") for _ in range(2)),
        )
        assert statuses(replies).keys() <= {200, 204, 404, 409}
    after = ok(await admin.get(path_of(product)))
    history = await history_of(admin, product)
    assert [entry["version"] for entry in history] == list(range(after["version"], 0, -1))
    alternating = [entry["action"] for entry in reversed(history) if entry["action"] in {"deleted", "restored"}]
    assert alternating == [("deleted", "restored")[n % 2] for n in range(len(alternating))]
    by_sku = await anonymous.get(f"/v1/products/by-sku/{product['sku']}")
    assert by_sku.status == (404 if "deleted_at" in after else 200)
    listed = [item["id"] for item in ok(await admin.get("/v1/products?limit=100"))["items"]]
    assert (product["id"] in listed) == ("deleted_at" not in after)


async def test_two_products_cannot_swap_skus_concurrently(admin: Person, anonymous: Client) -> None:
    """Every change gets 409, and each product keeps its SKU."""
    one, other = await made(admin), await made(admin)
    replies = await asyncio.gather(
        *(
            admin.patch(path_of(product), {"sku": sku})
            for _ in range(5)
            for product, sku in ((one, other["sku"]), (other, one["sku"]))
        )
    )
    assert statuses(replies) == {409: 10}
    for product in (one, other):
        assert ok(await anonymous.get(f"/v1/products/by-sku/{product['sku']}"))["id"] == product["id"]
        assert ok(await admin.get(path_of(product))) == product
