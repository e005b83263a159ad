"""What is measured of those who run the service."""

from tests.store.design.world import Work, World, plain, row
from vitrina.clock import now
from vitrina.ids import new_id
from vitrina.store import consistency, keys
from vitrina.store.items import DeletionItem, EmailItem, Item, SkuItem, SuperAdminsItem
from vitrina.store.migrations.runner import migrate, standing
from vitrina.store.operations import Delete, Put, Update

plain("GET /readyz", lambda w: w.anonymous.get("/readyz"))
for _path in ("/healthz", "/metrics", "/openapi.json", "/docs"):
    plain(f"GET {_path}", lambda w, path=_path: w.anonymous.get(path))  # type: ignore[misc]


@row("vitrina table migrate")
async def _(w: World) -> Work:
    for key in (keys.product((await w.product())["id"]), keys.user(w.user.id)):
        await w.table.update(Update(key, [Item.by_time.set("as an older release wrote it")]))
    return migrate(w.table, lambda _: None)


plain("vitrina table migrate --again 2", lambda w: migrate(w.table, lambda _: None, again=2))
plain("vitrina table status", lambda w: standing(w.table))
plain("vitrina table check", lambda w: _check(w, repair=False))


@row("vitrina table check --repair")
async def _(w: World) -> Work:
    live, other, third = [await w.product() for _ in range(3)]
    gone, person = await w.deleted(), await w.account()
    marker = DeletionItem.keyed(
        keys.deletion(live["id"]), product_id=live["id"], original_sku="OLD", deleted_at=now(), deleted_by=person.id
    )
    for lost in (keys.sku(live["sku"]), keys.deletion(gone["id"]), keys.email(person.email)):
        await w.table.delete(Delete(lost))
    for wrong in (
        SkuItem.keyed(keys.sku(other["sku"]), product_id=new_id()),
        SkuItem.keyed(keys.sku(third["sku"]), product_id=live["id"]),
        SkuItem.keyed(keys.sku("STRAY"), product_id=other["id"]),
        EmailItem.keyed(keys.email("stray@example.com"), user_id=new_id()),
        SuperAdminsItem.keyed(keys.SUPER_ADMINS, members=7),
        marker,
    ):
        await w.table.put(Put(wrong))
    return _check(w, repair=True, wrong=9)


@row("vitrina table check --repair, the count is lost")
async def _(w: World) -> Work:
    await w.table.delete(Delete(keys.SUPER_ADMINS))
    return _check(w, repair=True, wrong=1)


async def _check(w: World, *, repair: bool, wrong: int = 0) -> None:
    findings = [finding async for finding in consistency.check(w.table, repair=repair)]
    assert len(findings) == wrong, findings
    assert all(finding.repaired for finding in findings)
