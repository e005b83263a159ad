"""Each admin gets an inbox entry for each price change exactly once, despite redelivery and concurrency (R9)."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tests.store.samples import HASH, at, price_changed, user
from vitrina.aws import Clients
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.domain.notices import EmailMode, Language, NoticePreferences, PriceChanged
from vitrina.domain.users import Role, User
from vitrina.services.notifications.dispatch import DispatchResult, NoticeDispatcher, default_preferences
from vitrina.store import keys
from vitrina.store.inbox import InboxStore
from vitrina.store.items import Item, NoticeItem
from vitrina.store.operations import Query
from vitrina.store.paging import every
from vitrina.store.recipients import RecipientStore
from vitrina.store.table import Table
from vitrina.store.users import UserStore

MINUTES = 15
DEFAULTS = NoticePreferences(email=EmailMode.DIGEST, digest_minutes=MINUTES, language=Language.ENGLISH)


@dataclass
class Harness:
    """Admins, and dispatchers of separate processes, at a time that only the test moves."""

    table: Table
    clients: Clients
    now: datetime = field(default_factory=lambda: at(0))

    @property
    def recipients(self) -> RecipientStore:
        return RecipientStore(self.table, defaults=DEFAULTS)

    def dispatcher(
        self, *, notify_actor: bool = False, before_digest: int = 3, index_lag: float = 0
    ) -> NoticeDispatcher:
        """Return the dispatcher of another process, which shares no memory with the others."""
        inbox = InboxStore(self.table, retention_days=90)
        return NoticeDispatcher(
            inbox,
            self.recipients,
            notify_actor=notify_actor,
            before_digest=before_digest,
            index_lag=index_lag,
            clock=lambda: self.now,
        )

    async def admin(self, mode: EmailMode | None = None, **fields: Any) -> User:  # noqa: ANN401 - an account's fields
        """Create an admin, with mail preferences if a mode is given."""
        made = user(**{"role": Role.ADMIN} | fields)
        await UserStore(self.table).create(made, HASH)
        if mode is not None:
            await self.recipients.save(made.id, replace(DEFAULTS, email=mode))
        return made

    async def entries(self, of: User) -> list[NoticeItem]:
        """Return the items of an inbox, oldest change first."""
        condition = (Item.pk == keys.user(of.id).pk) & Item.sk.startswith(keys.NOTICE_PREFIX)
        items = await every(self.table, Query(condition=condition, consistent=True))
        return [item for item in items if isinstance(item, NoticeItem)]

    async def due(self, of: User) -> list[tuple[datetime | None, bool | None]]:
        """Return when each entry is due, and whether in a digest."""
        return [(item.due_at, item.digest) for item in await self.entries(of)]


@pytest.fixture
def harness(table: Table, clients: Clients) -> Harness:
    """A harness without accounts."""
    return Harness(table, clients)


def changes(number: int, **fields: Any) -> list[PriceChanged]:  # noqa: ANN401 - each field has its own type
    """Return events of different products, one each second."""
    return [price_changed(second / 60, **fields) for second in range(number)]


def ids(events: Iterable[PriceChanged]) -> frozenset[str]:
    """The ids of events."""
    return frozenset(event.id for event in events)


async def in_batches(notices: NoticeDispatcher, events: list[PriceChanged]) -> list[DispatchResult]:
    """Dispatch events as they come from the queue: ten at a time."""
    return [await notices.dispatch(events[first : first + 10]) for first in range(0, len(events), 10)]


def failing(clients: Clients, monkeypatch: pytest.MonkeyPatch, *methods: str, chance: float = 1.0) -> None:
    """Fail requests of the writer by an error that is not tried again; half of the failed ones take effect."""
    dice = random.Random(1)
    for method in methods:
        call = getattr(clients.writer, method)

        async def throttled(*, _call: Any = call, **arguments: object) -> object:  # noqa: ANN401
            if dice.random() >= chance:
                return await _call(**arguments)
            if dice.random() < 0.5:
                await _call(**arguments)
            raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "Any")

        monkeypatch.setattr(clients.writer, method, throttled)


async def test_every_active_admin_but_the_actor_gets_an_entry(harness: Harness) -> None:
    """With the name of the actor."""
    actor, boss, other = (
        await harness.admin(name="Luis"),
        await harness.admin(role=Role.SUPER_ADMIN),
        await harness.admin(),
    )
    idle, customer = await harness.admin(active=False), await harness.admin(role=Role.USER)
    [event] = events = changes(1, changed_by=actor.id)
    assert await harness.dispatcher().dispatch(events) == DispatchResult(
        delivered=ids(events), failed=frozenset(), mail_is_due=True
    )
    for each in (boss, other):
        [entry] = await harness.entries(each)
        assert (entry.id, entry.changed_by, entry.changed_by_name) == (event.notice_id, actor.id, "Luis")
    for each in (actor, idle, customer):
        assert await harness.entries(each) == []


@pytest.mark.engine("aws")
async def test_an_account_that_became_an_admin_just_before_a_change_gets_it(harness: Harness) -> None:
    """Although the index of accounts lags behind the table; a demoted one gets no entry."""
    promoted, demoted = await harness.admin(role=Role.USER), await harness.admin()
    users, new = UserStore(harness.table), await harness.admin()
    await users.update(promoted, replace(promoted, role=Role.ADMIN, version=2))
    await users.update(demoted, replace(demoted, role=Role.USER, version=2))
    harness.now = now()
    events = changes(1, changed_at=harness.now)
    assert (await harness.dispatcher(index_lag=0.5).dispatch(events)).delivered == ids(events)
    assert [len(await harness.entries(each)) for each in (new, promoted, demoted)] == [1, 1, 0]


async def test_the_setting_notify_actor_includes_the_actor(harness: Harness) -> None:
    actor = await harness.admin()
    await harness.dispatcher(notify_actor=True).dispatch(changes(1, changed_by=actor.id))
    assert len(await harness.entries(actor)) == 1


async def test_the_name_of_an_actor_who_is_no_longer_an_admin_is_looked_up(harness: Harness) -> None:
    """A deleted actor has no name."""
    admin = await harness.admin()
    demoted = await harness.admin(role=Role.USER, name="Uma")
    await harness.dispatcher().dispatch([price_changed(0, changed_by=demoted.id), price_changed(1)])
    assert [item.changed_by_name for item in await harness.entries(admin)] == ["Uma", None]


async def test_without_recipients_all_events_are_delivered(harness: Harness) -> None:
    """Also for no event, and for one given twice."""
    events = changes(2)
    nothing = DispatchResult(delivered=frozenset(), failed=frozenset(), mail_is_due=False)
    assert await harness.dispatcher().dispatch([]) == nothing
    assert await harness.dispatcher().dispatch([*events, *events]) == replace(nothing, delivered=ids(events))
    actor = await harness.admin()
    mine = changes(1, changed_by=actor.id)
    assert await harness.dispatcher().dispatch(mine) == replace(nothing, delivered=ids(mine))


@pytest.mark.parametrize("mode", EmailMode)
async def test_concurrent_dispatchers_of_the_same_events_write_each_entry_once(
    harness: Harness, mode: EmailMode
) -> None:
    """A later redelivery in another order does not change when an entry is due."""
    admins = [await harness.admin(mode) for _ in range(4)]
    events = changes(10)
    dispatchers = [harness.dispatcher() for _ in range(3)]
    before = REGISTRY.get_sample_value("vitrina_notices_total", {"result": "told"}) or 0
    results = await asyncio.gather(*(each.dispatch(events) for each in dispatchers))
    assert all(each.delivered == ids(events) for each in results)
    first = {admin.id: await harness.due(admin) for admin in admins}
    harness.now += timedelta(minutes=MINUTES + 1)
    await harness.dispatcher().dispatch(events[::-1])
    for admin in admins:
        assert [item.id for item in await harness.entries(admin)] == [event.notice_id for event in events]
        assert await harness.due(admin) == first[admin.id]
    assert (REGISTRY.get_sample_value("vitrina_notices_total", {"result": "told"}) or 0) == before + 40


async def test_failed_events_are_delivered_by_redelivery(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although some failed writes took effect, each admin has each change once."""
    admins = [await harness.admin(EmailMode.EACH) for _ in range(3)]
    events = changes(10)
    with monkeypatch.context() as patch, capture_logs() as logs:
        failing(harness.clients, patch, "put_item", chance=0.2)
        result = await harness.dispatcher().dispatch(events)
    assert 0 < len(result.failed) < len(events)
    assert result.delivered == ids(events) - result.failed
    assert {line["change"] for line in logs if line["event"] == "notice_write_failed"} == result.failed
    complete = [set(ids_in) for ids_in in [[item.id for item in await harness.entries(admin)] for admin in admins]]
    assert all({event.notice_id for event in events if event.id in result.delivered} <= inbox for inbox in complete)
    again = [event for event in events if event.id in result.failed]
    assert (await harness.dispatcher().dispatch(again)).delivered == result.failed
    for admin in admins:
        assert Counter(item.id for item in await harness.entries(admin)) == Counter(event.notice_id for event in events)


