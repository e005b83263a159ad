"""A price change reaches every admin exactly once (R9), whatever dies, sleeps or goes bad on its way.

The seed is printed; CHAOS_SEED repeats a run, as far as the machine's own chance allows.
"""

import asyncio
from collections import defaultdict

from click.testing import CliRunner

from tests.chaos.conftest import KILLS, RATE, SECONDS, Installation
from tests.chaos.stack import Worker, environment, until, working
from vitrina import aws
from vitrina.__main__ import main
from vitrina.domain.users import User
from vitrina.queue.channel import Channel, Message
from vitrina.queue.creation import ensure
from vitrina.queue.notices import NoticeQueue


async def check_all_were_told(installation: Installation) -> None:
    """Every inbox has each change of others once, and every one of them was mailed."""
    await installation.settle()
    for admin in installation.admins:
        entries = await installation.inbox(admin)
        told = [(entry.product_id, entry.version) for entry in entries]
        assert len(told) == len(set(told)), "an entry is there twice"
        assert set(told) == installation.storm.told_to(admin)
    for admin in installation.admins[:-1]:
        check_mails(installation, admin)
    assert not [mail for mail in installation.mail.mails if mail.to == installation.admins[-1].email]


def check_mails(installation: Installation, admin: User) -> None:
    """Each notice is in one mail, and a mail that came again is one whose sender may have died after sending it."""
    copies = defaultdict(list)
    for mail in installation.mail.mails:
        if mail.to == admin.email:
            copies[mail.message_id].append(mail)
    assert sum(same[0].notices for same in copies.values()) == len(installation.storm.told_to(admin))
    for same in copies.values():
        attempts = [mail.attempt for mail in same]
        assert len(attempts) == len(set(attempts)), "two senders had one mail at the same time"


async def test_nothing_is_lost_or_doubled_whoever_is_killed(installation: Installation) -> None:
    """`kill -9` of relays and notifiers at random moments while prices move."""
    dice = installation.dice
    workers = [installation.worker(command) for command in ("relay", "relay", "notifier", "notifier")]
    with working(*workers):
        storm = asyncio.create_task(installation.storm.blow(seconds=SECONDS, rate=RATE, dice=dice))
        for _ in range(KILLS):
            await asyncio.sleep(dice.uniform(0, 2 * SECONDS / KILLS))
            victim = dice.choice(workers)
            victim.kill()
            victim.start()
        await storm
        await check_all_were_told(installation)
        assert installation.storm.number == int(SECONDS * RATE)


async def test_a_relay_that_sleeps_past_its_lease_does_no_harm(installation: Installation) -> None:
    """Another takes its shards over; what it still holds when it wakes up reaches nobody a second time."""
    first, second = installation.worker("relay"), installation.worker("relay")
    notifier = installation.worker("notifier")
    with working(first, notifier):
        storm = asyncio.create_task(installation.storm.blow(seconds=SECONDS, rate=RATE, dice=installation.dice))
        await _reads(first)
        await asyncio.sleep(SECONDS / 4)
        first.freeze()
        with working(second):
            await _reads(second)
            first.wake()
            await storm
            await check_all_were_told(installation)
            assert "lease_lost" in first.log() or "lease_taken_by_another" in first.log()
            assert second.stop() == 0


async def test_a_message_that_nobody_can_handle_holds_up_nobody_else(installation: Installation) -> None:
    """It goes to the dead letters after its tries; once its cause is gone, it is replayed and tells everybody."""
    installation.settings = installation.settings.model_copy(update={"queue_max_receives": 3})
    product_id, absent = installation.storm.products[0], 2
    unread = f'{{"event": "product.change_unread", "v": 1, "product_id": "{product_id}", "version": {absent}}}'
    async with aws.connect_queue(installation.settings) as client:
        await ensure(client, installation.settings)
        queue = NoticeQueue(client, name=installation.settings.queue_name)
        await queue.channel.send([Message(body=unread, group=product_id, deduplication_id="poison")])
        relay, notifier = installation.worker("relay"), installation.worker("notifier")
        others = installation.storm.products[1:]
        installation.storm.products[:] = others
        with working(relay, notifier):
            await installation.storm.blow(seconds=2, rate=RATE, dice=installation.dice)
            await until(lambda: _holds(queue.dead, 1), seconds=60)
            await check_all_were_told(installation)
            # Its cause: the change is not there. Now it comes to be, and is told by the stream or by the replay, once.
            installation.storm.products[:] = [product_id]
            await installation.storm.blow(seconds=1 / RATE, rate=RATE, dice=installation.dice)
            listed = vitrina(installation, "queue", "dlq", "list")
            assert product_id in listed
            vitrina(installation, "queue", "dlq", "replay")
            await check_all_were_told(installation)
            await until(lambda: _holds(queue.channel, 0), seconds=30)
            assert await _holds(queue.dead, 0)


def vitrina(installation: Installation, *arguments: str) -> str:
    """Run a command as an operator does; returns what it prints."""
    result = CliRunner().invoke(main, arguments, env=environment(installation.settings))
    assert result.exit_code == 0, result.output
    return result.output


async def _reads(relay: Worker) -> None:
    await until(lambda: asyncio.sleep(0, "lease_taken" in relay.log()), seconds=60)


async def _holds(channel: Channel, number: int) -> bool:
    depth = await channel.depth()
    return depth.visible + depth.in_flight == number
