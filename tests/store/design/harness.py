"""The sample data that table_design.md measures, and the accounts that use it.

A row is named by the first cell of its row on the page. Its function prepares, and returns the work that is measured.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tests.api.client import PASSWORD, Client, Person, ok, product_body, sign_in, unique
from tests.service import Service
from tests.store.samples import price_changed, user
from vitrina.bootstrap import Services
from vitrina.clock import now
from vitrina.domain.notices import Notice, PriceChanged
from vitrina.domain.users import Role
from vitrina.store.inbox import InboxStore
from vitrina.store.table import Table
from vitrina.store.users import UserStore

FULL: Final = 26
"""Items that a page of 25 reads: the one after it says whether there is a next page."""
_DESCRIPTION: Final = "A lamp of brushed brass with a linen shade, made by hand in a workshop on the coast. " * 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """The running service with the sample data, and ways to add to it."""

    service: Service
    anonymous: Client
    super_admin: Person
    admin: Person
    user: Person

    @property
    def services(self) -> Services:
        """The services, for what no route reaches."""
        return self.service.services

    @property
    def table(self) -> Table:
        """The table."""
        return self.services.table

    def settle(self) -> None:
        """Let the process forget that it has just written, as it does when replicas and indexes have the writes."""
        cache = self.services.product_cache
        cache._written._until.clear()
        cache.first_pages._settled_at = cache.pages._settled_at = 0.0

    async def product(self, **fields: object) -> Any:  # noqa: ANN401 - JSON
        """Make a product."""
        return ok(await self.admin.post("/v1/products", product(**fields)), 201)

    async def deleted(self) -> Any:  # noqa: ANN401 - JSON
        """Create a product and delete it."""
        made = await self.product()
        ok(await self.admin.delete(f"/v1/products/{made['id']}"), 204)
        return made

    async def repriced(self) -> Any:  # noqa: ANN401 - JSON
        """Create a product and change its price."""
        made = await self.product()
        return ok(await self.admin.patch(f"/v1/products/{made['id']}", {"price": "149.00"}))

    async def notice(self, of: Person, *, due_at: datetime | None = None, digest: bool = False) -> Notice:
        """Put a notice into an inbox."""
        made = Notice(user_id=of.id, change=changed(), changed_by_name="Sol Supervisor")
        store = InboxStore(self.table, retention_days=self.service.settings.notice_retention_days)
        await store.add(made, due_at=due_at, digest=digest)
        return made

    async def account(self, **fields: object) -> Person:
        """Make an account that is signed in twice."""
        made = ok(await self.super_admin.post("/v1/users", account(**fields)), 201)
        await sign_in(self.anonymous, made)
        return await sign_in(self.anonymous, made)

    async def api_key(self, of: Person) -> Any:  # noqa: ANN401 - JSON
        """Make an API key of an account."""
        return ok(await of.post("/v1/auth/keys", {"name": "Search index", "scope": "read"}), 201)


Work = Awaitable[object]
Prepare = Callable[[Harness], Awaitable[Work]]
ROWS: dict[str, tuple[int, Prepare]] = {}
"""Rows by name: the expected status (0: none) and the function."""


def row(name: str, status: int = 0) -> Callable[[Prepare], None]:
    """Register a function as the row's."""

    def take(prepare: Prepare) -> None:
        assert name not in ROWS
        ROWS[name] = status, prepare

    return take


def plain(name: str, work: Callable[[Harness], Work], status: int = 200) -> None:
    """Register a row that needs no preparation."""

    async def prepare(harness: Harness) -> Work:
        return work(harness)

    ROWS[name] = status, prepare


def product(**fields: object) -> dict[str, object]:
    """Return the body of a product with a description of 200 characters; all texts have a fixed length."""
    number = _number()
    texts = {"sku": f"BW-LAMP-{number}", "name": f"Brushed brass lamp {number}", "brand": "Brightwell"}
    return product_body() | texts | {"price": "129.00", "description": described(0)} | fields


def changed(**fields: Any) -> PriceChanged:  # noqa: ANN401 - each field has its own type
    """Return the event of a price change at the current time; all texts have a fixed length."""
    number = _number()
    texts = {"sku": f"BW-LAMP-{number}", "name": f"Brushed brass lamp {number}", "request_id": "0123456789abcdef-1"}
    return price_changed(changed_at=now(), **texts | fields)


def described(variant: int) -> str:
    """Return a description of 200 characters."""
    return _DESCRIPTION[variant : variant + 200]


def account(**fields: object) -> dict[str, object]:
    """Return the body of an account; all texts have a fixed length."""
    return {
        "email": f"account-{_number()}@example.com",
        "password": PASSWORD,
        "name": "Uma User",
        "role": "user",
    } | fields


def keyed(key: str) -> dict[str, str]:
    """Return the header of an idempotency key."""
    return {"Idempotency-Key": key}


async def fill(service: Service, anonymous: Client) -> Harness:
    """Create pages of products, deleted products and accounts, and sign three accounts in."""
    email = "super@example.com"
    await service.services.accounts.create_super_admin(email=email, password=PASSWORD, name="Sol Supervisor")
    super_admin = await sign_in(anonymous, {"email": email})
    admin, user_ = [
        await sign_in(anonymous, ok(await super_admin.post("/v1/users", account(role=role)), 201))
        for role in ("admin", "user")
    ]
    harness = Harness(service=service, anonymous=anonymous, super_admin=super_admin, admin=admin, user=user_)
    users = UserStore(harness.table)
    for _ in range(FULL):
        await users.create(user(email=f"account-{_number()}@example.com", role=Role.ADMIN), "$" * 60)
        await harness.product()
        await harness.deleted()
        await harness.notice(harness.admin)
    return harness


def _number() -> str:
    return f"{int(unique('n').removeprefix('n-')):04}"
