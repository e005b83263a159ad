"""POST /v1/products/batch."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from tests.api.client import Client, JsonObject, Person, Reply, ok, problem, product_body, refused, unique
from tests.service import Service, serving
from vitrina.errors import Conflict
from vitrina.services.products.batches import AT_ONCE
from vitrina.services.products.by_sku import ProductsBySku
from vitrina.store.idempotency import Claim, IdempotencyStore, StoredResponse
from vitrina.store.operations import Step
from vitrina.store.table import Table

PATH = "/v1/products/batch"
NO_SKUS: Final = ("a b", "\u017fku", "", ".", "x" * 65, "y" * 3_000, "a\u00a0")


def upsert(**fields: object) -> JsonObject:
    """Return an operation that creates a product, or replaces the one with the SKU."""
    return {"op": "upsert"} | product_body() | fields


async def send(client: Client, *operations: JsonObject, key: str | None = None) -> Reply:
    """Send a batch."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return await client.post(PATH, {"operations": list(operations)}, headers=headers)


async def results(client: Client, *operations: JsonObject, key: str | None = None) -> list[JsonObject]:
    """Send a batch, and return its results."""
    made: list[JsonObject] = ok(await send(client, *operations, key=key))["results"]
    assert [result.keys() <= {"status", "product", "problem"} for result in made] == [True] * len(operations)
    return made


def statuses(made: Sequence[JsonObject]) -> list[int]:
    """Return the statuses of results."""
    return [result["status"] for result in made]


def codes(made: Sequence[JsonObject]) -> list[str | None]:
    """Return the problem of each result, None where there is none."""
    return [result.get("problem", {}).get("code") for result in made]


async def history(admin: Person, product: JsonObject) -> list[str]:
    """Return the actions of a product's changes, oldest first."""
    entries = ok(await admin.get(f"/v1/products/{product['id']}/history?limit=100"))["items"]
    return [entry["action"] for entry in reversed(entries)]


@pytest.fixture
async def product(admin: Person) -> JsonObject:
    """A live product at version 1."""
    made: JsonObject = ok(await admin.post("/v1/products", product_body(description="Warm.")), 201)
    return made


async def test_each_operation_is_the_single_request_and_has_its_status(admin: Person, product: JsonObject) -> None:
    """The results are in the order of the operations; a product is as managers see it, and a deletion has none."""
    others = [ok(await admin.post("/v1/products", product_body()), 201) for _ in range(3)]
    new = upsert(price=5)
    made = await results(
        admin,
        new,
        {"op": "upsert", "sku": product["sku"].lower(), "version": 1, "name": "Ash", "brand": "Birch", "price": "20"},
        {"op": "patch", "id": others[0]["id"], "sku": unique("MOVED"), "price": 18.5},
        {"op": "patch", "sku": others[1]["sku"], "name": others[1]["name"]},
        {"op": "delete", "id": others[2]["id"], "version": 1},
    )
    assert statuses(made) == [201, 200, 200, 200, 204]
    assert made[4] == {"status": 204}
    created, replaced, patched, same = [result["product"] for result in made[:4]]
    for shown in (created, replaced, patched, same):
        assert ok(await admin.get(f"/v1/products/{shown['id']}")) == shown
    assert (created["sku"], created["price"], created["version"]) == (new["sku"], "5.00", 1)
    assert (replaced["sku"], replaced["description"], replaced["version"]) == (product["sku"], None, 2)
    assert (patched["price"], patched["sku"], patched["version"]) == ("18.50", patched["sku"], 2)
    assert same == others[1]
    assert await history(admin, others[2]) == ["created", "deleted"]


