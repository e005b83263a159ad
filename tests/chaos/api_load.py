"""Requests to an API whose processes are killed, and what its responses have promised."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp

from tests.api.client import PASSWORD, Client, JsonObject, Reply, ok, product_body

NOT_YET = {"conflict", "idempotency_in_progress"}
"""The codes of operations of a batch that are done when the batch is sent again."""


@dataclass
class ApiLoad:
    """Writers and readers that send requests until `stop`, and what the responses have promised.

    A request without a response is sent again until it has one, as clients do, those that create with their key. If the
    `engine_dies`, it may lose products that were created; those are `missing` once a response says so.
    """

    anonymous: Client
    admin: Client
    shared: list[JsonObject]
    engine_dies: bool = False
    stopped: bool = False
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1_000))
    prices: list[tuple[str, str]] = field(default_factory=list)
    """Product and price of each acknowledged change; no price is set twice."""
    live: dict[str, bool] = field(default_factory=dict)
    """Each created product, and whether it was not deleted."""
    missing: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)
    viewed: Counter[str] = field(default_factory=Counter)
    tried: Counter[str] = field(default_factory=Counter)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start the writers and readers."""
        for number in range(2):
            group.create_task(self.write(number))
            group.create_task(self.write_batches(number))
            group.create_task(self.view())
            group.create_task(self.view())
        group.create_task(self.register())

    async def write(self, number: int) -> None:
        """Create products with a key, change their prices, delete some and restore some."""
        for turn in itertools.count():
            if self.stopped:
                return
            reply = await self._send("POST", "/v1/products", product_body(), key=f"create-{number}-{turn}")
            product_id = ok(reply, 201)["id"]
            path = f"/v1/products/{product_id}"
            self.live[product_id] = True
            for _ in range(3):
                price = self._price()
                reply = await self._send("PATCH", path, {"price": price})
                if self._is_missing(product_id, reply.status):
                    break
                ok(reply)
                self.prices.append((product_id, price))
            if product_id in self.missing:
                continue
            if turn % 2:
                gone = await self._send("DELETE", path)
                assert gone.status in {204, 404}, gone  # 404: done by the request whose response was lost
                self.live[product_id] = False
            if turn % 4 == 3:
                back = await self._send("POST", f"{path}/restore")
                assert back.status in {200, 409} or self._is_missing(product_id, back.status), back
                self.live[product_id] = True

    async def write_batches(self, number: int) -> None:
        """Create a product, change the price of one that others change too, and delete the one created before."""
        before: JsonObject | None = None
        for turn in itertools.count():
            if self.stopped:
                return
            product, price = random.choice(self.shared), self._price()
            operations = [{"op": "upsert", **product_body()}, {"op": "patch", "sku": product["sku"], "price": price}]
            if before is not None:
                operations.append({"op": "delete", "sku": before["sku"]})
            results = await self._batch(operations, key=f"batch-{number}-{turn}")
            statuses = [result["status"] for result in results]
            if before is not None and self._is_missing(before["id"], statuses[-1]):
                del statuses[-1]
            # Done twice, the first would be 200 and the last 404.
            assert statuses == [201, 200, 204][: len(statuses)], results
            self.prices.append((product["id"], price))
            if before is not None:
                self.live[before["id"]] = False
            before = results[0]["product"]
            self.live[before["id"]] = True

    async def register(self) -> None:
        """Register accounts with a key."""
        for turn in itertools.count():
            if self.stopped:
                return
            account = {"email": f"kill-{turn}@example.com", "password": PASSWORD, "name": "Ana"}
            made = await self._send("POST", "/v1/auth/register", account, key=f"register-{turn}", by=self.anonymous)
            self.accounts.add(ok(made, 201)["id"])

    async def view(self) -> None:
        """Read products anonymously, without a second try."""
        while not self.stopped:
            product_id = random.choice(self.shared)["id"]
            self.tried[product_id] += 1
            reply = await self._attempt(self.anonymous.get(f"/v1/products/{product_id}"))
            if reply is not None:
                assert reply.status in {200, 503}, reply
                self.viewed[product_id] += reply.status == 200

    async def _batch(self, operations: list[JsonObject], *, key: str) -> list[JsonObject]:
        """Send a batch until all operations are done, and return their results."""
        while True:
            reply = await self._send("POST", "/v1/products/batch", {"operations": operations}, key=key)
            results: list[JsonObject] = ok(reply)["results"]
            if not any(each["status"] == 503 or each.get("problem", {}).get("code") in NOT_YET for each in results):
                return results

    async def _send(
        self, method: str, path: str, json: object = None, *, key: str | None = None, by: Client | None = None
    ) -> Reply:
        """Send a request, by the admin unless `by` another client, until it has a response other than 503."""
        headers = {} if key is None else {"Idempotency-Key": key}
        async with asyncio.timeout(60):
            while True:
                reply = await self._attempt((by or self.admin).request(method, path, json, headers=headers))
                if reply is not None and reply.status != 503:
                    return reply
                await asyncio.sleep(0.05)

    async def _attempt(self, request: Awaitable[Reply]) -> Reply | None:
        try:
            return await request
        except (aiohttp.ClientError, OSError):
            return None

    def _is_missing(self, product_id: str, status: int) -> bool:
        """Return whether a product is not found that only a dying engine can have lost."""
        if self.engine_dies and status == HTTPStatus.NOT_FOUND:
            self.missing.add(product_id)
        return product_id in self.missing

    def _price(self) -> str:
        return f"{next(self.numbers) / 100:.2f}"
