"""Messages become notices, or say what is wrong with them."""

from collections.abc import Sequence
from typing import Any

from tests.mail.samples import notice
from vitrina.domain.notices import PriceChanged
from vitrina.errors import TableUnavailable
from vitrina.queue.messages import ChangeUnread, encode
from vitrina.services.notifications.dispatch import DispatchResult
from vitrina.store.changes import ChangeUnreadable
from vitrina.workers.notification_handler import NotificationHandler

ONE, TWO = notice(1).change, notice(2).change


class Notices:
    """Tells of everything but what it was given; an exception among it is raised when its event comes."""

    def __init__(self, failed: Sequence[PriceChanged] = (), breaks_at: PriceChanged | None = None) -> None:
        self.failed = {event.id for event in failed}
        self.breaks_at = breaks_at
        self.told: list[str] = []

    async def tell(self, events: Sequence[PriceChanged]) -> DispatchResult:
        """Tell."""
        if self.breaks_at in events:
            raise ZeroDivisionError
        self.told += [event.id for event in events]
        ids = {event.id for event in events}
        return DispatchResult(told=frozenset(ids - self.failed), failed=frozenset(ids & self.failed), mail_is_due=True)


class Changes:
    """Finds one change."""

    def __init__(self, found: Any) -> None:  # noqa: ANN401 - an event, none, or what is raised
        self.found = found

    async def price_changed(self, _product_id: str, _version: int) -> PriceChanged | None:
        """Find it."""
        if isinstance(self.found, Exception):
            raise self.found
        return self.found  # type: ignore[no-any-return]


def teller(notices: Notices, found: Any = None) -> NotificationHandler:  # noqa: ANN401 - as Changes
    """Return a teller over fakes."""
    return NotificationHandler(notices, Changes(found))  # type: ignore[arg-type]


async def test_what_is_told_is_done_and_what_failed_may_be_tried_again() -> None:
    """By the messages' ids; two messages of one event share its fate."""
    outcome = await teller(Notices(failed=[TWO])).tell({"a": encode(ONE), "b": encode(TWO), "c": encode(ONE)})
    assert (outcome.done, outcome.failed, outcome.poison) == ({"a", "c"}, {"b"}, set())
    assert outcome.mail_is_due


async def test_garbage_and_unknown_versions_are_poison() -> None:
    """And nobody is told; what is beside them is done."""
    notices = Notices()
    bodies = {"a": "garbage", "b": encode(ONE).replace('"v": 1', '"v": 99'), "c": "{}", "d": encode(TWO)}
    outcome = await teller(notices).tell(bodies)
    assert (outcome.done, outcome.poison) == ({"d"}, {"a", "b", "c"})
    assert notices.told == [TWO.id]
    nothing = await teller(notices).tell({"a": "garbage"})
    assert not nothing.mail_is_due


async def test_a_change_that_the_relay_could_not_read_is_read_from_the_table() -> None:
    """Found, moved no price, still unreadable, or the table does not answer."""
    unread = {"a": encode(ChangeUnread(product_id=ONE.product_id, version=2, reason="x"))}
    notices = Notices()
    assert (await teller(notices, ONE).tell(unread)).done == {"a"}
    assert notices.told == [ONE.id]
    assert (await teller(notices, None).tell(unread)).done == {"a"}
    assert (await teller(notices, ChangeUnreadable("p", 2, "x")).tell(unread)).poison == {"a"}
    assert (await teller(notices, TableUnavailable()).tell(unread)).failed == {"a"}
    assert notices.told == [ONE.id]


async def test_one_that_breaks_the_telling_holds_back_nobody() -> None:
    """Whatever it raises, it is poison by itself."""
    notices = Notices(breaks_at=ONE)
    outcome = await teller(notices).tell({"a": encode(ONE), "b": encode(TWO)})
    assert (outcome.done, outcome.poison) == ({"b"}, {"a"})