async def test_one_refusal_stops_no_other(admin: Person, product: JsonObject) -> None:
    """Neither one of the rules nor one of the shape; pointers lead into the batch."""
    taken = ok(await admin.post("/v1/products", product_body()), 201)
    gone = ok(await admin.post("/v1/products", product_body()), 201)
    ok(await admin.delete(f"/v1/products/{gone['id']}"), 204)
    made = await results(
        admin,
        upsert(price="1e2", colour="red"),
        {"op": "patch", "id": product["id"], "sku": taken["sku"]},
        {"op": "patch", "sku": product["sku"], "version": 7, "name": "x"},
        {"op": "delete", "sku": gone["sku"]},
        {"op": "patch", "id": gone["id"], "name": "x"},
        {"op": "patch", "id": "nothing", "name": "x"},
        {"op": "upsert", **product_body(), "version": 1},
        {"op": "patch", "id": product["id"], "currency": "JPY"},
        {"op": "delete", "id": product["id"], "sku": product["sku"]},
        {"op": "patch", "name": "x"},
        upsert(),
    )
    assert codes(made) == [
        "validation_failed", "sku_taken", "version_mismatch", "not_found", "not_found", "not_found",
        "version_mismatch", "validation_failed", "validation_failed", "validation_failed", None,
    ]  # fmt: skip
    assert statuses(made) == [422, 409, 412, 404, 404, 404, 412, 422, 422, 422, 201]
    pointers = {
        number: [error["pointer"] for error in result["problem"]["errors"]]
        for number, result in enumerate(made)
        if result["status"] == 422
    }
    assert pointers == {
        0: ["/operations/0/price", "/operations/0/colour"],
        7: ["/operations/7/price"],
        8: ["/operations/8"],
        9: ["/operations/9"],
    }
    assert made[1]["problem"]["holder"]["id"] == taken["id"]
    assert [made[number]["problem"]["current_version"] for number in (2, 6)] == [1, None]
    assert {result["problem"]["instance"] for result in made[:10]} == {PATH}
    assert await history(admin, product) == ["created"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/operations"),
        ({"operations": {}}, "/operations"),
        ({"operations": [{"op": "delete", "sku": "A"}] * 101}, "/operations"),
        ({"operations": [{"op": "delete", "sku": "A"}, 1]}, "/operations/1"),
        ({"operations": [{"op": "delete", "sku": "A"}, {"sku": "A"}]}, "/operations/1/op"),
        ({"operations": [{"op": "merge", "sku": "A"}]}, "/operations/0/op"),
        ({"operations": [], "dry_run": True}, "/dry_run"),
    ],
)
async def test_a_body_that_is_no_batch_is_refused_as_a_whole(admin: Person, body: JsonObject, pointer: str) -> None:
    refused(await admin.post(PATH, body), pointer)


async def test_what_is_no_sku_names_no_product(admin: Person) -> None:
    """Alone and in a batch it is 404, also where its folded form is a SKU; as a value it is 422."""
    live = await results(admin, upsert(sku=unique("K")), upsert(sku=unique("SKU")))
    names = (*NO_SKUS, live[0]["product"]["sku"].replace("K", "\u212a", 1))
    for fields in ({"op": "patch", "name": "x"}, {"op": "delete"}):
        made = await results(admin, *({**fields, "sku": name} for name in names))
        assert codes(made) == ["not_found"] * len(names)
    for name in ("a b", "\u017fku"):
        problem(await admin.patch(f"/v1/products/by-sku/{name}", {"name": "x"}), 404, "not_found")
    made = await results(
        admin, *({"op": "patch", "id": live[0]["product"]["id"], "sku": name} for name in NO_SKUS), upsert(sku="a b")
    )
    pointers = [[error["pointer"] for error in result["problem"]["errors"]] for result in made]
    assert pointers == [[f"/operations/{number}/sku"] for number in range(len(NO_SKUS) + 1)]


