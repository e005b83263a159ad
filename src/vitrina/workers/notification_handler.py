"""From messages to inboxes: the part of the notifier that a worker and a Lambda function share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from vitrina.domain.notices import PriceChanged
from vitrina.errors import VitrinaError
from vitrina.queue.messages import ChangeUnread, MessageUnreadable, decode
from vitrina.services.notifications.dispatch import Notices
from vitrina.store.changes import ChangeStore, ChangeUnreadable

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of messages, by their ids: `done` can be deleted, `failed` may go well when they are tried again.

    Those that are `poison` will not, unless what is wrong with them is mended: they belong among the dead letters.
    """

    done: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    poison: set[str] = field(default_factory=set)
    mail_is_due: bool = False


class NotificationHandler:
    """Reads messages and tells the admins of what they say."""

    def __init__(self, notices: Notices, changes: ChangeStore) -> None:
        """Take who tells, and where the change is that a message only names."""
        self._notices = notices
        self._changes = changes

    async def tell(self, bodies: Mapping[str, str]) -> Outcome:
        """Tell of messages, given by their ids. Raises nothing: a message that it cannot handle is poison."""
        outcome = Outcome()
        events: dict[str, PriceChanged] = {}
        for message_id, body in bodies.items():
            try:
                event = await self._event(body)
            except (MessageUnreadable, ChangeUnreadable) as error:
                log.error("message_unreadable", message=message_id, why=str(error))  # noqa: TRY400 - the reason is all
                outcome.poison.add(message_id)
            except VitrinaError as error:
                log.warning("change_not_read", message=message_id, error=type(error).__name__)
                outcome.failed.add(message_id)
            else:
                if event is None:
                    log.warning("change_moved_no_price", message=message_id)
                    outcome.done.add(message_id)
                else:
                    events[message_id] = event
        try:
            await self._tell(events, outcome)
        except Exception:
            # One of them is to blame; by itself it holds back nobody.
            log.exception("notices_failed_unexpectedly", messages=len(events))
            for message_id, event in events.items():
                await self._tell_one(message_id, event, outcome)
        return outcome

    async def _event(self, body: str) -> PriceChanged | None:
        event = decode(body)
        if isinstance(event, ChangeUnread):
            return await self._changes.price_changed(event.product_id, event.version)
        return event

    async def _tell(self, events: Mapping[str, PriceChanged], outcome: Outcome) -> None:
        if not events:
            return
        told = await self._notices.tell(list(events.values()))
        outcome.done |= {message_id for message_id, event in events.items() if event.id in told.told}
        outcome.failed |= {message_id for message_id, event in events.items() if event.id in told.failed}
        outcome.mail_is_due |= told.mail_is_due

    async def _tell_one(self, message_id: str, event: PriceChanged, outcome: Outcome) -> None:
        try:
            await self._tell({message_id: event}, outcome)
        except Exception:
            log.exception("message_not_handled", message=message_id, change=event.id)
            outcome.poison.add(message_id)
