"""A harness for mailers on a real table, with a fake transport and a manual clock."""

import asyncio
import email
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from typing import Any

from tests.mail.samples import AT, notice
from tests.service import Clock
from tests.store.samples import HASH, user
from vitrina.backoff import Backoff
from vitrina.config import Settings
from vitrina.domain.notices import Notice, Waiting
from vitrina.domain.users import Role, User
from vitrina.mail.transport import Message, Transport
from vitrina.services.notifications.mailer import Mailer
from vitrina.store import keys
from vitrina.store.inbox import InboxStore
from vitrina.store.items import MailItem, NoticeItem, NoticePreferencesItem
from vitrina.store.mails import MailStore
from vitrina.store.operations import Put
from vitrina.store.table import Table
from vitrina.store.users import UserStore

LATER = AT + timedelta(hours=1)


class Outbox(Transport):
    """A fake transport: records messages, raises the exceptions in `fails` by recipient, takes `slow` seconds each."""

    def __init__(self) -> None:
        self.sent: list[EmailMessage] = []
        self.fails: dict[str, list[Exception]] = {}
        self.slow = 0.0

    async def send(self, message: Message) -> None:
        await asyncio.sleep(self.slow)
        failures = self.fails.get(message.recipient.address)
        if failures:
            raise failures.pop(0)
        self.sent.append(email.message_from_bytes(message.data, policy=default))

    @property
    def identities(self) -> list[str]:
        """The Message-IDs of the sent messages, in order."""
        return [str(message["Message-ID"]) for message in self.sent]


class MailHarness:
    """Mailers on a table of admins, at the time of `clock` and the `seconds` of a monotonic clock.

    The table's responses have the date `table_time`; without one, the mailers go by their own clocks.
    """

    def __init__(self, table: Table, settings: Settings) -> None:
        self.table = table
        self.settings = settings
        self.clock = Clock(LATER)
        self.seconds = 1000.0
        self.outbox = Outbox()
        self.table_time: datetime | None = None
        self._query_dated = table.query_dated
        table.query_dated = self._query_dated_anew  # type: ignore[method-assign]
        self.store = MailStore(table)
        self.users = UserStore(table)

    async def _query_dated_anew(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as the table's
        items, position, _ = await self._query_dated(*arguments, **options)
        return items, position, self.table_time

    def mailer(self, *, clock: Clock | None = None, **options: Any) -> Mailer:  # noqa: ANN401 - a setting's own field checks its value
        """Return a new mailer with these settings, which shares no memory with the others, by its own `clock`."""
        return Mailer(
            self.store,
            self.outbox,
            self.settings.model_copy(update=options),
            clock=clock or self.clock,
            monotonic=lambda: self.seconds,
            settle=Backoff(first=0, longest=0),
        )

    async def admin(self, **fields: Any) -> User:  # noqa: ANN401 - each field has its own type
        """Create an admin."""
        made = user(**{"role": Role.ADMIN} | fields)
        await self.users.create(made, HASH)
        return made

    async def add_due(
        self, admin: User, numbers: Sequence[int] = (0,), *, digest: bool = False, due_at: datetime = AT
    ) -> list[Notice]:
        """Write inbox entries of an admin whose mail is due."""
        notices = [notice(number, user_id=admin.id) for number in numbers]
        inbox = InboxStore(self.table, retention_days=90)
        for first in range(0, len(notices), 50):
            adding = (inbox.add(each, due_at=due_at, digest=digest) for each in notices[first : first + 50])
            assert all(await asyncio.gather(*adding))
        return notices

    async def prefers(self, admin: User, *, email: str = "digest", language: str = "en") -> None:
        """Set an admin's mail preferences."""
        key = keys.notice_preferences(admin.id)
        await self.table.put(Put(NoticePreferencesItem.keyed(key, email=email, digest_minutes=15, language=language)))

    async def mail_of(self, admin: User) -> MailItem | None:
        """Return the mail item of an admin, None if no mail is being sent."""
        item = await self.table.get(keys.mail(admin.id), consistent=True)
        assert item is None or isinstance(item, MailItem)
        return item

    async def entry(self, one: Notice) -> NoticeItem:
        """Return the inbox entry of a notice."""
        item = await self.table.get(keys.notice(one.user_id, one.id), consistent=True)
        assert isinstance(item, NoticeItem)
        return item

    def show(self, waiting: Waiting) -> None:
        """Make the index list exactly this as due, as it does while it lags behind the table."""

        async def due(shard: int, **_: object) -> list[Waiting]:
            return [waiting] if shard == keys.mail_shard(waiting.user_id) else []

        self.store.due = due  # type: ignore[method-assign]

    async def due(self) -> list[Waiting]:
        """Return all mail that the index lists, due now or later."""
        found = await asyncio.gather(*(self.store.due(shard, at=AT + timedelta(days=9)) for shard in range(4)))
        return [each for shard in found for each in shard]


def identity(one: Notice) -> str:
    """Return the Message-ID of a single notice, sent by the default `mail_from`."""
    return f"<{one.id}.{one.user_id}@localhost>"