async def test_a_control_character_refuses_its_operation_alone(admin: Person, product: JsonObject) -> None:
    """As it refuses a single request; a lone surrogate is no JSON, so it refuses the whole body."""
    bad = {"op": "patch", "id": product["id"], "name": "a\x00b"}
    made = await results(
        admin,
        bad,
        {"op": "delete", "sku": "NOBODY"},
        {"op": "delete", "sku": "A", "a\x01": 1},
        {"op": "delete", "sku": "A\n"},
        {"op": "patch", "id": "\t"},
        upsert(),
    )
    assert statuses(made) == [422, 404, 422, 422, 422, 201]
    problems = [result.get("problem", {}).get("errors") for result in made]
    assert problems[0] == [{"pointer": "/operations/0/name", "detail": "holds a control character"}]
    pointers = [error["pointer"] for refusal in problems[2:5] for error in refusal]
    assert pointers == ["/operations/2/a\x01", "/operations/3/sku", "/operations/4/id"]
    refused(await admin.post(PATH, {"operations": [], "a\x00": 1}), "/a\x00")
    body = b'{"operations": [{"op": "delete", "sku": "\\ud800"}]}'
    problem(await admin.post(PATH, data=body, headers={"Content-Type": "application/json"}), 400, "malformed_json")


async def test_a_batch_may_be_empty_and_has_a_hundred_operations_at_most(admin: Person) -> None:
    assert await results(admin) == []
    made = await results(admin, *(upsert() for _ in range(100)))
    assert statuses(made) == [201] * 100
    moved = await results(admin, *({"op": "patch", "sku": m["product"]["sku"], "price": "3"} for m in made))
    assert {result["product"]["version"] for result in moved} == {2}


async def test_operations_on_one_product_are_done_in_their_order(admin: Person, product: JsonObject) -> None:
    """Whether they name it by id, by SKU, or by a SKU that another operation gives it or frees."""
    sku, new, other = product["sku"], unique("NEW"), upsert()
    made = await results(
        admin,
        *(
            {"op": "patch", **name, "name": f"Name {n}"}
            for n in range(3)
            for name in ({"id": product["id"]}, {"sku": sku})
        ),
        {"op": "patch", "id": product["id"], "sku": new},
        {"op": "upsert", **other},
        {"op": "patch", "sku": sku, "name": "x"},
        {"op": "upsert", **product_body(sku=sku)},
        {"op": "patch", "sku": other["sku"], "sku_": 1},
        {"op": "delete", "sku": new.lower()},
        {"op": "patch", "sku": sku, "version": 1, "price": "1"},
        {"op": "upsert", **product_body(sku=new)},
        {"op": "delete", "id": product["id"]},
    )
    assert statuses(made) == [200] * 7 + [201, 404, 201, 422, 204, 200, 201, 404]
    assert [result["product"]["version"] for result in made[:7]] == [2, 2, 3, 3, 4, 4, 5]
    assert await history(admin, product) == ["created", *["updated"] * 4, "deleted"]


