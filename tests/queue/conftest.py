"""Fixtures of the queue tests: a queue of its own for each, on MiniStack."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from vitrina.aws import connect_queue
from vitrina.config import Settings
from vitrina.queue.notices import NoticeQueue
from vitrina.queue.provisioning import ensure

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient


@pytest.fixture
def settings(ministack: str, table_name: str) -> Settings:
    """Settings for a queue of its own."""
    return Settings(
        environment="development",
        queue_name=table_name,
        queue_endpoint=ministack,
        queue_max_receives=2,
        signing_keys="test:signing-key-of-the-tests-0123456789",
        secret_key="secret-key-of-the-tests-0123456789",
        connect_timeout=10,
    )


@pytest.fixture
async def sqs(settings: Settings) -> "AsyncIterator[SQSClient]":
    async with connect_queue(settings) as client:
        yield client


@pytest.fixture
async def queue(sqs: "SQSClient", settings: Settings, monkeypatch: pytest.MonkeyPatch) -> NoticeQueue:
    """An empty queue; MiniStack shows all messages at once."""
    monkeypatch.setattr("vitrina.queue.notices._WAIT", 0.0)
    await ensure(sqs, settings)
    return NoticeQueue(sqs, name=settings.queue_name)
