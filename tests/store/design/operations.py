"""Rows about the operation of the service."""

from tests.store.design.harness import Harness, Work, plain, row
from vitrina.clock import now
from vitrina.ids import new_id
from vitrina.store import consistency, keys
from vitrina.store.codecs.accounts import password_item
from vitrina.store.items import ChangeItem, DeletionItem, EmailItem, Item, SkuItem, SuperAdminsItem, UserItem
from vitrina.store.migrations.runner import migrate, standing
from vitrina.store.operations import Delete, Put, Update

_MISPLACED = 8
"""Items in the place of another owner's, of each kind: a page of the scan may have some of them before that owner."""

plain("GET /readyz", lambda h: h.anonymous.get("/readyz"))
for _path in ("/healthz", "/metrics", "/openapi.json", "/docs"):
    plain(f"GET {_path}", lambda h, path=_path: h.anonymous.get(path))  # type: ignore[misc]


@row("vitrina table migrate")
async def _(h: Harness) -> Work:
    for key in (keys.product((await h.product())["id"]), keys.user(h.user.id)):
        await h.table.update(Update(key, [Item.by_time.set("as an older release wrote it")]))
    person, admin = await h.account(email="uma@faß.example"), await h.account(role="admin")
    older, key = keys.emails(person.email)
    nowhere = "josé@example.com"
    old_form = [UserItem.email.set(nowhere), UserItem.password_hash.set("$" * 60)]
    await h.table.update(Update(keys.user(admin.id), old_form))
    for lost, wrong in (
        (key, EmailItem.keyed(older, user_id=person.id)),
        (keys.email(admin.email), EmailItem.keyed(keys.email(nowhere), user_id=admin.id)),
    ):
        await h.table.delete(Delete(lost))
        await h.table.put(Put(wrong))
    change = keys.change((await h.product())["id"], 1)
    await h.table.update(Update(change, [ChangeItem.feed.remove(), ChangeItem.feed_position.remove()]))
    return migrate(h.table, lambda _: None)


plain("vitrina table migrate --again 2", lambda h: migrate(h.table, lambda _: None, again=2))
plain("vitrina table status", lambda h: standing(h.table))
plain("vitrina table check", lambda h: _check(h, repair=False))


@row("vitrina table check --repair")
async def _(h: Harness) -> Work:
    live, other = [await h.product() for _ in range(2)]
    ghosts, rivals = [[await h.product() for _ in range(_MISPLACED)] for _ in range(2)]
    gone, person = await h.deleted(), await h.account()
    marker = DeletionItem.keyed(
        keys.deletion(live["id"]), product_id=live["id"], original_sku="OLD", deleted_at=now(), deleted_by=person.id
    )
    for lost in (keys.sku(live["sku"]), keys.deletion(gone["id"]), keys.email(person.email)):
        await h.table.delete(Delete(lost))
    for wrong in (
        *(SkuItem.keyed(keys.sku(product["sku"]), product_id=new_id()) for product in ghosts),
        *(SkuItem.keyed(keys.sku(product["sku"]), product_id=live["id"]) for product in rivals),
        SkuItem.keyed(keys.sku("STRAY"), product_id=other["id"]),
        EmailItem.keyed(keys.email("stray@example.com"), user_id=new_id()),
        password_item(new_id(), "$" * 60),
        SuperAdminsItem.keyed(keys.SUPER_ADMINS, members=7),
        marker,
    ):
        await h.table.put(Put(wrong))
    await h.table.update(Update(keys.user(person.id), [UserItem.password_hash.set("$" * 60)]))
    return _check(h, repair=True, wrong=9 + 2 * _MISPLACED, misplaced=2 * _MISPLACED)


@row("vitrina table check --repair, the count is lost")
async def _(h: Harness) -> Work:
    await h.table.delete(Delete(keys.SUPER_ADMINS))
    return _check(h, repair=True, wrong=1)


async def _check(h: Harness, *, repair: bool, wrong: int = 0, misplaced: int = 0) -> None:
    """Check the table; a misplaced item is two findings if a page of the scan has it before its rightful owner."""
    findings = [finding async for finding in consistency.check(h.table, repair=repair)]
    assert wrong <= len(findings) <= wrong + misplaced, findings
    assert all(finding.repaired for finding in findings)