class Commits:
    """Watches transactions: how many run at a time, and lets all fail after some of them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.most = self._running = self.done = 0
        self.fails_after: int | None = None
        self.seconds = 0.0
        commit = Table.commit

        async def watched(table: Table, steps: Sequence[Step], **options: Any) -> None:  # noqa: ANN401 - passed on
            if self.fails_after is not None and self.done >= self.fails_after:
                raise AssertionError("nobody expects this")
            self._running += 1
            self.most = max(self.most, self._running)
            try:
                await asyncio.sleep(self.seconds)
                await commit(table, steps, **options)
                self.done += 1
            finally:
                self._running -= 1

        patch.setattr(Table, "commit", watched)


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    """Watches the transactions of a test."""
    return Commits(monkeypatch)


async def test_a_process_does_sixteen_operations_at_a_time(admin: Person, commits: Commits) -> None:
    """Of all batches together, so that other requests have their share of the connections."""
    commits.seconds = 0.01
    made = await asyncio.gather(*(results(admin, *(upsert() for _ in range(24))) for _ in range(2)))
    assert [statuses(each) for each in made] == [[201] * 24] * 2
    assert commits.most == AT_ONCE


async def test_a_batch_is_replayed_whole_under_its_key(admin: Person, super_admin: Person, product: JsonObject) -> None:
    """Byte for byte, whatever has changed since: successes, no-ops and refusals. Another body is refused."""
    key = unique("key")
    operations = [
        upsert(),
        {"op": "patch", "id": product["id"], "price": "18"},
        {"op": "patch", "id": product["id"], "price": "18.00"},
        {"op": "delete", "sku": "NOBODY-YET"},
        upsert(price="1e2"),
        {"op": "patch", "id": product["id"], "version": 1, "price": "17"},
        {"op": "delete", "id": product["id"]},
    ]
    first = await send(admin, *operations, key=key)
    assert statuses(ok(first)["results"]) == [201, 200, 200, 404, 422, 412, 204]
    assert "Idempotency-Replayed" not in first.headers
    ok(await admin.post(f"/v1/products/{product['id']}/restore"))
    ok(await admin.post("/v1/products", product_body(sku="NOBODY-YET")), 201)
    again = await send(admin, *operations, key=key)
    assert (again.status, again.body) == (200, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await history(admin, product) == ["created", "updated", "deleted", "restored"]
    problem(await send(admin, *operations[:-1], key=key), 422, "idempotency_key_reused")
    problem(await send(admin, *reversed(operations), key=key), 422, "idempotency_key_reused")
    operations[4]["price"] = "1e3"  # Its values count too where they are not valid.
    problem(await send(admin, *operations, key=key), 422, "idempotency_key_reused")
    assert "Idempotency-Replayed" not in (await send(super_admin, *operations[:1], key=key)).headers
    refused(await send(admin, key="a b"), "/Idempotency-Key")


async def test_a_batch_that_failed_half_way_is_completed_under_its_key(
    admin: Person, product: JsonObject, commits: Commits, logs: Path
) -> None:
    """What was done is answered, and never done twice, though others have changed a product meanwhile."""
    key, sku = unique("key"), product["sku"]
    operations: list[Any] = [
        *({"op": "patch", "sku": sku, "price": str(price)} for price in (11, 12, 13, 14)),
        *(upsert() for _ in range(40)),
    ]
    commits.fails_after = 20
    begun = await send(admin, *operations, key=key)
    assert 20 <= codes(ok(begun)["results"]).count(None) < 40
    assert set(codes(ok(begun)["results"])) <= {None, "internal_error", "unavailable"}
    assert "nobody expects this" not in json.dumps(begun.json)
    assert '"batch_operation_failed"' in await asyncio.to_thread(logs.read_text)
    commits.fails_after = None
    ok(await admin.patch(f"/v1/products/by-sku/{sku}", {"price": "99"}))
    reply = await send(admin, *operations, key=key)
    made = ok(reply)["results"]
    assert statuses(made) == [200] * 4 + [201] * 40
    assert "Idempotency-Replayed" not in reply.headers
    assert [result["product"]["price"] for result in made[:4]] == ["11.00", "12.00", "13.00", "14.00"]
    for before, after in zip(begun.json["results"], made, strict=True):
        assert before == after or "problem" in before
    versions = [result["product"]["version"] for result in made]
    assert versions[:4] == sorted(set(versions[:4]))
    assert versions[4:] == [1] * 40
    assert await history(admin, product) == ["created", *["updated"] * 5]
    again = await send(admin, *operations, key=key)
    assert (again.body, again.headers["Idempotency-Replayed"]) == (reply.body, "true")


async def test_concurrent_batches_under_one_key_are_done_once(admin: Person, product: JsonObject) -> None:
    """Each of them gets the same results, or a conflict to be tried again."""
    key = unique("key")
    operations = [upsert(), {"op": "delete", "id": product["id"]}, {"op": "patch", "sku": "NOBODY", "name": "x"}]
    replies = await asyncio.gather(*(send(admin, *operations, key=key) for _ in range(6)))
    final = await results(admin, *operations, key=key)
    assert statuses(final) == [201, 204, 404]
    for reply in replies:
        for result, last in zip(ok(reply)["results"], final, strict=True):
            assert result == last or result["problem"]["code"] in {"conflict", "idempotency_in_progress"}
    assert await history(admin, product) == ["created", "deleted"]
    assert await history(admin, final[0]["product"]) == ["created"]


async def test_a_conflict_is_not_kept_and_done_by_the_next_try(admin: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The response has `Retry-After`, as that of a single request has."""
    key, operation = unique("key"), upsert()

    async def lose(*_: object, **__: object) -> None:
        raise Conflict

    with monkeypatch.context() as race:
        race.setattr(ProductsBySku, "put", lose)
        reply = await send(admin, operation, key=key)
    assert (codes(ok(reply)["results"]), reply.headers["Retry-After"]) == (["conflict"], "1")
    reply = await send(admin, operation, key=key)
    assert (statuses(ok(reply)["results"]), reply.headers.get("Retry-After")) == ([201], None)


