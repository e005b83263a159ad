"""Each notice is in one mail and each mail is sent once, despite crashes, refusals and slowness (R9)."""

import asyncio
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tests.mail.samples import AT
from tests.service import Clock
from tests.services.notifications.harness import LATER, MailHarness, identity
from vitrina.config import Settings
from vitrina.domain.notices import Waiting
from vitrina.domain.users import Role
from vitrina.errors import TableUnavailable
from vitrina.mail.message import ATTEMPT_HEADER
from vitrina.mail.transport import MailHeldBack, MailNotSent, MailRefused, Message
from vitrina.services.notifications.delivery import RETRY
from vitrina.store import keys
from vitrina.store.table import Table


@pytest.fixture
def harness(table: Table, settings: Settings) -> MailHarness:
    """A harness without accounts."""
    return MailHarness(table, settings)


def counted(result: str) -> float:
    """Return how many mails have had this result."""
    return REGISTRY.get_sample_value("vitrina_mails_total", {"result": result}) or 0.0


async def test_a_due_notice_is_mailed_once(harness: MailHarness) -> None:
    """Afterwards nothing is due, and the entry names its mail."""
    admin = await harness.admin()
    one, two = await harness.add_due(admin, [1, 2])
    before = counted("sent")
    with capture_logs() as logs:
        assert not await harness.mailer().send_due()
    assert sorted(harness.outbox.identities) == sorted([identity(one), identity(two)])
    assert [line["event"] for line in logs] == ["mail_sent", "mail_sent"]
    assert admin.email not in str(logs)
    assert counted("sent") == before + 2
    assert await harness.due() == []
    assert await harness.mail_of(admin) is None
    entry = await harness.entry(one)
    assert entry.mail
    assert not entry.to_dynamodb_dict().keys() & {"due", "due_at"}
    await harness.mailer().send_due()
    assert len(harness.outbox.sent) == 2


async def test_a_notice_is_not_mailed_before_it_is_due(harness: MailHarness) -> None:
    """To the millisecond."""
    await harness.add_due(await harness.admin(), due_at=LATER + timedelta(milliseconds=1))
    await harness.mailer().send_due()
    assert harness.outbox.sent == []
    harness.clock.at += timedelta(milliseconds=1)
    await harness.mailer().send_due()
    assert len(harness.outbox.sent) == 1


async def test_a_digest_is_one_mail_of_at_most_500(harness: MailHarness) -> None:
    """The rest goes into the next digest, which is due at once."""
    admin = await harness.admin()
    await harness.add_due(admin, range(503), digest=True)
    sender = harness.mailer()
    assert await sender.send_due()
    assert [message["Subject"] for message in harness.outbox.sent] == ["500 price changes"]
    assert not await sender.send_due()
    assert [message["Subject"] for message in harness.outbox.sent] == ["500 price changes", "3 price changes"]
    assert await harness.due() == []


@pytest.mark.engine("dynamodb_local", "aws")
async def test_concurrent_mailers_send_each_mail_once(harness: MailHarness) -> None:
    """On AWS the index lists mailed notices as due for a while longer."""
    admins = [await harness.admin() for _ in range(6)]
    for admin in admins:
        await harness.add_due(admin, range(3))
        await harness.add_due(admin, range(10, 20), digest=True)
    while sum(len(each.notice_ids) + len(each.digest_ids) for each in await harness.due()) < 6 * 13:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    harness.outbox.slow = 0.01
    mailers = [harness.mailer() for _ in range(3)]
    for _ in range(20):
        await asyncio.gather(*(each.send_due() for each in mailers))
        if not await harness.due():
            break
    assert len(harness.outbox.sent) == 6 * 4
    assert len(set(harness.outbox.identities)) == 6 * 4


async def test_a_digest_waits_until_the_index_shows_all_of_it(harness: MailHarness) -> None:
    """Half a second after it became due; otherwise its last notices would need a second mail."""
    await harness.add_due(await harness.admin(), [1, 2], digest=True, due_at=LATER)
    harness.clock.at = LATER + timedelta(milliseconds=499)
    await harness.mailer().send_due()
    assert harness.outbox.sent == []
    assert await harness.mailer().count_due() == 0
    harness.clock.at = LATER + timedelta(milliseconds=500)
    assert await harness.mailer().count_due() == 1
    await harness.mailer().send_due()
    assert len(harness.outbox.sent) == 1


