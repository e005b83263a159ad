"""Admins told of changed prices: each exactly once, whatever is redelivered, reordered or done twice (R9)."""

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

from tests.store.samples import at, price_changed, user
from vitrina.config import Settings
from vitrina.domain.notices import EmailMode, Language, NoticePreferences, PriceChanged
from vitrina.domain.users import Role, User
from vitrina.services.notifications.dispatch import DispatchResult, Notices, default_preferences
from vitrina.store import keys
from vitrina.store.inbox import InboxStore
from vitrina.store.items import Item, NoticeItem
from vitrina.store.operations import Query
from vitrina.store.paging import every
from vitrina.store.recipients import RecipientStore
from vitrina.store.table import Table
from vitrina.store.users import UserStore

pytestmark = pytest.mark.engine("dynamodb_local")
MINUTES = 15
DEFAULTS = NoticePreferences(email=EmailMode.DIGEST, digest_minutes=MINUTES, language=Language.ENGLISH)


@dataclass
class World:
    """Some admins, and processes that tell them at a time that stands still."""

    table: Table
    now: datetime = field(default_factory=lambda: at(0))

    @property
    def recipients(self) -> RecipientStore:
        """The store of recipients."""
        return RecipientStore(self.table, defaults=DEFAULTS)

    def process(self, *, notify_actor: bool = False, before_digest: int = 3) -> Notices:
        """Return the service as another process has it, which remembers nothing."""
        inbox = InboxStore(self.table, retention_days=90)
        return Notices(
            inbox,
            self.recipients,
            notify_actor=notify_actor,
            before_digest=before_digest,
            clock=lambda: self.now,
        )

    async def admin(self, mode: EmailMode | None = None, **fields: Any) -> User:  # noqa: ANN401 - an account's fields
        """Make an admin, who wants to be mailed so if anything is said of it."""
        made = user(**{"role": Role.ADMIN} | fields)
        await UserStore(self.table).create(made)
        if mode is not None:
            await self.recipients.save(made.id, replace(DEFAULTS, email=mode))
        return made

    async def entries(self, of: User) -> list[NoticeItem]:
        """Read an inbox with what waits for its mail, oldest change first."""
        condition = (Item.pk == keys.user(of.id).pk) & Item.sk.startswith(keys.NOTICE_PREFIX)
        items = await every(self.table, Query(condition=condition, consistent=True))
        return [item for item in items if isinstance(item, NoticeItem)]

    async def due(self, of: User) -> list[tuple[datetime | None, bool | None]]:
        """Say when each entry is due, and whether in a digest."""
        return [(item.due_at, item.digest) for item in await self.entries(of)]


@pytest.fixture
def world(table: Table) -> World:
    """A world without anybody in it."""
    return World(table)


def changes(number: int, **fields: Any) -> list[PriceChanged]:  # noqa: ANN401 - each field has its own type
    """Return events of different products, one a second."""
    return [price_changed(second / 60, **fields) for second in range(number)]


def ids(events: Iterable[PriceChanged]) -> frozenset[str]:
    """Return the ids of events."""
    return frozenset(event.id for event in events)


async def in_batches(notices: Notices, events: list[PriceChanged]) -> list[DispatchResult]:
    """Tell of many events as they come from the queue: ten at a time."""
    return [await notices.tell(events[first : first + 10]) for first in range(0, len(events), 10)]


def failing(table: Table, monkeypatch: pytest.MonkeyPatch, *methods: str, chance: float = 1.0) -> None:
    """Let calls of the writer be throttled, some of them after they were carried out: their answers are lost."""
    dice = random.Random(1)
    for method in methods:
        call = getattr(table._writer, method)

        async def throttled(*, _call: Any = call, **arguments: object) -> object:  # noqa: ANN401
            if dice.random() >= chance:
                return await _call(**arguments)
            if dice.random() < 0.5:
                await _call(**arguments)
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "Any")

        monkeypatch.setattr(table._writer, method, throttled)


