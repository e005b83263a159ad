"""Fixtures: a table, a queue, admins with mail preferences, products with prices, and a mail server."""

import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.stack import MailServer, PriceLoad, Worker, until
from tests.service import drop_table, make_table, settings_for
from tests.store import samples
from tests.store.samples import HASH
from vitrina import aws
from vitrina.bootstrap import Services
from vitrina.config import Settings
from vitrina.domain.notices import EmailMode, Language
from vitrina.domain.products import Action, describe
from vitrina.domain.users import Role, User
from vitrina.queue.provisioning import ensure
from vitrina.store import keys
from vitrina.store.items import Item, MailItem, NoticeItem, NoticePreferencesItem
from vitrina.store.operations import Put, Query
from vitrina.store.paging import every
from vitrina.store.products import ProductStore
from vitrina.store.table import Table
from vitrina.store.users import UserStore

SEED = int(os.environ.get("CHAOS_SEED") or random.randrange(10**6))
KILLS = int(os.environ.get("CHAOS_KILLS") or 6)
SECONDS = float(os.environ.get("CHAOS_SECONDS") or 12)
RATE = float(os.environ.get("CHAOS_RATE") or 8)
ADMINS = int(os.environ.get("CHAOS_ADMINS") or 5)
"""`CHAOS_KILLS=20 CHAOS_SECONDS=60 CHAOS_RATE=20 CHAOS_ADMINS=20 scripts/test tests/chaos` is the whole of it."""
PRODUCTS = 20
SETTLED = 240.0
"""Seconds after which what is still missing will not come: a digest's window is a minute."""


@dataclass(slots=True)
class Installation:
    """Everything except the workers."""

    settings: Settings
    table: Table
    load: PriceLoad
    mail: MailServer
    admins: list[User]
    folder: Path
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))

    def change_settings(self, **settings: Any) -> Settings:  # noqa: ANN401 - each setting has its own type
        """Change the settings of workers created from now on."""
        self.settings = self.settings.model_copy(update=settings)
        return self.settings

    def worker(self, command: str) -> Worker:
        """Return a worker that has not been started."""
        return Worker(command, self.settings, self.folder)

    async def inbox(self, user: User) -> list[NoticeItem]:
        """Return an admin's entries."""
        return [item for item in await self._items_of(user) if isinstance(item, NoticeItem)]

    async def settle(self) -> None:
        """Wait until every inbox has the expected number of entries and no mail is pending."""
        await until(self._are_settled, seconds=SETTLED)

    async def _are_settled(self) -> bool:
        return all([await self._is_settled(admin) for admin in self.admins])

    async def _is_settled(self, user: User) -> bool:
        items = await self._items_of(user)
        entries = [item for item in items if isinstance(item, NoticeItem)]
        waits = any(item.due for item in entries) or any(isinstance(item, MailItem) for item in items)
        return len(entries) >= len(self.load.told_to(user)) and not waits

    async def _items_of(self, user: User) -> list[Item]:
        return await every(self.table, Query(condition=Item.pk == keys.user(user.id).pk, consistent=True))


@pytest.fixture
async def installation(dynamodb_local: str, ministack: str, tmp_path: Path) -> AsyncIterator[Installation]:
    """A table on DynamoDB Local and a queue on MiniStack, with timeouts short enough to notice a death in seconds."""
    print(f"CHAOS_SEED={SEED}")  # noqa: T201 - shown when a test fails
    with MailServer() as mail:
        settings = settings_for(
            dynamodb_local,
            queue_name=f"chaos-{random.randrange(10**9)}",
            queue_endpoint=ministack,
            queue_visibility_timeout=4,
            queue_max_receives=100,
            relay_lease_time=2.0,
            notices_before_digest=3,
            digest_minutes=1,
            mail_lease_time=3.0,
            mail_timeout=1.5,
            smtp_host="127.0.0.1",
            smtp_port=mail.port,
            region="us-east-1",
        )
        await make_table(settings, stream=True)
        async with aws.connect_queue(settings) as client:
            await ensure(client, settings)
        async with Services(settings, patient=15) as services, aws.connect(settings) as clients:
            table = Table(clients, name=settings.table_name, deadline=30)
            admins = await _hire(table)
            products = await _stock(table, admins[0])
            load = PriceLoad(services, admins[:2], products)
            yield Installation(settings, table, load, mail, admins, tmp_path)
        await drop_table(settings)


async def _hire(table: Table) -> list[User]:
    """Create admins: one wants each notice mailed, one wants no mail, the others get digests by default."""
    admins = [
        samples.user(role=Role.SUPER_ADMIN if number == 0 else Role.ADMIN, name=f"Admin {number}")
        for number in range(ADMINS)
    ]
    for admin in admins:
        await UserStore(table).create(admin, HASH)
    for admin, mode in ((admins[-1], EmailMode.OFF), (admins[-2], EmailMode.EACH)):
        wishes = NoticePreferencesItem.keyed(
            keys.notice_preferences(admin.id), email=mode.value, digest_minutes=1, language=Language.ENGLISH.value
        )
        await table.put(Put(wishes))
    return admins


async def _stock(table: Table, by: User) -> list[str]:
    products = [samples.product(created_by=by.id) for _ in range(PRODUCTS)]
    for product in products:
        change = describe(None, product, action=Action.CREATED, request_id="stock")
        await ProductStore(table).create(product, change)
    return [product.id for product in products]