async def test_a_mail_whose_sender_died_is_taken_over_when_its_lease_ends(harness: MailHarness) -> None:
    """With the same Message-ID, and the number of the attempt."""
    admin = await harness.admin()
    notices = await harness.add_due(admin, [1, 2, 3], digest=True)
    ids = tuple(one.id for one in notices)
    lease = timedelta(seconds=60)
    mail = await harness.store.take(admin.id, ids, digest=True, at=LATER, lease=lease)
    # It died when it had taken up one of the three.
    assert await harness.store.attach(mail, ids[1])
    harness.clock.at = LATER + lease - timedelta(milliseconds=1)
    await harness.mailer().send_due()
    assert harness.outbox.sent == []
    harness.clock.at = LATER + lease
    await harness.mailer().send_due()
    [message] = harness.outbox.sent
    assert message["Subject"] == "3 price changes"
    assert message[ATTEMPT_HEADER] == "2"
    assert message["Date"].datetime == LATER
    assert await harness.due() == []


async def test_a_mailed_notice_is_left_out_while_the_index_still_lists_it(harness: MailHarness) -> None:
    """The index lags behind the entries. A mail without notices is not sent."""
    admin = await harness.admin()
    one, two = await harness.add_due(admin, [1, 2], digest=True)
    mail = await harness.store.take(admin.id, (one.id,), digest=True, at=LATER, lease=timedelta(seconds=60))
    await harness.store.attach(mail, one.id)
    await harness.store.finish(mail)
    for stale in ([one.id, two.id], [one.id, "gone"]):
        harness.show(Waiting(admin.id, digest_ids=stale))
        await harness.mailer().send_due()
        assert [message["Subject"] for message in harness.outbox.sent] == ["Price of Oak Lamp: 19.99 USD → 24.99 USD"]
        assert await harness.mail_of(admin) is None


async def test_a_refused_recipient_blocks_no_other(harness: MailHarness) -> None:
    """A permanent refusal is given up at once."""
    bad, good = await harness.admin(), await harness.admin()
    await harness.add_due(bad, [1])
    await harness.add_due(good, range(3))
    harness.outbox.fails[bad.email] = [MailRefused("SMTPRecipientRefused 550")]
    before = counted("given_up")
    with capture_logs() as logs:
        await harness.mailer().send_due()
    assert len(harness.outbox.sent) == 3
    assert counted("given_up") == before + 1
    [given_up] = [line for line in logs if line["event"] == "mail_given_up"]
    assert given_up["why"] == "SMTPRecipientRefused 550"
    assert given_up["user"] == bad.id
    assert await harness.due() == []


@pytest.mark.parametrize("address", ["=?utf-8?q?a=0aBcc=3av=40evil.example?=@example.com", "josé@example.com"])
async def test_an_address_that_no_header_can_carry_is_given_up(harness: MailHarness, address: str) -> None:
    """Older releases accepted it. The log names the account and not its address, and no other mail waits for it."""
    bad, good = await harness.admin(email=address), await harness.admin()
    for admin in (bad, good):
        await harness.add_due(admin)
    with capture_logs() as logs:
        await harness.mailer().send_due()
    [message] = harness.outbox.sent
    assert [mailbox.addr_spec for mailbox in message["To"].addresses] == [good.email]
    [given_up] = [line for line in logs if line["event"] == "mail_given_up"]
    assert given_up["user"] == bad.id
    assert "evil" not in str(logs)
    assert "josé" not in str(logs)
    assert await harness.due() == []


