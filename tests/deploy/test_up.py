"""`scripts/deploy/up` and `down` on the emulator: a deployment that works, its updates, and what its roles may do."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click import ClickException

from scripts.deploy import deployment
from scripts.deploy.artifacts import TEMPLATE
from scripts.deploy.deployment import Deployment
from scripts.deploy.emulator import emulator
from scripts.deploy.stack import Stack
from scripts.deploy.target import Target, check
from scripts.devstack import demo
from tests.api.client import ok, product_body, sign_in
from tests.deploy import built
from tests.deploy.deployed import Deployed, root, until
from tests.deploy.grants import UNSEEN, Recorder, covers, granted, rows
from tests.npm import CannotRunError
from tests.postman.newman import newman
from tests.postman.test_collection import STEPS, run
from tests.service import settings_for
from vitrina.bootstrap import Services
from vitrina.clock import epoch_ms, now
from vitrina.domain.notices import Notice, PriceChanged
from vitrina.domain.products import ProductDraft
from vitrina.domain.views import View
from vitrina.ids import new_id
from vitrina.services.products.cache import NoCache
from vitrina.services.products.products import Products

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_EMAILS = [email for email, _, _ in demo.ACCOUNTS]
_SPACE = 4 * 2**30
_PATIENT = {"VITRINA_BCRYPT_COST": "4", "VITRINA_PASSWORD_WAIT": "20", "VITRINA_REQUEST_TIMEOUT": "20"}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """An emulator without a stack. Functions are unpacked for each sandbox, which takes long on a busy disk."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > _SPACE
    temporary = tempfile.TemporaryDirectory(dir=memory if roomy else None, ignore_cleanup_errors=True)
    with temporary as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(deployment, "_PATIENCE", 240.0)
        engine = emulator(folder=Path(folder), variables=_PATIENT).start()
        try:
            target = Target(kind="emulator", endpoint=engine.wait())
            build = built.build(tmp_path_factory.mktemp("deploy") / "1")
            yield Deployed(stack=Stack(target, "shop"), build=build)
        finally:
            engine.stop()


@pytest.fixture(scope="module")
async def deployed(fresh: Deployed) -> Deployed:
    """The stack, with the accounts of the demo."""
    fresh.run("up", "--yes")
    with root():
        table = fresh.stack.outputs()["TableName"]
        await demo.make(settings_for(fresh.target.endpoint, table_name=table), catalogue=False)
    for identity in ("shop.example", "example.com"):  # The sender, and the recipients, since SES is in its sandbox.
        fresh.target.client("sesv2").create_email_identity(EmailIdentity=identity)
    return fresh


@pytest.fixture(scope="module")
def recorder(deployed: Deployed) -> Recorder:
    """What the functions were seen to do."""
    return Recorder(deployed.stack)


async def test_a_price_change_reaches_inbox_and_mail(deployed: Deployed) -> None:
    """HTTP API → table → stream with its filter → relay → FIFO queue → notifier → inbox and SES, with IAM on."""
    async with deployed.client() as client:
        ana, luis = [await sign_in(client, {"email": email}) for email in _EMAILS[:2]]
        product = ok(await ana.post("/v1/products", product_body(name="Enamel kettle", price="24.50")), 201)
        ok(await client.get(f"/v1/products/{product['id']}"))
        ok(await ana.patch(f"/v1/products/{product['id']}", {"price": "19.90"}))

        async def inbox() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = ok(await luis.get("/v1/notifications"))["items"]
            return found

        (notice,) = await until(inbox)
        assert "Enamel kettle" in json.dumps(notice)
        assert not ok(await ana.get("/v1/notifications"))["items"]

    async def mail() -> list[str]:
        return await deployed.mail_to(_EMAILS[1])

    assert "Price of Enamel kettle: 24.50 USD → 19.90 USD" in await until(mail)


