"""A conditional write whose response is lost is sent again; its condition then fails on what it has written itself."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.mail.samples import AT
from tests.store.samples import at, price_changed, session, user
from vitrina.domain.notices import Notice
from vitrina.ids import new_id
from vitrina.store import keys
from vitrina.store.idempotency import AlreadyAnswered, Claim, IdempotencyStore, StoredResponse
from vitrina.store.inbox import InboxStore
from vitrina.store.items import Item, SkuItem
from vitrina.store.leases import Lease, LeaseLost, LeaseStore
from vitrina.store.mails import MailHeld, MailStore
from vitrina.store.migrations.ledger import claim as claim_migration, reopen
from vitrina.store.operations import ABSENT, Delete, Put, Update
from vitrina.store.sessions import SessionStore
from vitrina.store.table import ConditionFailed, Table

LEASE = timedelta(seconds=60)


async def test_each_conditional_write_of_the_stores_succeeds(lossy: Table) -> None:
    sessions, leases, mails = SessionStore(lossy), LeaseStore(lossy, stream_label="s"), MailStore(lossy)
    made = session(user())
    await sessions.create(made)
    assert await sessions.rotate(made, at=at(5), expires_at=at(65))
    assert not await sessions.rotate(made, at=at(5), expires_at=at(65))

    lease = Lease(shard_id="shard")
    await leases.create(lease)
    mine = await leases.take(lease, owner="a")
    assert (mine.owner, mine.counter) == ("a", 1)
    with pytest.raises(LeaseLost):
        await leases.take(lease, owner="b")

    mail = await mails.take("ana", ("1",), digest=False, at=AT, lease=LEASE)
    assert mail.attempt == 1
    with pytest.raises(MailHeld):
        await mails.take("ana", ("2",), digest=False, at=AT, lease=LEASE)
    later = await mails.take_over(mail, at=AT + LEASE, lease=LEASE)
    assert later.attempt == 2
    with pytest.raises(MailHeld):
        await mails.take_over(mail, at=AT + LEASE * 2, lease=LEASE)
    await mails.finish(later)

    inbox, notice = (
        InboxStore(lossy, retention_days=90),
        Notice(user_id="ana", change=price_changed(), changed_by_name=None),
    )
    assert await inbox.add(notice, due_at=None, digest=False)
    assert not await inbox.add(replace(notice, changed_by_name="Luis"), due_at=None, digest=False)
    await inbox.mark_read("ana", notice.id, at=at(1))

    answer, idempotency = StoredResponse(status=409, headers={}, body=b"\x00{}"), IdempotencyStore(lossy)
    claim = Claim(
        owner="ana", route="products", key_fingerprint="key", body_fingerprint="body", made_at=at(0), expires_at=at(60)
    )
    await idempotency.keep(claim, answer)
    with pytest.raises(AlreadyAnswered):
        await idempotency.keep(claim, replace(answer, body=b"other"))

    ledger = await claim_migration(lossy, 1, "test", clock=lambda: at(0), report=lambda _: None)
    assert ledger is not None
    await ledger.finish()
    assert await reopen(lossy, 1)
    assert not await reopen(lossy, 1)


async def test_what_another_has_written_is_not_taken_for_ones_own(lossy: Table, table: Table) -> None:
    """Between the two tries, or before both: the condition has failed, whatever the first response was."""
    key = keys.sku("lamp")
    mine, theirs = (SkuItem.keyed(key, product_id=new_id()) for _ in range(2))
    await table.put(Put(theirs))
    counted = Update(key, [SkuItem.product_id.set(mine.product_id), Item.v.add(1)], Item.v == 1)
    for write in (
        lossy.put(Put(mine, ABSENT)),
        lossy.delete(Delete(key, SkuItem.product_id == mine.product_id)),
        lossy.update(Update(key, [SkuItem.product_id.set(mine.product_id)], ABSENT)),
    ):
        with pytest.raises(ConditionFailed) as failed:
            await write
        assert failed.value.item
        assert failed.value.item.serialize() == theirs.serialize()
    with pytest.raises(ConditionFailed):  # A computed value does not tell whose it is.
        await lossy.update(counted)


async def test_a_deletion_is_repeated_in_vain(lossy: Table, table: Table) -> None:
    claimed = SkuItem.keyed(keys.sku("lamp"), product_id="1")
    await table.put(Put(claimed))
    await lossy.delete(Delete(claimed.key, SkuItem.product_id == "1"))
    assert await table.get(claimed.key, consistent=True) is None
    with pytest.raises(ConditionFailed):
        await table.delete(Delete(claimed.key, SkuItem.product_id == "1"))
