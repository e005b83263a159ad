"""Messages are decoded and dispatched, or reported as failed or poison."""

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from tests.mail.samples import notice
from vitrina.domain.notices import PriceChanged
from vitrina.errors import TableUnavailable
from vitrina.queue.messages import ChangeUnread, encode
from vitrina.services.notifications.dispatch import DispatchResult
from vitrina.store.stream import ChangeUnreadable
from vitrina.workers.notifier import NotificationHandler

ONE, TWO = notice(1).change, notice(2).change


class FakeDispatcher:
    """Delivers all events except `failed`; raises at `breaks_at`."""

    def __init__(self, failed: Sequence[PriceChanged] = (), breaks_at: PriceChanged | None = None) -> None:
        self.failed = {event.id for event in failed}
        self.breaks_at = breaks_at
        self.dispatched: list[str] = []

    async def dispatch(self, events: Sequence[PriceChanged]) -> DispatchResult:
        if self.breaks_at in events:
            raise ZeroDivisionError
        self.dispatched += [event.id for event in events]
        ids = {event.id for event in events}
        return DispatchResult(
            delivered=frozenset(ids - self.failed), failed=frozenset(ids & self.failed), mail_is_due=True
        )


class Changes:
    """Stands in for the listings: returns `found` or raises it."""

    def __init__(self, found: Any) -> None:  # noqa: ANN401 - an event, None, or an error to raise
        self.found = found

    async def price_change(self, _product_id: str, _version: int) -> PriceChanged | None:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found  # type: ignore[no-any-return]


def handler(dispatcher: FakeDispatcher, found: Any = None) -> NotificationHandler:  # noqa: ANN401 - as Changes
    """Return a handler over fakes."""
    return NotificationHandler(dispatcher, Changes(found))  # type: ignore[arg-type]


async def test_delivered_events_are_done_and_failed_ones_can_be_retried() -> None:
    """Two messages of one event get the same result."""
    outcome = await handler(FakeDispatcher(failed=[TWO])).handle({"a": encode(ONE), "b": encode(TWO), "c": encode(ONE)})
    assert (outcome.done, outcome.failed, outcome.poison) == ({"a", "c"}, {"b"}, set())
    assert outcome.mail_is_due


async def test_malformed_messages_and_unknown_versions_are_poison() -> None:
    """The other messages of the batch are handled."""
    dispatcher = FakeDispatcher()
    bodies = {"a": "garbage", "b": encode(ONE).replace('"v": 1', '"v": 99'), "c": "{}", "d": encode(TWO)}
    outcome = await handler(dispatcher).handle(bodies)
    assert (outcome.done, outcome.poison) == ({"d"}, {"a", "b", "c"})
    assert dispatcher.dispatched == [TWO.id]
    nothing = await handler(dispatcher).handle({"a": "garbage"})
    assert not nothing.mail_is_due


async def test_a_change_that_the_relay_could_not_read_is_read_from_the_table() -> None:
    """The item is found, has no price, cannot be decoded either, or is unavailable."""
    unread = {"a": encode(ChangeUnread(product_id=ONE.product_id, version=2, reason="x"))}
    dispatcher = FakeDispatcher()
    assert (await handler(dispatcher, ONE).handle(unread)).done == {"a"}
    assert dispatcher.dispatched == [ONE.id]
    assert (await handler(dispatcher, None).handle(unread)).done == {"a"}
    assert (await handler(dispatcher, ChangeUnreadable("p", 2, "x")).handle(unread)).poison == {"a"}
    assert (await handler(dispatcher, TableUnavailable()).handle(unread)).failed == {"a"}
    too_long = ClientError({"Error": {"Code": "ValidationException", "Message": "2048 bytes"}}, "BatchGetItem")
    assert (await handler(dispatcher, too_long).handle(unread)).poison == {"a"}
    assert dispatcher.dispatched == [ONE.id]


async def test_an_event_that_raises_is_poison_and_blocks_no_other() -> None:
    dispatcher = FakeDispatcher(breaks_at=ONE)
    outcome = await handler(dispatcher).handle({"a": encode(ONE), "b": encode(TWO)})
    assert (outcome.done, outcome.poison) == ({"b"}, {"a"})
