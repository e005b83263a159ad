"""Mail in the table: found by index, one at a time to each account, taken over by condition (R9)."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.mail.samples import AT
from tests.services.notifications.harness import LATER, MailHarness
from vitrina.config import Settings
from vitrina.domain.mails import Mail
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


async def test_what_is_due_is_sorted_by_account_and_kind(harness: MailHarness) -> None:
    """A mail whose sender is silent, notices one by one, oldest first, and a digest's."""
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


async def test_a_digest_holds_so_many_and_no_more(harness: MailHarness) -> None:
    """Read page by page."""
    admin = await harness.admin()
    await harness.add_due(admin, range(MOST_NOTICES + 1), digest=True)
    [waiting] = await harness.store.due(keys.mail_shard(admin.id), at=LATER)
    assert len(waiting.digest_ids) == MOST_NOTICES


async def test_one_of_many_begins_the_mail(harness: MailHarness) -> None:
    """The others are told until when it is held; the same when it is taken over."""
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


async def test_a_mail_that_is_due_is_taken_over_instead_of_another(harness: MailHarness) -> None:
    """One account gets one mail at a time."""
    admin = await harness.admin()
    left = await taken(harness, admin, "a", lease=timedelta(0))
    mine = await taken(harness, admin, "b")
    assert (mine.id, mine.notice_ids, mine.attempt) == (left.id, ("a",), 2)


async def test_beginning_again_after_a_lost_answer_finds_itself(
    harness: MailHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK repeats a write whose answer did not come."""
    admin = await harness.admin()
    put = harness.table._writer.put_item

    async def twice(**arguments: Any) -> object:  # noqa: ANN401 - as the client's
        await put(**arguments)
        return await put(**arguments)

    monkeypatch.setattr(harness.table._writer, "put_item", twice)
    mail = await taken(harness, admin, "a")
    assert (mail.notice_ids, mail.attempt) == (("a",), 1)


async def test_each_attempt_of_a_mail_takes_up_the_same_notices(harness: MailHarness) -> None:
    """And no other mail does; one that is gone is none."""
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


async def test_only_the_attempt_at_hand_postpones_and_any_of_them_finishes(harness: MailHarness) -> None:
    """Sent is sent, whoever did it; another mail is left alone."""
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


async def test_a_recipient_comes_with_what_it_wants(harness: MailHarness) -> None:
    """None if it never said; nothing at all if it is gone."""
    admin = await harness.admin()
    assert await harness.store.recipient(admin.id) == (admin, None)
    await harness.prefers(admin, email="each", language="es")
    found = await harness.store.recipient(admin.id)
    assert found is not None
    assert found[1] is not None
    assert (found[1].email, found[1].language, found[1].digest_minutes) == ("each", "es", 15)
    await harness.users.delete(admin)
    assert await harness.store.recipient(admin.id) is None