async def test_the_collection_runs(deployed: Deployed, recorder: Recorder, tmp_path: Path) -> None:
    """All but the exports, which stream: on Lambda they are refused with 501."""
    recorder.collect()
    try:
        command = newman()
    except CannotRunError as error:
        pytest.skip(f"only newman can prove that the collection runs: {error}")
    done = await run(command, deployed.url, tmp_path / "report.json")
    recorder.collect()
    assert done.answered == [step.name for step in STEPS]
    assert {failure.partition(":")[0] for failure in done.failures} == {
        "Export the views of today", "Export them as CSV", "Export the prices that were in force today",
    }  # fmt: skip


async def test_the_scheduled_functions_do_their_work(deployed: Deployed, recorder: Recorder) -> None:
    """The rollup counts a closed day, the export writes it to the bucket, and the mail function sends due mail."""
    outputs = deployed.stack.outputs()
    day = now() - timedelta(days=4)
    with root():
        async with Services(settings_for(deployed.target.endpoint, table_name=outputs["TableName"])) as services:
            products = Products(services.product_store, services.product_listings, NoCache(), clock=lambda: day)
            drafts = [
                ProductDraft(
                    sku=f"OLD-{n}", name="Oak Chair", brand="Alder", description=None, price=Decimal(90), currency="USD"
                )
                for n in range(3)
            ]
            made = [await products.create(draft, by=new_id(), request_id="old") for draft in drafts]
            # Two products on one day, and one on the next: the export reads a single SKU by another call. The day after
            # has no views, whatever the time: the export deletes the file of such a day.
            times = [(made[0], day), (made[1], day), (made[2], day + timedelta(days=1))]
            views = [View(product.id, epoch_ms(at), b"v" * 16, None, bot=False) for product, at in times]
            await services.view_store.put(services.view_store.segments(views))
            super_admin = await services.user_store.by_email(demo.SUPER_ADMIN[0])
            assert super_admin is not None
            change = PriceChanged(
                product_id=made[0].id, version=2, sku="OLD-0", name="Oak Chair", old_price="90", old_currency="USD",
                price="80", currency="USD", changed_at=day, changed_by=new_id(), request_id="old",
            )  # fmt: skip
            await services.inbox_store.add(
                Notice(user_id=super_admin.id, change=change, changed_by_name="Ana"), due_at=day, digest=True
            )
    names = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in deployed.stack.resources()}
    client = deployed.target.client("lambda")
    before = await deployed.mail_to(demo.SUPER_ADMIN[0])
    event = json.dumps({"out": outputs["ExportsPlace"]})
    for name in ("Rollup", "Export", "Mail"):
        done = await asyncio.to_thread(client.invoke, FunctionName=names[name], Payload=event)
        assert "FunctionError" not in done, done["Payload"].read()
        recorder.collect()
    files = deployed.target.client("s3").list_objects_v2(Bucket=names["Exports"])["Contents"]
    assert {f"exports/views/day={day:%F}/views.parquet", "exports/prices/prices.parquet"} <= {
        each["Key"] for each in files
    }
    assert len(await deployed.mail_to(demo.SUPER_ADMIN[0])) > len(before)


async def test_a_role_may_do_what_its_function_does_and_nothing_else(deployed: Deployed, recorder: Recorder) -> None:
    """What the emulator cannot see is listed in `UNSEEN`, each right with its reason."""
    async with deployed.client() as client:
        ana = await sign_in(client, {"email": _EMAILS[0]})
        made = ok(await ana.post("/v1/auth/keys", {"name": "Reports", "scope": "read", "expires_in_days": 1}), 201)
        ok(await client.bearing(made["key"]).get("/v1/analytics/top-products"))
    recorder.collect()
    for name, grants in granted(deployed.stack).items():
        used = recorder.used[name]
        assert used, name
        assert not [use for use in used if not any(covers(grant, use) for grant in grants)], name
        unused = {grant for grant in grants if not any(covers(grant, use) for use in used)}
        assert rows(deployed.stack, name, unused) == sorted(UNSEEN.get(name, {})), name


