"""The mailer: each notice in one mail, each mail once, whoever dies, refuses or is slow (R9)."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tests.mail.samples import AT
from tests.services.notifications.world import LATER, World, identity
from vitrina.config import Settings
from vitrina.domain.users import Role
from vitrina.errors import TableUnavailable
from vitrina.mail.message import ATTEMPT_HEADER
from vitrina.mail.transport import MailNotSent, MailRefused
from vitrina.services.notifications import mailer
from vitrina.services.notifications.mailer import pause_after
from vitrina.store.table import Table

pytestmark = pytest.mark.engine("dynamodb_local")


@pytest.fixture
def world(table: Table, settings: Settings) -> World:
    """An empty world."""
    return World(table, settings)


def counted(result: str) -> float:
    """Return how many mails came to a result."""
    return REGISTRY.get_sample_value("vitrina_mails_total", {"result": result}) or 0.0


async def test_a_due_notice_is_mailed_by_itself_and_once(world: World) -> None:
    """Then nothing is due, and the entry says by which mail it went."""
    admin = await world.admin()
    one, two = await world.told(admin, [1, 2])
    before = counted("sent")
    with capture_logs() as logs:
        assert not await world.mailer().send_due()
    assert sorted(world.outbox.identities) == sorted([identity(one), identity(two)])
    assert [line["event"] for line in logs] == ["mail_sent", "mail_sent"]
    assert admin.email not in str(logs)
    assert counted("sent") == before + 2
    assert await world.due() == []
    assert await world.mail_of(admin) is None
    entry = await world.entry(one)
    assert entry.mail
    assert not entry.to_dynamodb_dict().keys() & {"due", "due_at"}
    await world.mailer().send_due()
    assert len(world.outbox.sent) == 2


async def test_what_is_not_due_yet_waits(world: World) -> None:
    """To the millisecond."""
    await world.told(await world.admin(), due_at=LATER + timedelta(milliseconds=1))
    await world.mailer().send_due()
    assert world.outbox.sent == []
    world.clock.at += timedelta(milliseconds=1)
    await world.mailer().send_due()
    assert len(world.outbox.sent) == 1


async def test_a_digest_is_one_mail_of_at_most_500(world: World) -> None:
    """More than that make the next one, at once."""
    admin = await world.admin()
    await world.told(admin, range(503), digest=True)
    sender = world.mailer()
    assert await sender.send_due()
    assert [message["Subject"] for message in world.outbox.sent] == ["500 price changes"]
    assert not await sender.send_due()
    assert [message["Subject"] for message in world.outbox.sent] == ["500 price changes", "3 price changes"]
    assert await world.due() == []


async def test_two_mailers_at_once_send_each_mail_once(world: World) -> None:
    """To several admins, by notices and digests."""
    admins = [await world.admin() for _ in range(6)]
    for admin in admins:
        await world.told(admin, range(3))
        await world.told(admin, range(10, 20), digest=True)
    world.outbox.slow = 0.01
    mailers = [world.mailer() for _ in range(3)]
    for _ in range(20):
        await asyncio.gather(*(each.send_due() for each in mailers))
        if not await world.due():
            break
    assert len(world.outbox.sent) == 6 * 4
    assert len(set(world.outbox.identities)) == 6 * 4


async def test_a_mail_whose_sender_died_is_taken_over_when_its_lease_ends(world: World) -> None:
    """With the same Message-ID and the number of the attempt; not a moment before."""
    admin = await world.admin()
    notices = await world.told(admin, [1, 2, 3], digest=True)
    ids = tuple(one.id for one in notices)
    lease = timedelta(seconds=60)
    mail = await world.store.take(admin.id, ids, digest=True, at=LATER, lease=lease)
    # It died when it had taken up one of the three.
    assert await world.store.attach(mail, ids[1])
    world.clock.at = LATER + lease - timedelta(milliseconds=1)
    await world.mailer().send_due()
    assert world.outbox.sent == []
    world.clock.at = LATER + lease
    await world.mailer().send_due()
    [message] = world.outbox.sent
    assert message["Subject"] == "3 price changes"
    assert message[ATTEMPT_HEADER] == "2"
    assert message["Date"].datetime == LATER
    assert await world.due() == []


async def test_a_notice_that_was_mailed_is_left_out_though_the_index_still_shows_it(world: World) -> None:
    """The index lags: the entry decides. A mail of nothing else is no mail."""
    admin = await world.admin()
    one, two = await world.told(admin, [1, 2], digest=True)
    mail = await world.store.take(admin.id, (one.id,), digest=True, at=LATER, lease=timedelta(seconds=60))
    await world.store.attach(mail, one.id)
    await world.store.finish(mail)
    sender = world.mailer()
    late = await world.store.take(admin.id, (one.id, two.id), digest=True, at=LATER, lease=timedelta(seconds=60))
    assert await sender._send(mailer._Held(late, 2000))
    assert [message["Subject"] for message in world.outbox.sent] == ["Price of Oak Lamp: 19.99 USD → 24.99 USD"]
    empty = await world.store.take(admin.id, (one.id, "gone"), digest=True, at=LATER, lease=timedelta(seconds=60))
    assert await sender._send(mailer._Held(empty, 2000))
    assert len(world.outbox.sent) == 1
    assert await world.mail_of(admin) is None


async def test_one_bad_address_holds_nobody_back(world: World) -> None:
    """A refusal for good is given up at once; the admin's other mail is tried all the same."""
    bad, good = await world.admin(), await world.admin()
    await world.told(bad, [1])
    await world.told(good, range(3))
    world.outbox.fails[bad.email] = [MailRefused("SMTPRecipientRefused 550")]
    before = counted("given_up")
    with capture_logs() as logs:
        await world.mailer().send_due()
    assert len(world.outbox.sent) == 3
    assert counted("given_up") == before + 1
    [given_up] = [line for line in logs if line["event"] == "mail_given_up"]
    assert given_up["why"] == "SMTPRecipientRefused 550"
    assert given_up["user"] == bad.id
    assert await world.due() == []


