"""The notifier worker: consumes the queue into inboxes and sends the mail that is due (R9)."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from vitrina.bootstrap import Services, open_queue
from vitrina.config import Settings
from vitrina.errors import TableUnavailable
from vitrina.services.notifications.mailer import Mailer
from vitrina.workers.consumer import Consumer
from vitrina.workers.notification_handler import NotificationHandler
from vitrina.workers.running import wait_for_any

_IDLE: Final = 5.0
"""Seconds between two polls for due mail: 12 polls a minute, 4 queries each."""
_SOON: Final = 1.0
"""Seconds between two polls after new entries, which the index shows a moment after they are written."""
_RECENT: Final = 3.0
"""Seconds after the last new entry for which polls are that frequent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The objects that the notifier needs, as a worker and as Lambda functions."""

    services: Services
    handler: NotificationHandler
    mailer: Mailer


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Connect and build the parts; disconnect at the end."""
    async with Services(settings) as services:
        yield Parts(
            services=services,
            handler=NotificationHandler(services.notice_dispatcher, services.product_listings),
            mailer=await services.open_mailer(),
        )


async def notifier(settings: Settings, stop: asyncio.Event) -> None:
    """Handle messages and send mail until `stop` is set; then finish the current messages and mails."""
    news = asyncio.Event()
    async with open_parts(settings) as parts, open_queue(settings) as queue:
        consumer = Consumer(
            queue.main,
            parts.handler.handle,
            probe=partial(parts.services.probe, consistent=True),
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
