"""Admins with entries that wait for their mail, and a post office that does as it is told."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

from tests.mail.samples import AT, notice
from tests.service import Clock
from tests.store.samples import user
from vitrina.config import Settings
from vitrina.domain.mails import Waiting
from vitrina.domain.notices import Notice
from vitrina.domain.users import Role, User
from vitrina.services.notifications.mailer import Mailer
from vitrina.store import keys
from vitrina.store.inbox import InboxStore
from vitrina.store.items import MailItem, NoticeItem, NoticePreferencesItem
from vitrina.store.mails import MailStore
from vitrina.store.operations import Put
from vitrina.store.table import Table
from vitrina.store.users import UserStore

LATER = AT + timedelta(hours=1)


class Outbox:
    """Takes mail, unless it has been told what to raise for a recipient; `slow` is how long each takes."""

    def __init__(self) -> None:
        self.sent: list[EmailMessage] = []
        self.fails: dict[str, list[Exception]] = {}
        self.slow = 0.0

    async def send(self, message: EmailMessage) -> None:
        """Take a message."""
        await asyncio.sleep(self.slow)
        failures = self.fails.get(message["To"].addresses[0].addr_spec)
        if failures:
            raise failures.pop(0)
        self.sent.append(message)

    @property
    def identities(self) -> list[str]:
        """The Message-IDs of what was sent, in order."""
        return [str(message["Message-ID"]) for message in self.sent]


class World:
    """A table with admins, and mailers that work on it at a time that the test sets."""

    def __init__(self, table: Table, settings: Settings) -> None:
        self.table = table
        self.settings = settings
        self.clock = Clock(LATER)
        self.seconds = 1000.0
        self.outbox = Outbox()
        self.store = MailStore(table)
        self.users = UserStore(table)

    def mailer(self, **options: Any) -> Mailer:  # noqa: ANN401 - a setting's own field checks its value
        """Return a mailer as one process has it."""
        settings = self.settings.model_copy(update=options)
        return Mailer(self.store, self.outbox, settings, clock=self.clock, monotonic=lambda: self.seconds)

    async def admin(self, **fields: Any) -> User:  # noqa: ANN401 - each field has its own type
        """Make an admin."""
        made = user(**{"role": Role.ADMIN} | fields)
        await self.users.create(made)
        return made

    async def told(
        self, admin: User, numbers: Sequence[int] = (0,), *, digest: bool = False, due_at: datetime = AT
    ) -> list[Notice]:
        """Write entries of an admin's inbox whose mail is due."""
        notices = [notice(number, user_id=admin.id) for number in numbers]
        inbox = InboxStore(self.table, retention_days=90)
        for first in range(0, len(notices), 50):
            adding = (inbox.add(each, due_at=due_at, digest=digest) for each in notices[first : first + 50])
            assert all(await asyncio.gather(*adding))
        return notices

    async def prefers(self, admin: User, *, email: str = "digest", language: str = "en") -> None:
        """Write what an admin wants."""
        key = keys.notice_preferences(admin.id)
        await self.table.put(Put(NoticePreferencesItem.keyed(key, email=email, digest_minutes=15, language=language)))

    async def mail_of(self, admin: User) -> MailItem | None:
        """Return the mail to an admin that is being sent."""
        item = await self.table.get(keys.mail(admin.id), consistent=True)
        assert item is None or isinstance(item, MailItem)
        return item

    async def entry(self, one: Notice) -> NoticeItem:
        """Return an entry as the table has it."""
        item = await self.table.get(keys.notice(one.user_id, one.id), consistent=True)
        assert isinstance(item, NoticeItem)
        return item

    async def due(self) -> list[Waiting]:
        """Return all that the index shows as due at any time."""
        found = await asyncio.gather(*(self.store.due(shard, at=AT + timedelta(days=9)) for shard in range(4)))
        return [each for shard in found for each in shard]


def identity(one: Notice) -> str:
    """Return the Message-ID of a notice that is mailed by itself to the settings' default sender."""
    return f"<{one.id}.{one.user_id}@localhost>"
