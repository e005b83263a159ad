"""The notifier worker: consumes the queue into inboxes and sends the mail that is due (R9)."""

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
from vitrina.services.notifications.dispatch import NoticeDispatcher, default_preferences
from vitrina.services.notifications.mailer import Mailer
from vitrina.store import keys
from vitrina.store.changes import ChangeStore
from vitrina.store.inbox import InboxStore
from vitrina.store.mails import MailStore
from vitrina.store.recipients import RecipientStore
from vitrina.store.table import Table
from vitrina.workers.consumer import Consumer
from vitrina.workers.notification_handler import NotificationHandler
from vitrina.workers.running import wait_for_any

log = structlog.get_logger(__name__)

_IDLE: Final = 5.0
"""Seconds between two polls for due mail: 12 polls a minute, 4 queries each."""
_SOON: Final = 1.0
"""Seconds between two polls after new entries, which the index shows a moment after they are written."""
_RECENT: Final = 3.0
"""Seconds after the last new entry for which polls are that frequent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The objects that the notifier needs, as a worker and as Lambda functions."""

    table: Table
    handler: NotificationHandler
    mailer: Mailer

    async def probe(self) -> None:
        """Raise TableUnavailable unless the table responds: 1 request, for an item that need not exist."""
        await self.table.get(keys.SUPER_ADMINS, consistent=True)


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Connect and build the parts; disconnect at the end."""
    async with aws.connect(settings) as clients, open_transport(settings) as transport:
        table = Table(clients, name=settings.table_name)
        dispatcher = NoticeDispatcher(
            InboxStore(table, retention_days=settings.notice_retention_days),
            RecipientStore(table, defaults=default_preferences(settings)),
            notify_actor=settings.notify_actor,
            before_digest=settings.notices_before_digest,
        )
        yield Parts(
            table=table,
            handler=NotificationHandler(dispatcher, ChangeStore(table)),
            mailer=Mailer(MailStore(table), transport, settings),
        )


async def notifier(settings: Settings, stop: asyncio.Event) -> None:
    """Handle messages and send mail until `stop` is set; then finish the current messages and mails."""
    news = asyncio.Event()
    async with open_parts(settings) as parts, aws.connect_queue(settings) as sqs:
        consumer = Consumer(
            NoticeQueue(sqs, name=settings.queue_name).main,
            parts.handler.handle,
            probe=parts.probe,
            on_mail=news.set,
            visibility=settings.queue_visibility_timeout,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(consumer.run(stop))
            group.create_task(send_mail(parts.mailer, stop, news))


async def send_mail(
    mailer: Mailer, stop: asyncio.Event, news: asyncio.Event, *, idle: float = _IDLE, soon: float = _SOON
) -> None:
    """Send due mail until `stop` is set; polls at once when `news` is set, else every `soon` or `idle` seconds."""
    last_news = -_RECENT
    while not stop.is_set():
        if news.is_set():
            last_news = time.monotonic()
            news.clear()
        try:
            more = await mailer.send_due(go_on=lambda: not stop.is_set())
        except TableUnavailable:
            more = False
        if not more:
            recent = time.monotonic() - last_news < _RECENT
            await wait_for_any(stop, news, seconds=soon if recent else idle)
