"""Traces by OpenTelemetry: one from the PATCH of a price to the mail about it, and none of a client's texts in any."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import orjson
import pytest

from scripts.devstack.mails import caught_mails
from tests.api.client import Client, ok, product_body, sign_in
from tests.service import serving
from tests.workers.otlp import Receiver, receiving
from vitrina import logging, spans, tracing
from vitrina.aws import connect_queue
from vitrina.config import Settings
from vitrina.queue.provisioning import ensure
from vitrina.store.table import Table
from vitrina.workers.notifier import notifier
from vitrina.workers.relay import relay

PASSWORD = "canary-password-2026"
CANARIES = (
    PASSWORD,
    "canary.person",
    "Canary Person",
    "canary-description",
    "canary-query",
    "canary-state",
    "127.0.0.1",
)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver to which spans are sent at once."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield receiver


async def change_price(url: str, actor: str) -> str:
    """Create a product as an admin and change its price in a trace; return the admin's token."""
    async with aiohttp.ClientSession() as http:
        admin = await sign_in(Client(http, url), {"email": actor}, PASSWORD)
        product = ok(await admin.post("/v1/products", product_body(description="canary-description")), 201)
        headers = {"traceparent": TRACEPARENT, "tracestate": "x=canary-state"}
        path = f"/v1/products/{product['id']}"
        ok(await admin.patch(path, {"price": "7.50"}, headers=headers))
        await admin.get("/v1/products", params={"brand": "canary-query"})
        await admin.get("/healthz")
        return str(admin.token)


async def test_one_trace_leads_from_a_patch_to_the_mail(
    table_with_stream: Table, settings: Settings, receiver: Receiver, tmp_path: Path
) -> None:
    """It is the client's, the calls of DynamoDB are in it, and the log lines on the way name it."""
    log = tmp_path / "log"
    mails = {"mail_transport": "directory", "mail_directory": str(tmp_path / "mails"), "bcrypt_cost": 4}
    settings = settings.model_copy(update={"tracing": True, **mails})
    async with connect_queue(settings) as sqs:
        await ensure(sqs, settings)
    logging.configure(level="info", style="json", descriptor=os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND))
    stop = asyncio.Event()
    with tracing.running("vitrina-test", on=True):
        async with serving(settings) as service, asyncio.TaskGroup() as group:
            group.create_task(relay(settings, stop))
            group.create_task(notifier(settings, stop))
            accounts = service.services.accounts
            for email in ("canary.person@example.com", "canary.person.2@example.com"):
                await accounts.create_super_admin(email=email, password=PASSWORD, name="Canary Person")
            token = await change_price(service.url, "canary.person@example.com")
            async with asyncio.timeout(30):
                while not receiver.named("send mail"):  # noqa: ASYNC110 - the receiver is in another thread
                    await asyncio.sleep(0.02)
            stop.set()
    logging.shutdown()

    queue = f"{settings.queue_name}.fifo"
    [patch] = receiver.named("PATCH /v1/products/{product_id}")
    [mail] = receiver.named("send mail")
    [process] = receiver.named("process")
    assert (patch.trace_id.hex(), patch.parent_span_id.hex()) == (TRACE, "00f067aa0ba902b7")
    for span in (mail, process, *receiver.named(f"send {queue}"), *receiver.named(f"receive {queue}")):
        assert (span.trace_id, span.parent_span_id) == (patch.trace_id, patch.span_id)
        assert [link.span_id for link in span.links] == [patch.span_id]
    calls = [span for span in receiver.spans if span.name.startswith("DynamoDB.")]
    assert {span.name for span in calls if span.parent_span_id == patch.span_id} >= {"DynamoDB.TransactWriteItems"}
    assert {span.name for span in calls if span.parent_span_id == process.span_id} >= {"DynamoDB.PutItem"}
    attributes = {each.key: each.value for each in calls[0].attributes}
    assert attributes["aws.dynamodb.table_names"].array_value.values[0].string_value == table_with_stream.name
    assert "CapacityUnits" in attributes["aws.dynamodb.consumed_capacity"].array_value.values[0].string_value
    assert all(span.parent_span_id for span in calls), "polls are no traces"
    assert not receiver.named("GET /healthz")

    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    traced = {line["event"] for line in lines if line.get("trace_id") == TRACE}
    assert traced >= {"request", "mail_sent"}
    for secret in (*CANARIES, token):
        assert secret.encode() not in receiver.bodies, secret
    assert len(caught_mails(tmp_path / "mails", most=9)) == 1


def test_work_on_several_changes_is_linked_to_each(receiver: Receiver) -> None:
    """It has a trace of its own, as OpenTelemetry's conventions for messaging demand. A malformed one is ignored."""
    others = [f"00-{number:032x}-{number:016x}-01" for number in (1, 2)]
    with tracing.running("vitrina-test", on=True), tracing.span("digest", "CLIENT", {}, causes=[*others, None, "x"]):
        with pytest.raises(ValueError, match="canary"), tracing.span("inner", "CLIENT", {}):
            raise ValueError("canary-message")
        tracing.fail("503")
    [digest], [inner] = receiver.named("digest"), receiver.named("inner")
    assert [int(link.trace_id.hex(), 16) for link in digest.links] == [1, 2]
    assert digest.trace_id.hex().lstrip("0") not in {"1", "2"}
    assert inner.parent_span_id == digest.span_id
    assert inner.status.code == digest.status.code == inner.status.STATUS_CODE_ERROR
    assert b"ValueError" in receiver.bodies
    assert b"canary" not in receiver.bodies
    assert "vitrina-test" in receiver.services
    assert tracing.trace_id() is None


async def test_a_receiver_that_never_responds_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what is traced nor, for more than a moment, the end of the process; what exceeds the queue is dropped."""
    monkeypatch.setattr(spans, "_STOP_TIMEOUT", 0.2)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with tracing.running("vitrina-test", on=True):
            for _ in range(200):
                with tracing.span("work", "CLIENT", {}):
                    pass
            assert time.monotonic() - began < 1
            began = time.monotonic()
        assert time.monotonic() - began < 1
        for thread in threading.enumerate():  # Here they outlive their process, and log into other tests.
            if thread.name in {"last-spans", "OtelBatchSpanRecordProcessor"}:
                thread.join(30)
