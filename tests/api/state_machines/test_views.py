"""Views and reports: each anonymous read is counted once, before and after its day is rolled up."""

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.api.client import JsonObject, Reply, ok, product_body, sign_in
from tests.api.state_machines.bench import Bench
from vitrina.clock import epoch_ms, now
from vitrina.domain.reports import is_closed
from vitrina.domain.views import View
from vitrina.services.analytics import rollups

pytestmark = pytest.mark.slow

PERSON = st.sampled_from(["Mozilla/5.0 Firefox/145.0", "Mozilla/5.0 Firefox/146.0"])
AGENTS = st.one_of(PERSON, PERSON, st.just("Googlebot/2.1"))
HOWS = st.sampled_from(["by id", "by id", "by SKU", "HEAD", "not modified", "signed in", "ahead"])
NUMBERS = st.integers(0, 9)
SPAN = 5
"""Days between the beginnings of two examples, of which no two have a day in common."""
EXAMPLES = 2_500
"""The most examples that fit between the first day and today."""


@dataclass(slots=True)
class Viewed:
    """The views of a product on a day: by people, who are told apart by their agents, and by bots."""

    people: Counter[str] = field(default_factory=Counter)
    bots: int = 0


class ViewMachine(RuleBasedStateMachine):
    """Visitors read products on a few days of the past, which close one after the other."""

    def __init__(self, bench: Bench, example: int) -> None:
        super().__init__()
        self.bench = bench
        self.clock = bench.service.clock
        self.clock.at = now().replace(hour=0, minute=10) - timedelta(days=(EXAMPLES - example) * SPAN)
        self.first = self.today
        self.admin = bench.run(sign_in(bench.anonymous, {"email": bench.super_admin.email}))
        self.products: list[JsonObject] = []
        self.viewed: defaultdict[tuple[str, date], Viewed] = defaultdict(Viewed)
        self.create()

    @property
    def today(self) -> date:
        """The day of the service."""
        return self.clock.at.date()

    @rule()
    def create(self) -> None:
        """Create a product."""
        self.products.append(ok(self.bench.run(self.admin.post("/v1/products", product_body())), 201))

    @rule(number=NUMBERS, agent=AGENTS, how=HOWS)
    def read(self, number: int, agent: str, how: str) -> None:
        """Read a product: what gets it is a view, unless it is signed in or gets the headers alone."""
        product, headers = self._product(number), {"User-Agent": agent}
        path = f"/v1/products/{product['id']}"
        client, method = self.bench.anonymous, "GET"
        match how:
            case "by SKU":
                path = f"/v1/products/by-sku/{product['sku']}"
            case "HEAD":
                method = "HEAD"
            case "not modified":
                headers["If-None-Match"] = "*"
            case "signed in":
                client = self.admin
            case "ahead":
                headers["Sec-Purpose"] = "prefetch"
        reply = self.bench.run(client.request(method, path, headers=headers))
        # A replica may not know yet that a product was created or deleted.
        assert reply.status in {304 if how == "not modified" else 200, 404}, reply
        if reply.status == 200 and how not in {"HEAD", "signed in"}:
            self._count(product["id"], self.today, agent, bot=how == "ahead" or "bot" in agent)

    @rule(numbers=st.lists(NUMBERS, min_size=3, max_size=6), agent=PERSON)
    def read_at_once(self, numbers: list[int], agent: str) -> None:
        """Read several products at once, whose views are stored together."""
        ids = [self._product(number)["id"] for number in numbers]
        headers = {"User-Agent": agent}

        async def read() -> list[Reply]:
            return await asyncio.gather(
                *(self.bench.anonymous.get(f"/v1/products/{each}", headers=headers) for each in ids)
            )

        for product_id, reply in zip(ids, self.bench.run(read()), strict=True):
            assert reply.status in {200, 404}, reply
            if reply.status == 200:
                self._count(product_id, self.today, agent, bot=False)

    @rule(number=NUMBERS, days=st.integers(1, SPAN), agent=st.binary(min_size=12, max_size=12), bot=st.booleans())
    def store_late(self, number: int, days: int, agent: bytes, bot: bool) -> None:  # noqa: FBT001 - as drawn
        """Store a view of an earlier day, as a process does that could not reach the table."""
        product, store = self._product(number), self.bench.service.services.view_store
        at = self.clock.at - timedelta(days=days)
        if at.date() >= self.first and product["created_at"] <= at.isoformat():
            self.bench.run(store.put_late(store.segments([View(product["id"], epoch_ms(at), agent, None, bot)])))
            self._count(product["id"], at.date(), agent.hex(), bot=bot)

    @rule(number=NUMBERS)
    def delete(self, number: int) -> None:
        """Delete a product, which keeps its views."""
        assert self.bench.run(self.admin.delete(f"/v1/products/{self._product(number)['id']}")).status in {204, 404}

    @rule(hours=st.sampled_from([1, 5, 24]))
    def go_on(self, hours: int) -> None:
        """Let time pass, as far as the days of this example reach."""
        if (self.clock.at + timedelta(hours=hours)).date() < self.first + timedelta(days=SPAN):
            self.clock.go_on(hours=hours)

    @rule(number=NUMBERS)
    def roll_up(self, number: int) -> None:
        """Roll a closed day up."""
        if closed := [day for day in self._days() if is_closed(day, self.clock.at)]:
            self.bench.run(self.bench.service.services.rollups.roll_up(closed[number % len(closed)]))

    @rule(number=NUMBERS)
    def report(self, number: int) -> None:
        """Compare the report of a product."""
        self._compare(self._product(number)["id"])

    @rule()
    def rank(self) -> None:
        """Compare the most viewed products."""
        path = f"/v1/analytics/top-products?from={self.first}&to={self.today}&limit=100"
        found = {
            entry["product"]["id"]: (entry["views"], entry["unique_visitors"])
            for entry in ok(self.bench.run(self.admin.get(path)))["items"]
        }
        wanted: dict[str, tuple[int, int]] = {}
        for (product_id, _), viewed in self.viewed.items():
            views, visitors = wanted.get(product_id, (0, 0))
            wanted[product_id] = views + viewed.people.total(), visitors + len(viewed.people)
        assert found == {product_id: counts for product_id, counts in wanted.items() if counts[0]}

    def teardown(self) -> None:
        """Compare everything once more after all days have closed and were rolled up."""
        self.clock.at = self.clock.at.replace(hour=2) + timedelta(days=1)
        for day in self._days():
            if is_closed(day, self.clock.at):
                self.bench.run(self.bench.service.services.rollups.roll_up(day))
        for product in self.products:
            self._compare(product["id"])
        self.rank()

    def _compare(self, product_id: str) -> None:
        path = f"/v1/products/{product_id}/views?from={self.first}&to={self.today}"
        report: dict[str, Any] = ok(self.bench.run(self.admin.get(path)))
        rows: list[JsonObject] = [
            {
                "day": f"{day}",
                "views": viewed.people.total(),
                "unique_visitors": len(viewed.people),
                "bots": viewed.bots,
            }
            for day in self._days()
            for viewed in [self.viewed.get((product_id, day), Viewed())]
        ]
        assert report["days"] == rows
        sums = {name: sum(row[name] for row in rows) for name in ("views", "unique_visitors", "bots")}
        assert (report["total"], report["unique_visitors"], report["bots"]) == tuple(sums.values())

    def _count(self, product_id: str, day: date, agent: str, *, bot: bool) -> None:
        viewed = self.viewed[product_id, day]
        if bot:
            viewed.bots += 1
        else:
            viewed.people[agent] += 1

    def _days(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range((self.today - self.first).days + 1)]

    def _product(self, number: int) -> JsonObject:
        return self.products[number % len(self.products)]


@pytest.fixture(scope="module")
def endpoint(dynamodb_local: str) -> str:
    """DynamoDB Local: a day closes here before a replica of the simulated AWS has its views."""
    return dynamodb_local


@pytest.fixture
def numbers() -> Iterator[int]:
    """The numbers of examples."""
    return itertools.count()


async def test_reports_agree_with_the_model(
    run: Callable[[Callable[[Bench], RuleBasedStateMachine]], None],
    numbers: Iterator[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rollups, "_SETTLING", 0)  # No other process is storing views here.
    await asyncio.to_thread(run, lambda bench: ViewMachine(bench, next(numbers)))