async def test_a_mail_that_breaks_its_sender_holds_nobody_back(world: World) -> None:
    """Whatever it raises, it is tried again like any other, and given up in the end."""
    bad, good = await world.admin(), await world.admin()
    for admin in (bad, good):
        await world.told(admin)
    world.outbox.fails[bad.email] = [ZeroDivisionError()]
    with capture_logs() as logs:
        await world.mailer().send_due()
    assert [message["To"].addresses[0].addr_spec for message in world.outbox.sent] == [good.email]
    assert {"mail_failed", "mail_retried", "mail_sent"} == {line["event"] for line in logs}
    mail = await world.mail_of(bad)
    assert mail is not None
    assert mail.due_at is not None
    assert mail.due_at > LATER


async def test_an_account_with_thousands_that_rests_holds_nobody_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its notices are passed over, however many come before those of others."""
    monkeypatch.setattr("vitrina.store.mails._PAGE", 10)
    monkeypatch.setattr("vitrina.store.mails._MOST_ACCOUNTS", 1)
    monkeypatch.setattr("vitrina.store.keys.MAIL_SHARDS", 1)
    bad, good = await world.admin(), await world.admin()
    await world.told(bad, range(35))
    await world.told(good, due_at=AT + timedelta(minutes=1))
    world.outbox.fails[bad.email] = [MailNotSent("no")]
    sender = world.mailer()
    await sender.send_due()
    await sender.send_due()
    assert [message["To"].addresses[0].addr_spec for message in world.outbox.sent] == [good.email]


async def test_a_mail_that_failed_waits_longer_each_time_and_is_given_up(world: World) -> None:
    """Meanwhile the account gets no other mail, and what is left out waits."""
    admin = await world.admin()
    await world.told(admin, [1])
    world.outbox.fails[admin.email] = [MailNotSent("451"), TimeoutError(), MailNotSent("451")]
    sender = world.mailer(mail_attempts=3)
    pauses = []
    for attempt in (1, 2):
        await sender.send_due()
        mail = await world.mail_of(admin)
        assert mail is not None
        assert mail.due_at is not None
        assert mail.attempts == attempt
        pauses.append((mail.due_at - world.clock.at).total_seconds())
        await sender.send_due()
        await world.mailer().send_due()
        world.clock.at = mail.due_at
    assert 11 < pauses[0] < 19
    assert 33 < pauses[1] < 57
    await world.told(admin, [2])
    await sender.send_due()
    assert world.outbox.fails[admin.email] == []
    assert await world.mail_of(admin) is None
    # The one that waited behind it goes out.
    await sender.send_due()
    assert len(world.outbox.sent) == 1
    assert await world.due() == []


def test_pauses_grow_to_an_hour() -> None:
    """A mail is tried for hours before it is given up."""
    assert all(pause_after(attempt) <= 3600 * 1.25 for attempt in range(1, 30))
    assert sum(min(pause_after(attempt) for _ in range(50)) for attempt in range(1, 8)) > 3600


async def test_a_mail_is_not_given_up_for_its_senders_deaths_alone(world: World) -> None:
    """Nor for a table that did not answer them: it was no mail server that refused it."""
    admin = await world.admin()
    [one] = await world.told(admin)
    mail = await world.store.take(admin.id, (one.id,), digest=False, at=LATER, lease=timedelta(0))
    for _ in range(9):
        mail = await world.store.take_over(mail, at=LATER, lease=timedelta(0))
    await world.mailer(mail_attempts=2).send_due()
    assert [message[ATTEMPT_HEADER] for message in world.outbox.sent] == ["11"]


async def test_a_mail_whose_senders_keep_dying_is_given_up_after_a_week(world: World) -> None:
    """Whatever it is in it that kills them."""
    admin = await world.admin()
    [one] = await world.told(admin)
    await world.store.take(admin.id, (one.id,), digest=False, at=LATER, lease=timedelta(0))
    world.clock.at = LATER + timedelta(days=7, seconds=1)
    with capture_logs() as logs:
        await world.mailer().send_due()
    assert [line["why"] for line in logs] == ["its senders keep dying"]
    assert world.outbox.sent == []
    assert await world.mail_of(admin) is None


async def test_a_mail_that_somebody_else_took_over_is_left_to_them(world: World) -> None:
    """Though the index, or a look a moment ago, still shows it."""
    admin = await world.admin()
    [one] = await world.told(admin)
    mail = await world.store.take(admin.id, (one.id,), digest=False, at=LATER, lease=timedelta(0))
    await world.store.take_over(mail, at=LATER, lease=timedelta(seconds=60))
    assert await world.mailer()._take_over(mail)
    assert world.outbox.sent == []


@pytest.mark.parametrize("fate", ["gone", "inactive", "demoted", "off"])
async def test_who_is_no_admin_any_more_or_wants_none_gets_no_mail(world: World, fate: str) -> None:
    """The account decides as it is when the mail is sent."""
    fates: dict[str, dict[str, Any]] = {"inactive": {"active": False}, "demoted": {"role": Role.USER}}
    admin = await world.admin(**fates.get(fate, {}))
    if fate == "gone":
        await world.users.delete(admin)
    if fate == "off":
        await world.prefers(admin, email="off")
    await world.told(admin, [1, 2], digest=True)
    before = counted("dropped")
    await world.mailer().send_due()
    assert world.outbox.sent == []
    assert counted("dropped") == before + 1
    assert await world.due() == []


async def test_mail_is_in_the_language_of_its_reader(world: World) -> None:
    """The setting's, unless the admin has said."""
    spanish, silent = await world.admin(), await world.admin()
    await world.prefers(spanish, language="es")
    for admin in (spanish, silent):
        await world.told(admin)
    await world.mailer().send_due()
    subjects = {message["To"].addresses[0].addr_spec: message["Subject"] for message in world.outbox.sent}
    assert subjects[spanish.email].startswith("Precio de")
    assert subjects[silent.email].startswith("Price of")
    await world.told(silent, [2])
    await world.mailer(default_language="es").send_due()
    assert world.outbox.sent[-1]["Subject"].startswith("Precio de")