async def test_an_update_under_load_fails_no_request(deployed: Deployed, tmp_path: Path) -> None:
    second = built.changed(deployed.build, tmp_path / "2", version="2.0")
    statuses: list[int] = []
    async with deployed.client() as client:

        async def load() -> None:
            while True:
                statuses.append((await client.get("/v1/products")).status)

        tasks = [asyncio.create_task(load()) for _ in range(2)]
        await asyncio.to_thread(deployed.run, "up", "--yes", build=second)
        for task in tasks:
            task.cancel()
    assert len(statuses) > 20
    assert set(statuses) == {200}
    assert await deployed.version() == "2.0"


async def test_what_cloudformation_cannot_make_it_undoes(deployed: Deployed, tmp_path: Path) -> None:
    """A resource fails after the code has changed: the functions get their old code again."""
    before = await deployed.version()
    broken = built.changed(deployed.build, tmp_path / "3", version="3.0", broken=True)
    found = check(deployed.target, broken, bucket=None, folder=deployed.stack.name)
    with pytest.raises(ClickException, match="the version before serves"):
        await asyncio.to_thread(
            Deployment(stack=deployed.stack, found=found, yes=True).up, {}, template=_failing(tmp_path)
        )
    assert await deployed.version() == before


async def test_a_version_that_does_not_serve_is_replaced_by_the_one_before(
    deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "_PATIENCE", 1.0)
    before = await deployed.version()
    broken = built.changed(deployed.build, tmp_path / "4", version="4.0", broken=True)
    status, printed = await asyncio.to_thread(deployed.attempt, "up", "--yes", build=broken)
    assert (status, "this version is broken" in printed) == (1, True), printed
    assert "The version before serves again." in printed
    assert await deployed.version() == before


def test_a_first_creation_that_failed_is_cleared_by_the_next(fresh: Deployed, tmp_path: Path) -> None:
    """And a change that is not confirmed leaves nothing behind."""
    other = Deployed(stack=Stack(fresh.target, "other"), build=fresh.build)
    found = check(fresh.target, fresh.build, bucket=None, folder=fresh.stack.name)
    with pytest.raises(ClickException, match="was not created"):
        Deployment(stack=other.stack, found=found, yes=True).up({}, template=_failing(tmp_path))
    assert other.stack.status() == "ROLLBACK_COMPLETE"
    status, printed = other.attempt("up", answer="n\n")
    assert (status, "so what is left of it is deleted" in printed) == (1, True), printed
    assert not other.stack.status()


async def test_down_keeps_the_table_the_keys_and_the_exports(deployed: Deployed) -> None:
    resources = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in deployed.stack.resources()}
    status, printed = deployed.attempt("down", answer="no\n")
    assert (status, deployed.stack.status()) == (1, "UPDATE_COMPLETE")
    deployed.run("down", "--yes")
    assert not deployed.stack.status()
    for name in ("Table", "SecretKey", "SigningKeys", "Exports"):
        assert resources[name] in printed
    assert deployed.target.client("dynamodb").describe_table(TableName=resources["Table"])
    assert deployed.target.client("s3").list_objects_v2(Bucket=resources["Exports"])["Contents"]
    functions = deployed.target.client("lambda").list_functions()["Functions"]
    assert not [each for each in functions if each["FunctionName"].startswith(deployed.stack.name)]


def _failing(folder: Path) -> Path:
    """Return the template with a queue that cannot be made, after all that depends on the code."""
    queue = "  Bad: {Type: AWS::SQS::Queue, DependsOn: ReportsApi, Properties: {QueueName: bad, FifoQueue: true}}\n"
    changed = folder / "failing.yaml"
    changed.write_text(TEMPLATE.read_text().replace("\nOutputs:\n", f"{queue}\nOutputs:\n"))
    return changed