async def test_what_is_not_done_in_time_is_503_and_done_by_the_next_try(
    service: Service, admin: Person, commits: Commits
) -> None:
    """The response has `Retry-After`; of one product no later operation is done before an earlier one."""
    key, sku = unique("key"), unique("SKU")
    operations = [upsert(sku=sku), *({"op": "patch", "sku": sku, "name": f"Name {n}"} for n in range(9))]
    commits.seconds = 0.2
    async with serving(service.settings.model_copy(update={"request_timeout": 1.0})) as slow:
        client = Client(admin.http, slow.url, token=admin.token)
        reply = await send(client, *operations, key=key)
        made = ok(reply)["results"]
        number = statuses(made).index(503)
        assert statuses(made) == [201, *[200] * (number - 1), *[503] * (10 - number)]
        assert reply.headers["Retry-After"] == "1"
        assert {result["problem"]["code"] for result in made[number:]} == {"unavailable"}
        assert made[-1]["problem"]["retry_after"] == 1
    commits.seconds = 0
    reply = await send(admin, *operations, key=key)
    assert [result["product"]["version"] for result in ok(reply)["results"]] == list(range(1, 11))
    assert "Retry-After" not in reply.headers


@pytest.mark.parametrize(("seconds", "most"), [(1.0, 5), (3.0, 0)])
async def test_a_late_beginning_costs_only_the_operations_that_are_late(
    service: Service, admin: Person, commits: Commits, seconds: float, most: int
) -> None:
    """The time of a batch is that of its request, also where it takes long to claim the key."""
    keep, key = IdempotencyStore.keep, unique("key")

    async def slow(store: IdempotencyStore, claim: Claim, response: StoredResponse) -> None:
        await keep(store, claim, response)
        await asyncio.sleep(seconds)

    commits.seconds = 0.2
    operations = [upsert(), *({"op": "patch", "sku": "a b", "name": name} for name in ("", "x"))]
    operations += [{"op": "patch", "sku": operations[0]["sku"], "name": f"Name {number}"} for number in range(9)]
    async with serving(service.settings.model_copy(update={"request_timeout": 2.0})) as late:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(IdempotencyStore, "keep", slow)
            reply = await send(Client(admin.http, late.url, token=admin.token), *operations, key=key)
    made = statuses(ok(reply)["results"])
    assert (made[1], made.count(503) > 0, reply.headers["Retry-After"]) == (422, True, "1")
    assert (most > 0) == (201 in made)
    assert len([status for status in made if status in {200, 201}]) <= most
    commits.seconds = 0
    final = await results(admin, *operations, key=key)
    assert statuses(final) == [201, 422, 404, *[200] * 9]
    assert final[-1]["product"]["version"] == 10


async def test_results_end_with_their_key(service: Service, admin: Person, commits: Commits) -> None:
    """Also those of a later try: a day after the first one the key is free for another batch, as a whole."""
    key, operations = unique("key"), [upsert() for _ in range(20)]
    token = ok(await admin.post("/v1/auth/keys", {"name": "batches", "scope": "manage"}), 201)["key"]
    client = Client(admin.http, service.url, token=token)
    with service.clock.hold() as clock:
        commits.fails_after = 3
        assert 500 in statuses(await results(client, *operations, key=key))
        clock.go_on(hours=23)
        commits.fails_after = None
        assert statuses(await results(client, *operations, key=key)) == [201] * 20
        clock.go_on(hours=1)
        reply = await send(client, *(upsert() for _ in range(20)), key=key)
    assert statuses(ok(reply)["results"]) == [201] * 20
    assert "Idempotency-Replayed" not in reply.headers
