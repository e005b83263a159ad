"""Every admin gets each price change exactly once (R9) when workers are killed or suspended or a message is invalid.

The seed is printed; CHAOS_SEED repeats the random choices of a run, though not the timing of the machine.
"""

import asyncio
from collections import defaultdict

import pytest

from tests.chaos.conftest import ADMINS, KILLS, RATE, SECONDS, Installation
from tests.chaos.stack import Worker, environment, until, working
from tests.cli.command import Vitrina
from vitrina import aws
from vitrina.clock import now
from vitrina.domain.users import User
from vitrina.queue.channel import Channel, Message
from vitrina.queue.notices import NoticeQueue
from vitrina.queue.provisioning import ensure
from vitrina.store import keys
from vitrina.store.items import ChangeItem
from vitrina.store.operations import Put, Update

pytestmark = pytest.mark.slow


async def check_all_were_told(installation: Installation) -> None:
    """Check that every inbox has each change by others exactly once, and that each entry was mailed."""
    await installation.settle()
    for admin in installation.admins:
        entries = await installation.inbox(admin)
        told = [(entry.product_id, entry.version) for entry in entries]
        assert len(told) == len(set(told)), "an entry is there twice"
        assert set(told) == installation.load.told_to(admin)
    for admin in installation.admins[:-1]:
        check_mails(installation, admin)
    assert not [mail for mail in installation.mail.mails if mail.to == installation.admins[-1].email]


def check_mails(installation: Installation, admin: User) -> None:
    """Check that each notice is in one mail, and that only a killed sender can have sent a mail twice."""
    copies = defaultdict(list)
    for mail in installation.mail.mails:
        if mail.to == admin.email:
            copies[mail.message_id].append(mail)
    assert sum(same[0].notices for same in copies.values()) == len(installation.load.told_to(admin))
    for same in copies.values():
        attempts = [mail.attempt for mail in same]
        assert len(attempts) == len(set(attempts)), "two senders had one mail at the same time"


async def test_killed_workers_lose_and_duplicate_nothing(installation: Installation) -> None:
    """Relays and notifiers get SIGKILL at random times while prices change."""
    dice = installation.dice
    workers = [installation.worker(command) for command in ("relay", "relay", "notifier", "notifier")]
    with working(*workers):
        load = asyncio.create_task(installation.load.run(seconds=SECONDS, rate=RATE, dice=dice))
        for _ in range(KILLS):
            await asyncio.sleep(dice.uniform(0, 2 * SECONDS / KILLS))
            victim = dice.choice(workers)
            victim.kill()
            victim.start()
        await load
        await check_all_were_told(installation)
        assert installation.load.number == int(SECONDS * RATE)


async def test_a_relay_suspended_past_its_lease_duplicates_nothing(installation: Installation) -> None:
    """Another relay takes its shards over; the records it still holds when it resumes are not delivered twice."""
    if (
        SECONDS * RATE * ADMINS < 1_000
    ):  # With few notices the digests would take the longest, with many the single mails.
        installation.change_settings(notices_before_digest=1_000)
    first, second = installation.worker("relay"), installation.worker("relay")
    notifier = installation.worker("notifier")
    with working(first, notifier):
        load = asyncio.create_task(installation.load.run(seconds=SECONDS, rate=RATE, dice=installation.dice))
        await _reads(first)
        await asyncio.sleep(SECONDS / 4)
        first.freeze()
        with working(second):
            await _reads(second)
            first.wake()
            await load
            await check_all_were_told(installation)
            assert "shard_lease_lost" in first.log() or "shard_lease_taken_over" in first.log()
            assert second.stop() == 0


async def test_invalid_messages_become_dead_letters_and_block_no_other(installation: Installation) -> None:
    """One has an unknown version, the other an incomplete change, which is delivered once it is repaired."""
    settings = installation.change_settings(queue_max_receives=3, notices_before_digest=1_000)
    broken, *others = installation.load.products
    actor = installation.load.actors[0]
    change = _change(broken, actor)
    installation.load.products = others
    async with aws.connect_queue(settings) as client:
        await ensure(client, settings)
        queue = NoticeQueue(client, name=settings.queue_name)
        with working(installation.worker("relay"), installation.worker("notifier")):
            strange = '{"event": "product.price_changed", "v": 99}'
            await queue.main.send([Message(body=strange, group=others[0], deduplication_id="strange")])
            half = [ChangeItem.type.set(ChangeItem), ChangeItem.old_price.set("1.00")]
            await installation.table.update(Update(keys.change(broken, change.version), half))
            await installation.load.run(seconds=3, rate=RATE, dice=installation.dice)
            await until(lambda: _holds(queue.dead, 2), seconds=90)
            await check_all_were_told(installation)
            assert broken in await vitrina(installation, "queue", "dlq", "list")
            # Repair the item; the filter passes no stream record of this write.
            await installation.table.put(Put(change))
            installation.load.moved.setdefault(actor.id, []).append((broken, change.version))
            await vitrina(installation, "queue", "dlq", "replay")
            await check_all_were_told(installation)
            await until(lambda: _holds(queue.dead, 1), seconds=90)
            await vitrina(installation, "queue", "dlq", "purge", "--yes")
            await until(lambda: _holds(queue.dead, 0), seconds=10)


def _change(product_id: str, by: User) -> ChangeItem:
    """Return the item of a price change."""
    version = 1_000
    return ChangeItem.keyed(
        keys.change(product_id, version),
        product_id=product_id,
        version=version,
        action="updated",
        at=now(),
        by=by.id,
        request_id="broken",
        sku="LAMP",
        name="Lamp",
        price="2.00",
        currency="USD",
        changes={},
        old_price="1.00",
        old_currency="USD",
    )


async def vitrina(installation: Installation, *arguments: str) -> str:
    """Run a command as an operator does and return its output."""
    result = await asyncio.to_thread(Vitrina(**environment(installation.settings)), *arguments)
    assert result.exit_code == 0, result.output
    return result.output


async def _reads(relay: Worker) -> None:
    await until(lambda: asyncio.sleep(0, "shard_lease_acquired" in relay.log()), seconds=60)


async def _holds(channel: Channel, number: int) -> bool:
    depth = await channel.depth()
    return depth.visible + depth.in_flight == number
