"""Relay, notifier and mail under AWS's runtime client, in an environment with their layer and code and nothing else.

The emulator has packages of its own beside those of the layer, so it cannot show that the layer lacks one.
"""

import asyncio
import socket
import subprocess
import sys
import time
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
from tests.workers.otlp import receiving
from tests.workers.test_tracing import TRACE, TRACEPARENT
from vitrina.aws import connect
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.ids import new_id
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
    made = {"code": artifacts.code(folder), "layer": layers()["LayerKey"], "tracing": layers()["TracingLayerKey"]}
    for name, artifact in made.items():
        with zipfile.ZipFile(artifact.path) as archive:
            archive.extractall(folder / name)
    return {"python": python, "code": folder / "code", "layers": [folder / "layer"]}


@pytest.fixture
def traced(sandbox: dict[str, Any]) -> dict[str, Any]:
    """The same with the layer of tracing."""
    layer = sandbox["layers"][0]
    return {**sandbox, "layers": [layer, layer.with_name("tracing")]}


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


def test_one_trace_leads_through_relay_notifier_and_mail(
    traced: dict[str, Any], ministack: str, dynamodb_local: str, tmp_path: Path
) -> None:
    """The spans of an invocation are sent before Lambda freezes the sandbox."""
    name = f"traced-{new_id()}"
    queue = settings_for(ministack, queue_name=name, queue_endpoint=ministack)
    asyncio.run(make_queue(queue))
    settings = settings_for(dynamodb_local)
    ana, luis = asyncio.run(admins(settings))
    moved = change(2, by={"S": ana.id}, at={"S": f"{now():%FT%TZ}"}, traceparent={"S": TRACEPARENT})
    with receiving() as receiver:
        tracing = {"VITRINA_TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        tracing |= {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
        relaying = variables(settings, VITRINA_QUEUE_NAME=name, VITRINA_QUEUE_ENDPOINT=ministack, **tracing)
        with LocalFunction("vitrina.aws_lambda.relay.handler", environment=relaying, **traced) as function:
            function.invoke(lambda_event(moved))
        [sent] = receiver.named(f"send {name}.fifo")
        mails = {"VITRINA_MAIL_TRANSPORT": "directory", "VITRINA_MAIL_DIRECTORY": str(tmp_path)}
        notifying = variables(settings, VITRINA_WRITER_ENDPOINT=dynamodb_local, **mails, **tracing)
        [event] = asyncio.run(received(queue))
        with LocalFunction("vitrina.aws_lambda.notifier.handler", environment=notifying, **traced) as function:
            function.invoke({"Records": [record(encode(event))]})
        [process], [first] = receiver.named("process"), receiver.named("send mail")
        asyncio.run(_leave(settings, luis.id, traceparent=TRACEPARENT))
        with LocalFunction("vitrina.aws_lambda.notifier.mail", environment=notifying, **traced) as function:
            function.invoke({})
        [_, second] = receiver.named("send mail")
    for span in (sent, process, first, second):
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, TRACEPARENT.split("-")[2])
    assert len(caught_mails(tmp_path, most=9)) == 2


def test_a_receiver_of_traces_that_never_responds_costs_one_invocation_half_a_second(
    traced: dict[str, Any], ministack: str
) -> None:
    name = f"traced-{new_id()}"
    settings = settings_for(ministack, queue_name=name, queue_endpoint=ministack)
    asyncio.run(make_queue(settings))
    environment = variables(settings, VITRINA_QUEUE_NAME=name, VITRINA_QUEUE_ENDPOINT=ministack, VITRINA_TRACING="true")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with LocalFunction("vitrina.aws_lambda.relay.handler", environment=environment, **traced) as function:
            function.invoke(lambda_event(change(1, traceparent={"S": TRACEPARENT})))
            began = time.monotonic()
            for version in range(2, 12):
                function.invoke(lambda_event(change(version, traceparent={"S": TRACEPARENT})))
    assert time.monotonic() - began < 10 * 0.3


async def _leave(settings: Settings, user_id: str, **change: str) -> None:
    """Leave a notice of which mail is due."""
    async with connect(settings) as clients:
        inbox = InboxStore(Table(clients, name=settings.table_name, deadline=30), retention_days=1)
        assert await inbox.add(notice(2, user_id=user_id, **change), due_at=now(), digest=True)
