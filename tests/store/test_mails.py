"""Pending mail is found by index, sent to each account one at a time, and taken over by condition (R9)."""

import asyncio
from datetime import timedelta

import pytest

from tests.mail.samples import AT
from tests.services.notifications.harness import LATER, MailHarness
from vitrina.config import Settings
from vitrina.domain.notices import Mail
from vitrina.domain.users import User
from vitrina.store import keys
from vitrina.store.mails import MOST_NOTICES, MailHeld
from vitrina.store.operations import Delete
from vitrina.store.table import Table

LEASE = timedelta(seconds=60)


@pytest.fixture
def harness(table: Table, settings: Settings) -> MailHarness:
    """An empty harness."""
    return MailHarness(table, settings)


async def taken(harness: MailHarness, admin: User, *notice_ids: str, lease: timedelta = LEASE) -> Mail:
    """Begin a mail."""
    return await harness.store.take(admin.id, notice_ids, digest=False, at=LATER, lease=lease)


async def test_due_mail_is_grouped_by_account_and_kind(harness: MailHarness) -> None:
    """A mail whose sender has stopped, single notices oldest first, and those of a digest."""
    admin, other = await harness.admin(), await harness.admin()
    singles = await harness.add_due(admin, [2, 1], due_at=AT + timedelta(seconds=1))
    many = await harness.add_due(admin, [5, 6], digest=True)
    await harness.add_due(other, [3], due_at=LATER + timedelta(seconds=1))
    mail = await taken(harness, admin, "x", lease=timedelta(0))
    shard = keys.mail_shard(admin.id)
    [waiting] = await harness.store.due(shard, at=LATER)
    assert waiting.user_id == admin.id
    assert waiting.mail == mail
    assert set(waiting.notice_ids) == {one.id for one in singles}
    assert set(waiting.digest_ids) == {one.id for one in many}
    assert await harness.store.due(shard, at=LATER, leave_out={admin.id}) == []
    assert await harness.store.due(shard, at=AT - timedelta(seconds=1)) == []


async def test_a_digest_has_a_largest_size(harness: MailHarness) -> None:
    """Its notices are read page by page."""
    admin = await harness.admin()
    await harness.add_due(admin, range(MOST_NOTICES + 1), digest=True)
    [waiting] = await harness.store.due(keys.mail_shard(admin.id), at=LATER)
    assert len(waiting.digest_ids) == MOST_NOTICES


async def test_one_of_many_senders_begins_a_mail(harness: MailHarness) -> None:
    """The others get the time until which it is reserved; the same holds for a takeover."""
    admin = await harness.admin()
    begun = await asyncio.gather(*(taken(harness, admin, str(n)) for n in range(20)), return_exceptions=True)
    [mail] = [each for each in begun if isinstance(each, Mail)]
    held = [each for each in begun if isinstance(each, MailHeld)]
    assert len(held) == 19
    assert {each.until for each in held} == {LATER + LEASE}
    attempts = (harness.store.take_over(mail, at=mail.due_at, lease=LEASE) for _ in range(20))
    over = await asyncio.gather(*attempts, return_exceptions=True)
    [mine] = [each for each in over if isinstance(each, Mail)]
    assert (mine.id, mine.attempt, mine.due_at) == (mail.id, 2, mail.due_at + LEASE)
    assert mine.created_at == mail.created_at


async def test_an_unfinished_mail_is_taken_over_before_another_begins(harness: MailHarness) -> None:
    """An account gets one mail at a time."""
    admin = await harness.admin()
    left = await taken(harness, admin, "a", lease=timedelta(0))
    mine = await taken(harness, admin, "b")
    assert (mine.id, mine.notice_ids, mine.attempt) == (left.id, ("a",), 2)


async def test_each_attempt_of_a_mail_contains_the_same_notices(harness: MailHarness) -> None:
    """No other mail contains them; a deleted notice is left out."""
    admin = await harness.admin()
    [one, two] = await harness.add_due(admin, [1, 2])
    mail = await taken(harness, admin, one.id)
    assert await harness.store.attach(mail, one.id) == one
    assert await harness.store.attach(mail, one.id) == one
    await harness.store.finish(mail)
    other = await taken(harness, admin, one.id, two.id)
    assert await harness.store.attach(other, one.id) is None
    assert await harness.store.attach(other, two.id) == two
    assert await harness.store.attach(other, "gone") is None
    assert await harness.store.due(keys.mail_shard(admin.id), at=LATER) == []


async def test_only_the_current_attempt_postpones_and_any_attempt_finishes(harness: MailHarness) -> None:
    """A mail that any attempt has sent is sent; other mails stay unchanged."""
    admin = await harness.admin()
    first = await taken(harness, admin, "a", lease=timedelta(0))
    second = await harness.store.take_over(first, at=LATER, lease=LEASE)
    assert not await harness.store.postpone(first, until=LATER, failed=True)
    for failed in (False, True):
        assert await harness.store.postpone(second, until=LATER + 2 * LEASE, failed=failed)
        mail = await harness.mail_of(admin)
        assert mail is not None
        assert mail.failures == failed
    with pytest.raises(MailHeld):
        await harness.store.take_over(second, at=LATER, lease=LEASE)
    await harness.store.finish(first)
    assert await harness.mail_of(admin) is None
    other = await taken(harness, admin, "b")
    await harness.store.finish(first)
    assert await harness.mail_of(admin) is not None
    await harness.table.delete(Delete(keys.mail(admin.id)))
    assert not await harness.store.postpone(other, until=LATER, failed=False)


async def test_a_recipient_is_returned_with_its_preferences(harness: MailHarness) -> None:
    """None for the preferences if they were never set, and None for a deleted account."""
    admin = await harness.admin()
    assert await harness.store.recipient(admin.id) == (admin, None)
    await harness.prefers(admin, email="each", language="es")
    found = await harness.store.recipient(admin.id)
    assert found is not None
    assert found[1] is not None
    assert (found[1].email, found[1].language, found[1].digest_minutes) == ("each", "es", 15)
    await harness.users.delete(admin)
    assert await harness.store.recipient(admin.id) is None