async def test_every_active_admin_is_told_but_the_one_who_did_it(world: World) -> None:
    """And no user, and nobody who is inactive; with the name of who it was."""
    actor, boss, other = await world.admin(name="Luis"), await world.admin(role=Role.SUPER_ADMIN), await world.admin()
    idle, customer = await world.admin(active=False), await world.admin(role=Role.USER)
    [event] = events = changes(1, changed_by=actor.id)
    assert await world.process().tell(events) == DispatchResult(told=ids(events), failed=frozenset(), mail_is_due=True)
    for each in (boss, other):
        [entry] = await world.entries(each)
        assert (entry.id, entry.changed_by, entry.changed_by_name) == (event.notice_id, actor.id, "Luis")
    for each in (actor, idle, customer):
        assert await world.entries(each) == []


async def test_the_actor_is_told_too_where_that_is_wanted(world: World) -> None:
    """By a setting."""
    actor = await world.admin()
    await world.process(notify_actor=True).tell(changes(1, changed_by=actor.id))
    assert len(await world.entries(actor)) == 1


async def test_the_name_of_an_actor_who_is_no_admin_any_more_is_looked_up(world: World) -> None:
    """One who is gone has none."""
    admin = await world.admin()
    demoted = await world.admin(role=Role.USER, name="Uma")
    await world.process().tell([price_changed(0, changed_by=demoted.id), price_changed(1)])
    assert [item.changed_by_name for item in await world.entries(admin)] == ["Uma", None]


async def test_where_there_is_nobody_to_tell_all_are_told(world: World) -> None:
    """Also no event, and one that is there twice."""
    events = changes(2)
    nothing = DispatchResult(told=frozenset(), failed=frozenset(), mail_is_due=False)
    assert await world.process().tell([]) == nothing
    assert await world.process().tell([*events, *events]) == replace(nothing, told=ids(events))
    actor = await world.admin()
    mine = changes(1, changed_by=actor.id)
    assert await world.process().tell(mine) == replace(nothing, told=ids(mine))


@pytest.mark.parametrize("mode", EmailMode)
async def test_processes_that_tell_the_same_at_once_tell_it_once(world: World, mode: EmailMode) -> None:
    """And again, in another order: an entry for each change and admin, its mail decided once."""
    admins = [await world.admin(mode) for _ in range(4)]
    events = changes(10)
    processes = [world.process() for _ in range(3)]
    before = REGISTRY.get_sample_value("vitrina_notices_total", {"result": "told"}) or 0
    told = await asyncio.gather(*(process.tell(events) for process in processes))
    assert all(each.told == ids(events) for each in told)
    first = {admin.id: await world.due(admin) for admin in admins}
    world.now += timedelta(minutes=MINUTES + 1)
    await world.process().tell(events[::-1])
    for admin in admins:
        assert [item.id for item in await world.entries(admin)] == [event.notice_id for event in events]
        assert await world.due(admin) == first[admin.id]
    assert (REGISTRY.get_sample_value("vitrina_notices_total", {"result": "told"}) or 0) == before + 40