async def test_a_mailer_that_was_frozen_past_its_lease_asks_before_it_sends(world: World) -> None:
    """The mail may be somebody else's by now; then they send it."""
    admin = await world.admin()
    await world.told(admin)
    sender, other = world.mailer(), world.mailer()
    attach = world.store.attach

    async def freeze(*arguments: Any) -> Any:  # noqa: ANN401 - as the store's
        world.store.attach = attach  # type: ignore[method-assign]
        world.seconds += 61
        world.clock.at += timedelta(seconds=61)
        await other.send_due()
        return await attach(*arguments)

    world.store.attach = freeze  # type: ignore[method-assign, assignment]
    with capture_logs() as logs:
        await sender.send_due()
    assert [line["event"] for line in logs] == ["mail_sent", "mail_lease_lost"]
    assert [message[ATTEMPT_HEADER] for message in world.outbox.sent] == ["2"]


async def test_a_digest_that_takes_longer_than_a_lease_stays_its_senders(world: World) -> None:
    """However many others look meanwhile: else each would begin it anew, and none would end it."""
    admin = await world.admin()
    await world.told(admin, range(100), digest=True)
    sender, other = world.mailer(), world.mailer()
    attach = world.store.attach

    async def slow(*arguments: Any) -> Any:  # noqa: ANN401 - as the store's
        world.seconds += 0.9
        world.clock.at += timedelta(seconds=0.9)
        if world.seconds % 9 < 1:
            await other.send_due()
        return await attach(*arguments)

    world.store.attach = slow  # type: ignore[method-assign, assignment]
    with capture_logs() as logs:
        await sender.send_due()
    assert [line["event"] for line in logs] == ["mail_sent"]
    assert [message[ATTEMPT_HEADER] for message in world.outbox.sent] == [None]
    assert await world.mail_of(admin) is None


