"""Relay, notifier and mail under AWS's runtime client, in an environment with their layer and code and nothing else.

The emulator has packages of its own beside those of the layer, so it cannot show that the layer lacks one.
"""

import asyncio
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from scripts.deploy import artifacts
from scripts.deploy.local_function import LocalFunction
from scripts.devstack.engines import ROOT
from scripts.devstack.mails import caught_mails
from tests.aws_lambda.test_notifier import admins, record
from tests.aws_lambda.test_relay import lambda_event, make_queue, received
from tests.deploy.built import layers
from tests.mail.samples import notice
from tests.service import settings_for
from tests.workers.fakes import change, noise
from vitrina.aws import connect
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.queue.messages import encode
from vitrina.store.inbox import InboxStore
from vitrina.store.table import Table


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The Python, the code and the layer of a function, as LocalFunction takes them."""
    folder = tmp_path_factory.mktemp("sandbox")
    uv = str(Path(sys.executable).with_name("uv"))
    python = str(folder / "client" / "bin" / "python")
    lock = str(ROOT / "scripts" / "requirements" / "lambda.txt")
    install = ("pip", "install", "--quiet", "--python", python, "--no-deps", "--require-hashes", "--requirement", lock)
    for command in (("venv", "--quiet", "--python", sys.executable, str(folder / "client")), install):
        subprocess.run([uv, *command], check=True, timeout=120)
    for name, artifact in (("code", artifacts.code(folder)), ("layer", layers()["LayerKey"])):
        with zipfile.ZipFile(artifact.path) as archive:
            archive.extractall(folder / name)
    return {"python": python, "code": folder / "code", "layers": [folder / "layer"]}


def variables(settings: Settings, **more: str) -> dict[str, str]:
    """Return the environment of a function."""
    return {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "VITRINA_ENVIRONMENT": "development",
        "VITRINA_TABLE_NAME": settings.table_name,
        "VITRINA_CONNECT_TIMEOUT": "10",
        "VITRINA_READ_TIMEOUT": "20",
        **more,
    }


def test_the_relay_sends_price_changes(sandbox: dict[str, Any], ministack: str, table_name: str) -> None:
    settings = settings_for(ministack, queue_name=table_name, queue_endpoint=ministack)
    asyncio.run(make_queue(settings))
    environment = variables(settings, VITRINA_QUEUE_NAME=table_name, VITRINA_QUEUE_ENDPOINT=ministack)
    with LocalFunction("vitrina.aws_lambda.relay.handler", environment=environment, **sandbox) as function:
        assert function.invoke(lambda_event(noise(1), change(2))) == {"batchItemFailures": []}
    assert [each.version for each in asyncio.run(received(settings))] == [2]


def test_notifier_and_mail_send_mail(sandbox: dict[str, Any], dynamodb_local: str, tmp_path: Path) -> None:
    settings = settings_for(dynamodb_local)
    ana, luis = asyncio.run(admins(settings))
    mails = {"VITRINA_MAIL_TRANSPORT": "directory", "VITRINA_MAIL_DIRECTORY": str(tmp_path)}
    environment = variables(settings, VITRINA_WRITER_ENDPOINT=dynamodb_local, **mails)
    event = {"Records": [record(encode(notice(1, changed_by=ana.id).change))]}
    with LocalFunction("vitrina.aws_lambda.notifier.handler", environment=environment, **sandbox) as function:
        assert function.invoke(event) == {"batchItemFailures": []}
    assert len(caught_mails(tmp_path, most=9)) == 1
    asyncio.run(_leave(settings, luis.id))
    with LocalFunction("vitrina.aws_lambda.notifier.mail", environment=environment, **sandbox) as function:
        assert function.invoke({}) is None
    assert len(caught_mails(tmp_path, most=9)) == 2


async def _leave(settings: Settings, user_id: str) -> None:
    """Leave a notice of which mail is due."""
    async with connect(settings) as clients:
        inbox = InboxStore(Table(clients, name=settings.table_name, deadline=30), retention_days=1)
        assert await inbox.add(notice(2, user_id=user_id), due_at=now(), digest=True)
