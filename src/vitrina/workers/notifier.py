"""The notifier: from the queue to the inboxes, and from those to the mail (R9)."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from vitrina import aws
from vitrina.config import Settings
from vitrina.errors import TableUnavailable
from vitrina.mail.transport import open_transport
from vitrina.queue.notices import NoticeQueue
from vitrina.services.notifications.dispatch import Notices, default_preferences
from vitrina.services.notifications.mailer import Mailer
from vitrina.store import keys
from vitrina.store.changes import ChangeStore
from vitrina.store.inbox import InboxStore
from vitrina.store.mails import MailStore
from vitrina.store.recipients import RecipientStore
from vitrina.store.table import Table
from vitrina.workers.consumer import Consumer
from vitrina.workers.notification_handler import NotificationHandler

log = structlog.get_logger(__name__)

_IDLE: Final = 5.0
"""Seconds between two looks for mail: 12 a minute, 4 queries each."""
_SOON: Final = 1.0
"""Seconds between two looks while entries come in, which the index shows a moment after they were written."""
_STILL_NEWS: Final = 3.0
"""Seconds for which that goes on after the last entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the notifier is made of, as a worker and as Lambda functions."""

    table: Table
    teller: NotificationHandler
    mailer: Mailer

    async def probe(self) -> None:
        """Raise TableUnavailable unless the table answers: 1 call; whether the item is there does not matter."""
        await self.table.get(keys.SUPER_ADMINS, consistent=True)


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Connect and build the parts; let everything go at the end."""
    async with aws.connect(settings) as clients, open_transport(settings) as transport:
        table = Table(clients, name=settings.table_name)
        notices = Notices(
            InboxStore(table, retention_days=settings.notice_retention_days),
            RecipientStore(table, defaults=default_preferences(settings)),
            notify_actor=settings.notify_actor,
            before_digest=settings.notices_before_digest,
        )
        yield Parts(
            table=table,
            teller=NotificationHandler(notices, ChangeStore(table)),
            mailer=Mailer(MailStore(table), transport, settings),
        )


async def notifier(settings: Settings, stop: asyncio.Event) -> None:
    """Tell and mail until `stop` is set; what is at hand then is finished."""
    news = asyncio.Event()
    async with open_parts(settings) as parts, aws.connect_queue(settings) as sqs:
        consumer = Consumer(
            NoticeQueue(sqs, name=settings.queue_name),
            parts.teller.tell,
            probe=parts.probe,
            on_mail=news.set,
            visibility=settings.queue_visibility_timeout,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.run(stop))
            group.create_task(send_mail(parts.mailer, stop, news))


async def send_mail(mailer: Mailer, stop: asyncio.Event, news: asyncio.Event) -> None:
    """Send what is due until `stop` is set: at once when there is `news`, and whenever some seconds have passed."""
    last_news = -_STILL_NEWS
    while not stop.is_set():
        if news.is_set():
            last_news = time.monotonic()
            news.clear()
        try:
            more = await mailer.send_due(go_on=lambda: not stop.is_set())
        except TableUnavailable:
            more = False
        if not more:
            fresh = time.monotonic() - last_news < _STILL_NEWS
            await _either(stop, news, seconds=_SOON if fresh else _IDLE)


async def _either(*events: asyncio.Event, seconds: float) -> None:
    """Wait until one of the events is set, or for so many seconds."""
    waiters = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiters, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for waiter in waiters:
        waiter.cancel()
