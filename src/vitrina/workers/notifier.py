"""The notifier: consumes the queue into inboxes and sends the mail that is due (R9), as a worker and for Lambda."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog

from vitrina.bootstrap import Services, open_queue
from vitrina.config import Settings
from vitrina.domain.notices import PriceChanged
from vitrina.errors import TableUnavailable, VitrinaError
from vitrina.metrics import WORKER_FAILURES
from vitrina.queue import traces
from vitrina.queue.messages import ChangeUnread, MessageUnreadable, decode
from vitrina.services.notifications.dispatch import NoticeDispatcher
from vitrina.services.notifications.mailer import Mailer
from vitrina.store.listings import ProductListings
from vitrina.store.stream import ChangeUnreadable
from vitrina.workers.consumer import Consumer, Outcome
from vitrina.workers.running import wait_for_any

log = structlog.get_logger(__name__)

_IDLE: Final = 5.0
"""Seconds between two polls for due mail: 12 polls a minute, 4 queries each."""
_SOON: Final = 1.0
"""Seconds between two polls after new entries, which the index shows a moment after they are written."""
_RECENT: Final = 3.0
"""Seconds after the last new entry for which polls are that frequent."""


class NotificationHandler:
    """Decodes messages and dispatches their events; reads from `changes` the events that a message only names."""

    def __init__(self, dispatcher: NoticeDispatcher, changes: ProductListings) -> None:
        self._dispatcher = dispatcher
        self._changes = changes

    async def handle(self, bodies: Mapping[str, str]) -> Outcome:
        """Handle message bodies, by message id.

        Never raises. A message that cannot be handled is reported in `Outcome.poison`.
        """
        outcome = Outcome()
        events: dict[str, PriceChanged] = {}
        for message_id, body in bodies.items():
            try:
                event = await self._event(body)
            except (MessageUnreadable, ChangeUnreadable) as error:
                log.error("message_unreadable", message=message_id, why=str(error))  # noqa: TRY400 - `why` says it all
                outcome.poison.add(message_id)
            except VitrinaError as error:
                log.warning("change_read_failed", message=message_id, error=type(error).__name__)
                outcome.failed.add(message_id)
            except Exception:
                log.exception("message_handler_failed", message=message_id)
                outcome.poison.add(message_id)
            else:
                if event is None:
                    log.warning("change_without_price", message=message_id)
                    outcome.done.add(message_id)
                else:
                    events[message_id] = event
        try:
            await self._dispatch(events, outcome)
        except Exception:
            # Dispatch each event by itself, so that the one that fails does not stop the others.
            log.exception("message_batch_failed", messages=len(events))
            for message_id, event in events.items():
                await self._dispatch_one(message_id, event, outcome)
        return outcome

    async def _event(self, body: str) -> PriceChanged | None:
        event = decode(body)
        if isinstance(event, ChangeUnread):
            return await self._changes.price_change(event.product_id, event.version)
        return event

    async def _dispatch(self, events: Mapping[str, PriceChanged], outcome: Outcome) -> None:
        if not events:
            return
        with traces.span("process", [event.traceparent for event in events.values()]):
            result = await self._dispatcher.dispatch(list(events.values()))
        outcome.done |= {message_id for message_id, event in events.items() if event.id in result.delivered}
        outcome.failed |= {message_id for message_id, event in events.items() if event.id in result.failed}
        outcome.mail_is_due |= result.mail_is_due

    async def _dispatch_one(self, message_id: str, event: PriceChanged, outcome: Outcome) -> None:
        try:
            await self._dispatch({message_id: event}, outcome)
        except Exception:
            log.exception("message_handler_failed", message=message_id, change=event.id)
            outcome.poison.add(message_id)


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
            WORKER_FAILURES.labels("send mail").inc()
            more = False
        if not more:
            recent = time.monotonic() - last_news < _RECENT
            await wait_for_any(stop, news, seconds=soon if recent else idle)
