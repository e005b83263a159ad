"""The notifier end to end: from a message on the queue to inboxes and mail (R9)."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.devstack.mails import caught_mails
from tests.mail.samples import notice
from tests.store.samples import HASH, user
from tests.workers.conftest import ON_AWS
from vitrina.aws import connect_queue
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.domain.notices import PriceChanged
from vitrina.domain.users import Role, User
from vitrina.errors import TableUnavailable
from vitrina.ids import new_id
from vitrina.queue.channel import Message
from vitrina.queue.messages import encode
from vitrina.queue.notices import NoticeQueue
from vitrina.queue.provisioning import ensure
from vitrina.services.notifications.mailer import Mailer
from vitrina.store import keys
from vitrina.store.table import Table
from vitrina.store.users import UserStore
from vitrina.workers.notifier import notifier, open_parts, send_mail


@pytest.fixture
def with_mail(settings: Settings, tmp_path: Path) -> Settings:
    """Settings that write mail to a folder and make poison a dead letter after two receives."""
    caught = {"mail_transport": "directory", "mail_directory": str(tmp_path), "queue_max_receives": 2}
    return settings.model_copy(update=caught)


@pytest.fixture
async def queue(with_mail: Settings) -> AsyncIterator[NoticeQueue]:
    """An empty queue."""
    async with connect_queue(with_mail) as sqs:
        await ensure(sqs, with_mail)
        yield NoticeQueue(sqs, name=with_mail.queue_name)


async def admin(table: Table, **fields: Any) -> User:  # noqa: ANN401 - each field has its own type
    made = user(**{"role": Role.ADMIN} | fields)
    await UserStore(table).create(made, HASH)
    return made


def change(by: User, number: int = 1) -> PriceChanged:
    """A price change by this admin."""
    return notice(number, changed_by=by.id, product_id=new_id()).change


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 - the condition depends on another process or on SQS
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[asyncio.Task[None]]:
    """Run a notifier, and stop it as a signal does."""
    stop = asyncio.Event()
    task = asyncio.create_task(notifier(settings, stop))
    try:
        yield task
    finally:
        stop.set()
        await task


@ON_AWS
async def test_a_message_reaches_every_other_admin_and_their_mail(
    table: Table, queue: NoticeQueue, with_mail: Settings
) -> None:
    """Once each although it is sent twice. The actor gets none, and neither does an account with the role user."""
    ana, luis, sol = await admin(table), await admin(table), await admin(table, role=Role.SUPER_ADMIN)
    await admin(table, role=Role.USER)
    # A change of now, for which the notifier waits until the index shows the accounts made above.
    event = replace(change(ana), changed_at=now())
    await queue.send([event])
    await queue.main.send([Message(body=encode(event), group=event.product_id, deduplication_id="again")])
    folder = Path(with_mail.mail_directory)

    async def all_there() -> bool:
        depth = await queue.main.depth()
        return len(caught_mails(folder, most=9)) == 2 and depth.visible + depth.in_flight == 0

    async with running(with_mail):
        await until(all_there)
    for recipient in (luis, sol):
        assert await table.get(keys.notice(recipient.id, event.notice_id), consistent=True)
    assert not await table.get(keys.notice(ana.id, event.notice_id), consistent=True)
    assert {mail.recipient.split("<")[1] for mail in caught_mails(folder, most=9)} == {
        f"{luis.email}>",
        f"{sol.email}>",
    }


async def test_poison_becomes_a_dead_letter_and_blocks_no_other_group(
    table: Table, queue: NoticeQueue, with_mail: Settings
) -> None:
    ana, luis = await admin(table), await admin(table)
    await queue.main.send([Message(body="garbage", group="g", deduplication_id=str(uuid.uuid4()))])
    event = change(ana)
    await queue.send([event])

    async def parted() -> bool:
        entry = await table.get(keys.notice(luis.id, event.notice_id), consistent=True)
        return entry is not None and (await queue.dead.depth()).visible == 1

    async with running(with_mail):
        await until(parted)
    [letter] = await queue.dead.receive(wait=0)
    assert letter.body == "garbage"


async def test_due_mail_is_polled_after_new_notices_and_at_intervals() -> None:
    """Also after a poll during a table outage, and at once while more mail is due."""
    stop, news = asyncio.Event(), asyncio.Event()
    looks: list[bool] = []
    answers: list[bool | Exception] = [True, False, TableUnavailable(), False]

    class Sender(Mailer):
        def __init__(self) -> None:
            """Take no dependencies."""

        async def send_due(self, *, go_on: Callable[[], bool] = lambda: True) -> bool:
            looks.append(go_on())
            answer = answers.pop(0) if answers else False
            if len(looks) == 5:
                news.set()
            if len(looks) == 8:
                stop.set()
            if isinstance(answer, Exception):
                raise answer
            return answer

    await asyncio.wait_for(send_mail(Sender(), stop, news, idle=0.05, soon=0.01), 10)
    assert looks == [True] * 8
    assert not news.is_set()


@pytest.mark.usefixtures("table")
async def test_the_probe_detects_a_table_outage(with_mail: Settings) -> None:
    async with open_parts(with_mail) as parts:
        await parts.services.probe(consistent=True)
    nowhere = {"writer_endpoint": "http://127.0.0.1:9", "connect_timeout": 0.1}
    async with open_parts(with_mail.model_copy(update=nowhere)) as parts:
        with pytest.raises(TableUnavailable):
            await parts.services.probe(consistent=True)