async def test_an_unexpected_error_blocks_no_other_mail(harness: MailHarness) -> None:
    """It is retried and given up like an expected failure, and each attempt has one result."""
    bad, good = await harness.admin(), await harness.admin()
    for admin in (bad, good):
        await harness.add_due(admin)
    harness.outbox.fails[bad.email] = [ZeroDivisionError(), ZeroDivisionError()]
    sender, results = harness.mailer(mail_attempts=2), ("failed", "retried", "given_up")
    before = [counted(result) for result in results]
    with capture_logs() as logs:
        await sender.send_due()
    assert [message["To"].addresses[0].addr_spec for message in harness.outbox.sent] == [good.email]
    assert {"mail_failed", "mail_retried", "mail_sent"} == {line["event"] for line in logs}
    mail = await harness.mail_of(bad)
    assert mail is not None
    assert mail.due_at is not None
    assert mail.due_at > LATER
    assert [counted(result) for result in results] == [before[0] + 1, *before[1:]]
    harness.clock.at = mail.due_at
    await sender.send_due()
    assert [counted(result) for result in results] == [before[0] + 1, before[1], before[2] + 1]


async def test_a_paused_account_with_thousands_of_notices_blocks_no_other(
    harness: MailHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitrina.store.mails._PAGE", 10)
    for module in ("vitrina.store.mails", "vitrina.services.notifications.mailer"):
        monkeypatch.setattr(f"{module}.MOST_ACCOUNTS", 1)
    monkeypatch.setattr("vitrina.store.keys.MAIL_SHARDS", 1)
    bad, good = await harness.admin(), await harness.admin()
    await harness.add_due(bad, range(35))
    await harness.add_due(good, due_at=AT + timedelta(minutes=1))
    harness.outbox.fails[bad.email] = [MailNotSent("no")]
    sender = harness.mailer()
    await sender.send_due()
    await sender.send_due()
    assert [message["To"].addresses[0].addr_spec for message in harness.outbox.sent] == [good.email]


async def test_a_failed_mail_is_retried_after_growing_pauses_and_given_up(harness: MailHarness) -> None:
    """Meanwhile the account's other notices wait."""
    admin = await harness.admin()
    await harness.add_due(admin, [1])
    harness.outbox.fails[admin.email] = [MailNotSent("451"), TimeoutError(), MailNotSent("451")]
    sender = harness.mailer(mail_attempts=3)
    pauses = []
    for attempt in (1, 2):
        await sender.send_due()
        mail = await harness.mail_of(admin)
        assert mail is not None
        assert mail.due_at is not None
        assert mail.attempts == attempt
        pauses.append((mail.due_at - harness.clock.at).total_seconds())
        await sender.send_due()
        await harness.mailer().send_due()
        harness.clock.at = mail.due_at
    assert 11 < pauses[0] < 19
    assert 33 < pauses[1] < 57
    await harness.add_due(admin, [2])
    await sender.send_due()
    assert harness.outbox.fails[admin.email] == []
    assert await harness.mail_of(admin) is None
    # The one that waited behind it goes out.
    await sender.send_due()
    assert len(harness.outbox.sent) == 1
    assert await harness.due() == []


def test_pauses_grow_to_an_hour() -> None:
    """A mail is tried for hours before it is given up."""
    assert all(11.25 <= RETRY.pause(1) <= 18.75 for _ in range(50))
    assert all(RETRY.pause(failures) <= 3600 * 1.25 for failures in range(1, 30))
    assert sum(min(RETRY.pause(failures) for _ in range(50)) for failures in range(1, 8)) > 3600


async def test_mail_is_kept_while_the_mail_account_is_refused(harness: MailHarness) -> None:
    """However often that is: no attempt counts. Others are not tried meanwhile, and one line says what to do."""
    admins = [await harness.admin() for _ in range(20)]
    for admin in admins:
        await harness.add_due(admin)
        harness.outbox.fails[admin.email] = [
            MailHeldBack("SendingPausedException", "enable sending") for _ in range(50)
        ]
    sender = harness.mailer(mail_attempts=2)
    with capture_logs() as logs:
        for _ in range(5):
            assert not await sender.send_due()
            assert not await sender.send_due()
            harness.clock.at += timedelta(minutes=1)
    [line] = [line for line in logs if line["log_level"] == "error"]
    assert (line["event"], line["code"]) == ("mail_held_back", "SendingPausedException")
    assert line["advice"] == "enable sending"
    assert all(len(failures) >= 50 - 5 for failures in harness.outbox.fails.values())
    assert sum(50 - len(failures) for failures in harness.outbox.fails.values()) <= 5 * 8
    harness.outbox.fails.clear()
    harness.clock.at += timedelta(minutes=9)
    while await harness.due():
        await sender.send_due()
        harness.clock.at += timedelta(minutes=9)
    assert len(harness.outbox.sent) == 20


async def test_a_recipient_who_is_held_back_delays_no_other(harness: MailHarness) -> None:
    """In the sandbox of SES each recipient is verified for itself. Another process keeps the mail as well."""
    bad, good = await harness.admin(), await harness.admin()
    for admin in (bad, good):
        await harness.add_due(admin)
    refusals = [MailHeldBack("MessageRejected", "verify", concerns_all=False) for _ in range(9)]
    harness.outbox.fails[bad.email] = [*refusals]
    before = REGISTRY.get_sample_value("vitrina_mails_held_back_total", {"code": "MessageRejected"}) or 0
    for _ in refusals:
        await harness.mailer(mail_attempts=2).send_due()
        mail = await harness.mail_of(bad)
        assert mail is not None
        assert mail.failures == 0
        assert mail.due_at is not None
        assert mail.due_at > harness.clock.at
        harness.clock.at += timedelta(minutes=9)
    assert [message["To"].addresses[0].addr_spec for message in harness.outbox.sent] == [good.email]
    assert REGISTRY.get_sample_value("vitrina_mails_held_back_total", {"code": "MessageRejected"}) == before + 9
    await harness.mailer().send_due()
    assert len(harness.outbox.sent) == 2


async def test_notices_behind_a_mail_that_waits_are_not_read_before_its_next_try(
    harness: MailHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be thousands. A poll is a call for each shard, until the mail is sent; then they are sent too."""
    monkeypatch.setattr("vitrina.store.mails._PAGE", 10)
    held = [await harness.admin() for _ in range(2)]
    for admin in held:
        await harness.add_due(admin, range(15))
        harness.outbox.fails[admin.email] = [
            MailHeldBack("MessageRejected", "verify", concerns_all=False) for _ in range(9)
        ]
    good, query, calls = await harness.admin(), harness.table.query_dated, 0

    async def counted(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        nonlocal calls
        calls += 1
        return await query(*arguments, **options)

    monkeypatch.setattr(harness.table, "query_dated", counted)
    sender = harness.mailer()
    await sender.send_due()
    assert calls > 4
    for number in range(10):
        calls = 0
        harness.clock.at += timedelta(seconds=5)
        await harness.add_due(good, [number], due_at=harness.clock.at)
        await sender.send_due()
        assert calls == 4
    assert len(harness.outbox.sent) == 10
    # While one account waits, the mail of the other one is due, and is refused again.
    mails = [mail for admin in held if (mail := await harness.mail_of(admin))]
    for mail in sorted(mails, key=lambda mail: str(mail.due_at)):
        assert mail.due_at is not None
        calls, harness.clock.at = 0, mail.due_at + timedelta(milliseconds=1)
        await sender.send_due()
        assert calls == 4
    assert [len(harness.outbox.fails[admin.email]) for admin in held] == [9 - 2, 9 - 2]
    # One is sent at last, and all that waited behind it; then the other one.
    waiting, last = held
    harness.outbox.fails[waiting.email].clear()
    mail = await harness.mail_of(waiting)
    assert mail is not None
    assert mail.due_at is not None
    harness.clock.at = mail.due_at + timedelta(milliseconds=1)
    while await sender.send_due():
        pass
    assert len(harness.outbox.sent) == 10 + 15
    harness.outbox.fails[last.email].clear()
    harness.clock.at += timedelta(minutes=9)
    while await sender.send_due():
        pass
    assert len(harness.outbox.sent) == 10 + 15 * 2


async def test_takeovers_do_not_count_as_failures(harness: MailHarness) -> None:
    """They are no refusal by a mail server; nor is a table outage."""
    admin = await harness.admin()
    [one] = await harness.add_due(admin)
    mail = await harness.store.take(admin.id, (one.id,), digest=False, at=LATER, lease=timedelta(0))
    for _ in range(9):
        mail = await harness.store.take_over(mail, at=LATER, lease=timedelta(0))
    await harness.mailer(mail_attempts=2).send_due()
    assert [message[ATTEMPT_HEADER] for message in harness.outbox.sent] == ["11"]


async def test_a_mail_whose_senders_keep_dying_is_given_up_after_a_month(harness: MailHarness) -> None:
    admin = await harness.admin()
    [one] = await harness.add_due(admin)
    await harness.store.take(admin.id, (one.id,), digest=False, at=LATER, lease=timedelta(0))
    harness.clock.at = LATER + timedelta(days=30, seconds=1)
    with capture_logs() as logs:
        await harness.mailer().send_due()
    assert [line["why"] for line in logs] == ["it could not be sent for 30 days"]
    assert harness.outbox.sent == []
    assert await harness.mail_of(admin) is None


async def test_a_clock_that_is_set_back_stops_no_mail(harness: MailHarness) -> None:
    """Not even while a mail waits, and polls read only what has become due since the last one."""
    held, good = await harness.admin(), await harness.admin()
    await harness.add_due(held)
    harness.outbox.fails[held.email] = [MailHeldBack("MessageRejected", "verify", concerns_all=False)]
    sender = harness.mailer()
    await sender.send_due()
    harness.clock.at -= timedelta(minutes=5)
    await harness.add_due(good, due_at=harness.clock.at)
    await sender.send_due()
    assert len(harness.outbox.sent) == 1


async def test_no_clock_that_is_wrong_takes_a_mail_from_its_sender(harness: MailHarness) -> None:
    """Two processes whose clocks differ by hours agree on a lease by the table's clock."""
    harness.table_time = LATER
    await harness.add_due(await harness.admin(), [1, 2], digest=True)
    behind, ahead = (harness.mailer(clock=Clock(LATER + timedelta(hours=hours))) for hours in (-2, 2))
    send = harness.outbox.send

    async def send_slowly(message: Message) -> None:
        for _ in range(2):
            await asyncio.gather(behind.send_due(), ahead.send_due())
        await send(message)

    harness.outbox.send = send_slowly  # type: ignore[method-assign]
    for sender in (behind, ahead):
        await sender.send_due()
    assert [message["Subject"] for message in harness.outbox.sent] == ["2 price changes"]
    assert await harness.due() == []


async def test_a_lease_ends_by_the_tables_clock_alone(harness: MailHarness) -> None:
    """The header has whole seconds: a lease is a second longer. The own clock may be set meanwhile, to any time."""
    harness.table_time = LATER
    await harness.add_due(await harness.admin())

    async def die(_: Message) -> None:
        raise asyncio.CancelledError

    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(harness.outbox, "send", die)
        with pytest.raises(asyncio.CancelledError):
            await harness.mailer().send_due()
    clock = Clock(LATER + timedelta(days=2))
    other = harness.mailer(clock=clock)
    harness.table_time += timedelta(seconds=60)
    await other.send_due()
    assert harness.outbox.sent == []
    clock.at = LATER - timedelta(days=2)
    harness.table_time += timedelta(seconds=1)
    harness.seconds += 1
    await other.send_due()
    assert [message[ATTEMPT_HEADER] for message in harness.outbox.sent] == ["2"]


@pytest.mark.parametrize("step", [timedelta(days=-1), timedelta(days=1)])
async def test_a_clock_that_is_set_neither_shortens_nor_lengthens_a_pause(
    harness: MailHarness, step: timedelta
) -> None:
    """Neither that of a mail that was not accepted, nor that of all mail while the mail account is refused."""
    harness.table_time = LATER
    admins = [await harness.admin() for _ in range(2)]
    for admin in admins:
        await harness.add_due(admin)
    harness.outbox.fails[admins[0].email] = [MailNotSent("451")]
    harness.outbox.fails[admins[1].email] = [MailHeldBack("SendingPausedException", "enable sending")]
    clock = Clock(LATER)
    sender = harness.mailer(clock=clock)
    await sender.send_due()
    clock.at += step
    await sender.send_due()
    assert harness.outbox.sent == []
    harness.seconds += 60 * 2
    harness.table_time += timedelta(minutes=2)
    await sender.send_due()
    assert len(harness.outbox.sent) == 2


async def test_a_mail_that_another_process_took_over_is_left_to_it(harness: MailHarness) -> None:
    """Although the index still lists it as due."""
    admin = await harness.admin()
    [one] = await harness.add_due(admin)
    mail = await harness.store.take(admin.id, (one.id,), digest=False, at=LATER, lease=timedelta(0))
    await harness.store.take_over(mail, at=LATER, lease=timedelta(seconds=60))
    harness.show(Waiting(admin.id, mail))
    await harness.mailer().send_due()
    assert harness.outbox.sent == []
    item = await harness.mail_of(admin)
    assert item is not None
    assert item.due_at == LATER + timedelta(seconds=60)


@pytest.mark.parametrize("fate", ["gone", "inactive", "demoted", "off"])
async def test_accounts_that_no_longer_receive_mail_get_none(harness: MailHarness, fate: str) -> None:
    """The account and its preferences at the time of sending decide."""
    fates: dict[str, dict[str, Any]] = {"inactive": {"active": False}, "demoted": {"role": Role.USER}}
    admin = await harness.admin(**fates.get(fate, {}))
    if fate == "gone":
        await harness.users.delete(admin)
    if fate == "off":
        await harness.prefers(admin, email="off")
    await harness.add_due(admin, [1, 2], digest=True)
    before = counted("dropped")
    await harness.mailer().send_due()
    assert harness.outbox.sent == []
    assert counted("dropped") == before + 1
    assert await harness.due() == []


async def test_mail_is_in_the_language_of_its_recipient(harness: MailHarness) -> None:
    """The setting's language unless the admin has chosen one."""
    spanish, silent = await harness.admin(), await harness.admin()
    await harness.prefers(spanish, language="es")
    for admin in (spanish, silent):
        await harness.add_due(admin)
    await harness.mailer().send_due()
    subjects = {message["To"].addresses[0].addr_spec: message["Subject"] for message in harness.outbox.sent}
    assert subjects[spanish.email].startswith("Precio de")
    assert subjects[silent.email].startswith("Price of")
    await harness.add_due(silent, [2])
    await harness.mailer(default_language="es").send_due()
    assert harness.outbox.sent[-1]["Subject"].startswith("Precio de")


async def test_a_mailer_suspended_past_its_lease_renews_it_before_sending(harness: MailHarness) -> None:
    """If another process has taken the mail over, that one sends it."""
    admin = await harness.admin()
    await harness.add_due(admin)
    sender, other = harness.mailer(), harness.mailer()
    attach = harness.store.attach

    async def freeze(*arguments: Any) -> Any:  # noqa: ANN401 - as the store's
        harness.store.attach = attach  # type: ignore[method-assign]
        harness.seconds += 61
        harness.clock.at += timedelta(seconds=61)
        await other.send_due()
        return await attach(*arguments)

    harness.store.attach = freeze  # type: ignore[method-assign, assignment]
    with capture_logs() as logs:
        await sender.send_due()
    assert [line["event"] for line in logs] == ["mail_sent", "mail_lease_lost"]
    assert [message[ATTEMPT_HEADER] for message in harness.outbox.sent] == ["2"]


async def test_a_digest_that_takes_longer_than_a_lease_keeps_its_sender(harness: MailHarness) -> None:
    """Otherwise each mailer would start it anew, and none would finish."""
    admin = await harness.admin()
    await harness.add_due(admin, range(100), digest=True)
    sender, other = harness.mailer(), harness.mailer()
    attach = harness.store.attach

    async def slow(*arguments: Any) -> Any:  # noqa: ANN401 - as the store's
        harness.seconds += 0.9
        harness.clock.at += timedelta(seconds=0.9)
        if harness.seconds % 9 < 1:
            await other.send_due()
        return await attach(*arguments)

    harness.store.attach = slow  # type: ignore[method-assign, assignment]
    with capture_logs() as logs:
        await sender.send_due()
    assert [line["event"] for line in logs] == ["mail_sent"]
    assert [message[ATTEMPT_HEADER] for message in harness.outbox.sent] == [None]
    assert await harness.mail_of(admin) is None


async def test_a_failure_after_a_takeover_changes_nothing(harness: MailHarness) -> None:
    """The new sender decides about the mail."""
    admin = await harness.admin()
    await harness.add_due(admin)
    before = counted("retried")
    later = LATER + timedelta(seconds=61)

    async def lose_the_mail_and_fail(_message: EmailMessage) -> None:
        [waiting] = await harness.store.due(keys.mail_shard(admin.id), at=later)
        assert waiting.mail is not None
        await harness.store.take_over(waiting.mail, at=later, lease=timedelta(seconds=60))
        raise MailNotSent("451")

    harness.outbox.send = lose_the_mail_and_fail  # type: ignore[method-assign, assignment]
    await harness.mailer().send_due()
    mail = await harness.mail_of(admin)
    assert mail is not None
    assert mail.due_at == later + timedelta(seconds=60)
    assert counted("retried") == before


async def test_a_mail_is_retried_when_the_server_hangs(harness: MailHarness) -> None:
    admin = await harness.admin()
    await harness.add_due(admin)
    harness.outbox.slow = 3600
    await harness.mailer(mail_timeout=0.05).send_due()
    mail = await harness.mail_of(admin)
    assert mail is not None
    assert mail.due_at is not None
    assert mail.due_at > LATER


async def test_marking_a_sent_mail_is_retried_until_the_lease_ends(harness: MailHarness) -> None:
    """After that another process sends a copy, whose header says so."""
    first, second = await harness.admin(), await harness.admin()
    finish, fails = harness.store.finish, 3

    async def finish_late(mail: Any) -> None:  # noqa: ANN401 - as the store's
        nonlocal fails
        fails -= 1
        if fails >= 0:
            raise TableUnavailable
        await finish(mail)

    harness.store.finish = finish_late  # type: ignore[method-assign]
    await harness.add_due(first)
    await harness.mailer().send_due()
    assert await harness.mail_of(first) is None
    assert fails == -1

    async def never(_mail: Any) -> None:  # noqa: ANN401 - as the store's
        harness.seconds += 30
        raise TableUnavailable

    harness.store.finish = never  # type: ignore[method-assign, assignment]
    await harness.add_due(second)
    with capture_logs() as logs:
        await harness.mailer().send_due()
    assert [line["event"] for line in logs] == ["mail_sent", "mail_postponed"]
    assert await harness.mail_of(second) is not None


async def test_a_table_outage_postpones_a_mail(harness: MailHarness) -> None:
    """Until its lease ends."""
    await harness.add_due(await harness.admin())

    async def fail(*_: Any) -> None:  # noqa: ANN401 - as the store's
        raise TableUnavailable

    harness.store.attach = fail  # type: ignore[method-assign, assignment]
    with capture_logs() as logs:
        await harness.mailer().send_due()
    assert [line["event"] for line in logs] == ["mail_postponed"]
    assert harness.outbox.sent == []


async def test_no_mail_is_started_after_a_stop(harness: MailHarness) -> None:
    """The current mail is finished."""
    admin = await harness.admin()
    await harness.add_due(admin, range(3))
    assert await harness.mailer().send_due(go_on=lambda: not harness.outbox.sent)
    assert len(harness.outbox.sent) == 1
    assert await harness.mail_of(admin) is None


async def test_an_account_gets_at_most_ten_mails_in_a_turn(harness: MailHarness) -> None:
    """So that the other accounts get theirs."""
    await harness.add_due(await harness.admin(), range(12))
    sender = harness.mailer()
    assert await sender.send_due()
    assert len(harness.outbox.sent) == 10
    assert not await sender.send_due()
    assert len(harness.outbox.sent) == 12


async def test_an_address_that_dns_cannot_encode_is_given_up(harness: MailHarness) -> None:
    await harness.add_due(await harness.admin(email=f"a@{'x' * 63}ü.example"))
    with capture_logs() as logs:
        await harness.mailer().send_due()
    assert [line["event"] for line in logs] == ["mail_given_up"]


async def test_an_invalid_sender_address_is_rejected_at_the_start(harness: MailHarness) -> None:
    """Not mail by mail."""
    with pytest.raises(ValueError, match="address"):
        harness.mailer(mail_from="nobody")