async def test_a_failure_that_comes_after_a_takeover_changes_nothing(world: World) -> None:
    """The mail has another sender, who decides."""
    admin = await world.admin()
    [one] = await world.told(admin)
    sender = world.mailer()
    slow = await world.store.take(admin.id, (one.id,), digest=False, at=LATER, lease=timedelta(0))
    await world.store.take_over(slow, at=LATER, lease=timedelta(seconds=60))
    world.outbox.fails[admin.email] = [MailNotSent("451")]
    before = counted("retried")
    assert not await sender._send(mailer._Held(slow, 2000))
    mail = await world.mail_of(admin)
    assert mail is not None
    assert mail.due_at == LATER + timedelta(seconds=60)
    assert counted("retried") == before


async def test_a_server_that_hangs_is_left_after_the_timeout(world: World) -> None:
    """And tried again later."""
    admin = await world.admin()
    await world.told(admin)
    world.outbox.slow = 3600
    await world.mailer(mail_timeout=0.05).send_due()
    mail = await world.mail_of(admin)
    assert mail is not None
    assert mail.due_at is not None
    assert mail.due_at > LATER


async def test_a_sent_mail_is_marked_though_the_table_does_not_answer_at_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the lease ends; after that somebody else sends it a second time, which the header says."""
    monkeypatch.setattr(mailer, "_SETTLE_PAUSE", 0)
    first, second = await world.admin(), await world.admin()
    finish, fails = world.store.finish, 3

    async def finish_late(mail: Any) -> None:  # noqa: ANN401 - as the store's
        nonlocal fails
        fails -= 1
        if fails >= 0:
            raise TableUnavailable
        await finish(mail)

    world.store.finish = finish_late  # type: ignore[method-assign]
    await world.told(first)
    await world.mailer().send_due()
    assert await world.mail_of(first) is None
    assert fails == -1

    async def never(_mail: Any) -> None:  # noqa: ANN401 - as the store's
        world.seconds += 30
        raise TableUnavailable

    world.store.finish = never  # type: ignore[method-assign, assignment]
    await world.told(second)
    with capture_logs() as logs:
        await world.mailer().send_due()
    assert [line["event"] for line in logs] == ["mail_sent", "mail_put_off"]
    assert await world.mail_of(second) is not None


async def test_a_table_that_does_not_answer_puts_a_mail_off(world: World) -> None:
    """Until its lease ends; it counts as an attempt."""
    await world.told(await world.admin())

    async def fail(*_: Any) -> None:  # noqa: ANN401 - as the store's
        raise TableUnavailable

    world.store.attach = fail  # type: ignore[method-assign, assignment]
    with capture_logs() as logs:
        await world.mailer().send_due()
    assert [line["event"] for line in logs] == ["mail_put_off"]
    assert world.outbox.sent == []


async def test_no_mail_is_begun_once_it_is_told_to_stop(world: World) -> None:
    """What is at hand is finished, and there is more."""
    admin = await world.admin()
    await world.told(admin, range(3))
    assert await world.mailer().send_due(go_on=lambda: not world.outbox.sent)
    assert len(world.outbox.sent) == 1
    assert await world.mail_of(admin) is None


async def test_a_turn_ends_so_that_others_get_theirs(world: World) -> None:
    """An admin who wants each by itself gets ten, then the others, then more."""
    await world.told(await world.admin(), range(12))
    sender = world.mailer()
    assert await sender.send_due()
    assert len(world.outbox.sent) == 10
    assert not await sender.send_due()
    assert len(world.outbox.sent) == 12


async def test_an_address_that_dns_cannot_have_is_given_up(world: World) -> None:
    """No server could take it."""
    await world.told(await world.admin(email=f"a@{'x' * 63}ü.example"))
    with capture_logs() as logs:
        await world.mailer().send_due()
    assert [line["event"] for line in logs] == ["mail_given_up"]


async def test_a_sender_that_is_no_address_is_refused_at_the_start(world: World) -> None:
    """Rather than mail by mail."""
    with pytest.raises(ValueError, match="address"):
        world.mailer(mail_from="nobody")