async def test_what_fails_is_said_and_told_by_the_redelivery(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though writes failed that were carried out: at the end each admin has each change once."""
    admins = [await world.admin(EmailMode.EACH) for _ in range(3)]
    events = changes(10)
    with monkeypatch.context() as patch, capture_logs() as logs:
        failing(world.table, patch, "put_item", chance=0.2)
        told = await world.process().tell(events)
    assert 0 < len(told.failed) < len(events)
    assert told.told == ids(events) - told.failed
    assert {line["change"] for line in logs if line["event"] == "notice_failed"} == told.failed
    complete = [set(ids_in) for ids_in in [[item.id for item in await world.entries(admin)] for admin in admins]]
    assert all({event.notice_id for event in events if event.id in told.told} <= inbox for inbox in complete)
    again = [event for event in events if event.id in told.failed]
    assert (await world.process().tell(again)).told == told.failed
    for admin in admins:
        assert Counter(item.id for item in await world.entries(admin)) == Counter(event.notice_id for event in events)


@pytest.mark.parametrize("method", ["query", "batch_get_item"])
async def test_all_fail_while_nobody_knows_whom_to_tell(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Nothing is written."""
    admin = await world.admin()
    events = changes(2)
    with monkeypatch.context() as patch, capture_logs() as logs:
        failing(world.table, patch, method)
        told = await world.process().tell(events)
    assert told == DispatchResult(told=frozenset(), failed=ids(events), mail_is_due=False)
    assert [line["event"] for line in logs if line["log_level"] == "warning"][-1] == "notices_failed"
    assert await world.entries(admin) == []


async def test_a_window_that_cannot_be_counted_holds_back_its_admin_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others have their entries, and the redelivery brings the missing ones."""
    one, other = await world.admin(EmailMode.DIGEST), await world.admin(EmailMode.EACH)
    events = changes(3)
    process = world.process()
    with monkeypatch.context() as patch:
        failing(world.table, patch, "update_item")
        told = await process.tell(events)
    assert (told.told, told.failed) == (frozenset(), ids(events))
    assert (len(await world.entries(one)), len(await world.entries(other))) == (0, 3)
    assert (await process.tell(events)).told == ids(events)
    assert (len(await world.entries(one)), len(await world.entries(other))) == (3, 3)


async def test_the_first_of_a_window_are_mailed_at_once_and_the_others_when_it_closes(world: World) -> None:
    """The next window begins with its first notice, and any process knows it."""
    admin = await world.admin()
    events = changes(12)
    close = at(MINUTES)
    first = await world.process().tell(events[:2])
    second = await world.process().tell(events[2:5])
    world.now = close - timedelta(milliseconds=1)
    third = await world.process().tell(events[5:6])
    assert [each.mail_is_due for each in (first, second, third)] == [True, True, False]
    world.now = close
    process = world.process()
    await process.tell(events[6:10])
    world.now = close + timedelta(minutes=MINUTES)
    await process.tell(events[10:])
    assert await world.due(admin) == [
        *[(at(0), False)] * 3,
        *[(close, True)] * 3,
        *[(close, False)] * 3,
        (close + timedelta(minutes=MINUTES), True),
        *[(close + timedelta(minutes=MINUTES), False)] * 2,
    ]


async def test_without_an_allowance_all_go_into_digests(world: World) -> None:
    """From the first on."""
    admin = await world.admin()
    told = await world.process(before_digest=0).tell(changes(2))
    assert not told.mail_is_due
    assert await world.due(admin) == [(at(MINUTES), True)] * 2


async def test_an_import_of_500_changes_is_500_entries_and_few_mails(world: World) -> None:
    """To three admins in each mode; a redelivery of it all changes nothing."""
    each, digest, off = [await world.admin(mode) for mode in (EmailMode.EACH, EmailMode.DIGEST, EmailMode.OFF)]
    admins = [each, digest, off]
    events = changes(500)
    assert all(not told.failed for told in await in_batches(world.process(), events))
    found = {admin.id: await world.due(admin) for admin in admins}
    assert found[each.id] == [(at(0), False)] * 500
    assert found[digest.id] == [(at(0), False)] * 3 + [(at(MINUTES), True)] * 497
    assert found[off.id] == [(None, None)] * 500
    world.now += timedelta(minutes=1)
    again = await in_batches(world.process(), events)
    assert not any(told.failed or told.mail_is_due for told in again)
    assert {admin.id: await world.due(admin) for admin in admins} == found


async def test_a_full_batch_to_twenty_admins_takes_few_calls(world: World) -> None:
    """3 reads and the entries; the windows, only until they are past what is mailed at once."""
    for _ in range(20):
        await world.admin()
    calls: Counter[str] = Counter()
    world.table._writer.meta.events.register("after-call.dynamodb", lambda model, **_: calls.update([model.name]))
    process = world.process()
    events = changes(20, changed_by=(await world.admin(EmailMode.OFF)).id)
    calls.clear()
    await process.tell(events[:10])
    assert calls == {"Query": 2, "BatchGetItem": 1, "UpdateItem": 20, "PutItem": 20 + 200}
    calls.clear()
    await process.tell(events[10:])
    assert calls == {"Query": 2, "BatchGetItem": 1, "PutItem": 200}


def test_the_defaults_are_the_settings(settings: Settings) -> None:
    """Digests, in the installation's language."""
    changed = settings.model_copy(update={"digest_minutes": 7, "default_language": "es"})
    assert default_preferences(changed) == NoticePreferences(
        email=EmailMode.DIGEST, digest_minutes=7, language=Language.SPANISH
    )
