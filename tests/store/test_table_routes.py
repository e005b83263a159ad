"""Reader and writer endpoints (R17): which request goes to which, with two real endpoints."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from tests.store.samples import HASH, START, at, create, edit, session, user
from tests.stored_views import read
from vitrina.aws import connect
from vitrina.config import Settings
from vitrina.domain.products import Listing, Product
from vitrina.domain.users import Role, Session, User
from vitrina.domain.views import View
from vitrina.store.definition import create_table_arguments
from vitrina.store.idempotency import Claim, IdempotencyStore, StoredResponse
from vitrina.store.listings import ProductListings
from vitrina.store.operations import Scan
from vitrina.store.products import ProductStore
from vitrina.store.sessions import SessionStore
from vitrina.store.table import Table
from vitrina.store.users import UserStore
from vitrina.store.views import ViewStore


class Stores:
    """All stores over one table that has the same name at two endpoints."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.products = ProductStore(table)
        self.listings = ProductListings(table)
        self.users = UserStore(table)
        self.sessions = SessionStore(table)
        self.idempotency = IdempotencyStore(table)
        self.views = ViewStore(table)
        self.product: Product
        self.user: User
        self.session: Session

    async def fill(self) -> None:
        """Write one item of every kind; all writes go to the writer."""
        self.product = await edit(self.products, await create(self.products, sku="Lamp-1"), name="Other")
        self.user = user(email="uma@example.com")
        await self.users.create(self.user, HASH)
        self.session = session(self.user)
        await self.sessions.create(self.session)
        await self.idempotency.keep(CLAIM, StoredResponse(status=201, headers={}, body=b""))
        await self.views.put(self.views.segments([View(self.product.id, AT_MS, bytes(12), None, bot=False)]))


CLAIM = Claim(
    owner="ana",
    route="products",
    key_fingerprint="key",
    body_fingerprint="body",
    made_at=START,
    expires_at=START + timedelta(hours=1),
)
AT_MS = int(START.timestamp() * 1000)
Read = Callable[[Stores], Awaitable[object]]


async def views_of_today(stores: Stores) -> list[object]:
    """Read the views of the product's shard."""
    return [view for shard in range(8) async for view in read(stores.views, START.date(), shard)]


TO_WRITER: dict[str, Read] = {
    "a product, for who may change it": lambda w: w.products.get(w.product.id, consistent=True),
    "the holder of a SKU, likewise": lambda w: w.products.holder("lamp-1", consistent=True),
    "products by id, for an import": lambda w: w.products.get_many([w.product.id], consistent=True),
    "holders of SKUs, likewise": lambda w: w.products.holders(["lamp-1"], consistent=True),
    "a product's history": lambda w: items(w.listings.history(w.product.id, limit=9, start=None)),
    "prices, for who may change them": lambda w: w.listings.prices_since(w.product.id, at(9), consistent=True),
    "an account": lambda w: w.users.get(w.user.id),
    "an account by e-mail": lambda w: w.users.by_email("uma@example.com"),
    "whether an e-mail is taken": lambda w: w.users.email_is_taken("uma@example.com"),
    "an account with its session": lambda w: w.sessions.with_user(w.user.id, w.session.id, at=at(0)),
    "an account's sessions": lambda w: items(w.sessions.page(w.user, at=at(0), limit=9, start=None)),
    "an answer kept for a key": lambda w: w.idempotency.find(CLAIM),
    "a consistent scan": lambda w: scanned(w, consistent=True),
}
TO_READER: dict[str, Read] = {
    "a product, for the public": lambda w: w.products.get(w.product.id, consistent=False),
    "products by id": lambda w: w.products.get_many([w.product.id]),
    "products that are known": lambda w: w.products.refresh([w.product]),
    "the holder of a SKU, for the public": lambda w: w.products.holder("lamp-1", consistent=False),
    "holders of SKUs": lambda w: w.products.holders(["lamp-1"]),
    "the product list": lambda w: items(w.listings.live(Listing(), limit=9, start=None)),
    "prices, for the public": lambda w: w.listings.prices_since(w.product.id, at(9), consistent=False),
    "the list of accounts": lambda w: items(w.users.page(role=Role.USER, limit=9, start=None)),
    "views": views_of_today,
    "a scan": lambda w: scanned(w, consistent=False),
}


async def items(page: Awaitable[object]) -> object:
    """Return a page's items."""
    return getattr(await page, "items")  # noqa: B009 - of whatever page


async def scanned(stores: Stores, *, consistent: bool) -> object:
    """Return the first items of a scan."""
    found, _ = await stores.table.scan(Scan(consistent=consistent), limit=9)
    return found


@pytest.fixture
async def stores(settings: Settings, dynamodb_local: str, ministack: str) -> AsyncIterator[Stores]:
    """A writer endpoint with all data, and a reader endpoint to which nothing is replicated."""
    settings = settings.model_copy(update={"writer_endpoint": dynamodb_local, "reader_endpoint": ministack})
    async with connect(settings) as clients:
        for client in (clients.writer, clients.reader):
            await client.create_table(**create_table_arguments(settings))
        stores = Stores(Table(clients, name=settings.table_name, deadline=30))
        await stores.fill()
        yield stores
        for client in (clients.writer, clients.reader):
            await client.delete_table(TableName=settings.table_name)


async def test_each_read_goes_to_its_endpoint(stores: Stores) -> None:
    """The reader is empty, so a read that finds something used the writer, and one that finds nothing the reader."""
    found = {name for name, read in (TO_WRITER | TO_READER).items() if await read(stores)}
    assert found == set(TO_WRITER)


async def test_no_write_goes_to_the_reader(stores: Stores) -> None:
    """After all writes the reader's table is still empty."""
    assert not await scanned(stores, consistent=False)
    assert await scanned(stores, consistent=True)


async def test_one_endpoint_has_one_client(settings: Settings) -> None:
    """Even if reader and writer both name it, so that connections are not opened twice."""
    for reader in (None, settings.writer_endpoint):
        async with connect(settings.model_copy(update={"reader_endpoint": reader})) as clients:
            assert clients.reader is clients.writer