@pytest.mark.parametrize("method", ["query", "batch_get_item"])
async def test_all_events_fail_if_the_recipients_cannot_be_read(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    admin = await harness.admin()
    events = changes(2)
    with monkeypatch.context() as patch, capture_logs() as logs:
        failing(harness.clients, patch, method)
        result = await harness.dispatcher().dispatch(events)
    assert result == DispatchResult(delivered=frozenset(), failed=ids(events), mail_is_due=False)
    assert [line["event"] for line in logs if line["log_level"] == "warning"][-1] == "recipients_not_found"
    assert await harness.entries(admin) == []


async def test_a_digest_window_that_cannot_be_counted_blocks_only_its_admin(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redelivery writes the missing entries."""
    one, other = await harness.admin(EmailMode.DIGEST), await harness.admin(EmailMode.EACH)
    events = changes(3)
    dispatcher = harness.dispatcher()
    with monkeypatch.context() as patch:
        failing(harness.clients, patch, "update_item")
        result = await dispatcher.dispatch(events)
    assert (result.delivered, result.failed) == (frozenset(), ids(events))
    assert (len(await harness.entries(one)), len(await harness.entries(other))) == (0, 3)
    assert (await dispatcher.dispatch(events)).delivered == ids(events)
    assert (len(await harness.entries(one)), len(await harness.entries(other))) == (3, 3)


async def test_the_first_of_a_window_are_mailed_at_once_and_the_others_when_it_closes(harness: Harness) -> None:
    """The next window starts with its first notice, whichever process dispatches it."""
    admin = await harness.admin()
    events = changes(12)
    close = at(MINUTES)
    first = await harness.dispatcher().dispatch(events[:2])
    second = await harness.dispatcher().dispatch(events[2:5])
    harness.now = close - timedelta(milliseconds=1)
    third = await harness.dispatcher().dispatch(events[5:6])
    assert [each.mail_is_due for each in (first, second, third)] == [True, True, False]
    harness.now = close
    dispatcher = harness.dispatcher()
    await dispatcher.dispatch(events[6:10])
    harness.now = close + timedelta(minutes=MINUTES)
    await dispatcher.dispatch(events[10:])
    assert await harness.due(admin) == [
        *[(at(0), False)] * 3,
        *[(close, True)] * 3,
        *[(close, False)] * 3,
        (close + timedelta(minutes=MINUTES), True),
        *[(close + timedelta(minutes=MINUTES), False)] * 2,
    ]


async def test_with_no_immediate_mails_all_notices_go_into_digests(harness: Harness) -> None:
    admin = await harness.admin()
    result = await harness.dispatcher(before_digest=0).dispatch(changes(2))
    assert not result.mail_is_due
    assert await harness.due(admin) == [(at(MINUTES), True)] * 2


async def test_an_import_of_500_changes_is_500_entries_and_few_mails(harness: Harness) -> None:
    """For an admin of each mode; redelivering all of it changes nothing."""
    each, digest, off = [await harness.admin(mode) for mode in (EmailMode.EACH, EmailMode.DIGEST, EmailMode.OFF)]
    admins = [each, digest, off]
    events = changes(500)
    assert all(not result.failed for result in await in_batches(harness.dispatcher(), events))
    found = {admin.id: await harness.due(admin) for admin in admins}
    assert found[each.id] == [(at(0), False)] * 500
    assert found[digest.id] == [(at(0), False)] * 3 + [(at(MINUTES), True)] * 497
    assert found[off.id] == [(None, None)] * 500
    harness.now += timedelta(minutes=1)
    again = await in_batches(harness.dispatcher(), events)
    assert not any(result.failed or result.mail_is_due for result in again)
    assert {admin.id: await harness.due(admin) for admin in admins} == found


async def test_a_full_batch_to_twenty_admins_takes_few_requests(harness: Harness) -> None:
    """3 reads, a write for each entry, and a count for each window until its immediate mails are used up."""
    for _ in range(20):
        await harness.admin()
    calls: Counter[str] = Counter()
    harness.clients.writer.meta.events.register("after-call.dynamodb", lambda model, **_: calls.update([model.name]))
    dispatcher = harness.dispatcher()
    events = changes(20, changed_by=(await harness.admin(EmailMode.OFF)).id)
    calls.clear()
    await dispatcher.dispatch(events[:10])
    assert calls == {"Query": 2, "BatchGetItem": 1, "UpdateItem": 20, "PutItem": 20 + 200}
    calls.clear()
    await dispatcher.dispatch(events[10:])
    assert calls == {"Query": 2, "BatchGetItem": 1, "PutItem": 200}


def test_the_default_preferences_come_from_the_settings(settings: Settings) -> None:
    changed = settings.model_copy(update={"digest_minutes": 7, "default_language": "es"})
    assert default_preferences(changed) == NoticePreferences(
        email=EmailMode.DIGEST, digest_minutes=7, language=Language.SPANISH
    )
