"""Handles messages of the queue, for the worker and for the Lambda function: decodes and dispatches their events."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from vitrina.domain.notices import PriceChanged
from vitrina.errors import VitrinaError
from vitrina.queue.messages import ChangeUnread, MessageUnreadable, decode
from vitrina.services.notifications.dispatch import NoticeDispatcher
from vitrina.store.listings import ProductListings
from vitrina.store.stream import ChangeUnreadable

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The results of messages, by their ids.

    Messages that are `done` can be deleted. Those that `failed` can be retried. `poison` messages fail at every attempt
    until their cause is repaired: they belong among the dead letters.
    """

    done: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    poison: set[str] = field(default_factory=set)
    mail_is_due: bool = False


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
