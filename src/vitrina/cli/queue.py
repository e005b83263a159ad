"""`vitrina queue`: the queue of price changes and its dead letters (R9)."""

from dataclasses import asdict
from typing import Any

import click

from vitrina.aws import connect_queue
from vitrina.bootstrap import Services, open_queue
from vitrina.cli import example
from vitrina.cli.running import PATIENCE, CommandFailed, UsageError, json_option, print_result, with_settings
from vitrina.config import Settings
from vitrina.queue import provisioning
from vitrina.queue.channel import Received
from vitrina.queue.messages import MessageUnreadable
from vitrina.workers.relay_shard import Changes, deliver


@click.group()
def queue() -> None:
    """Create and monitor the queue VITRINA_QUEUE_NAME."""


async def prepare(settings: Settings) -> list[str]:
    """Create or update the queues; returns a line per change. Raises QueueUnavailable."""
    async with connect_queue(settings) as client:
        return await provisioning.ensure(client, settings)


@queue.command(epilog=example("vitrina queue create"))
@json_option
@with_settings
async def create(settings: Settings, *, as_json: bool) -> None:
    """Create the queue and its dead-letter queue, or bring older ones up to date; safe to run again."""
    changes = await prepare(settings)
    text = "\n".join(changes or [f"queue {settings.queue_name} is up to date"])
    print_result({"queue": settings.queue_name, "changes": changes}, text, as_json=as_json)


@queue.command(epilog=example("vitrina queue status --json"))
@json_option
@with_settings
async def status(settings: Settings, *, as_json: bool) -> None:
    """Count the messages that wait, those in flight and the dead letters."""
    async with open_queue(settings) as notices:
        depth, dead = await notices.main.depth(), await notices.dead.depth()
    result = {"queue": notices.main.name} | asdict(depth) | {"dead_letters": asdict(dead)}
    counts = result | {"dead_letters": sum(asdict(dead).values())}
    text = "\n".join(f"{name.replace('_', ' '):<16}{value}" for name, value in counts.items())
    print_result(result, text, as_json=as_json)


@queue.command(epilog=example("vitrina queue resend --hours 30 --json"))
@click.option("--hours", type=click.IntRange(min=1), required=True, help="How many hours back.")
@json_option
@with_settings
async def resend(settings: Settings, hours: int, *, as_json: bool) -> None:
    """Send the price changes of the last hours to the queue again, from the table, once a relay has lost some.

    An inbox that has the notice already does not change; an admin made since then gets it too. What the queue refuses
    becomes a dead letter, and the exit code is 1.
    """
    if hours > settings.notice_retention_days * 24:
        raise UsageError(
            f"--hours: inboxes know notices for {settings.notice_retention_days} days, and then take them anew"
        )
    sent, refused = 0, list[str]()
    async with Services(settings, patient=PATIENCE) as services, open_queue(settings) as notices:
        async for events in services.change_feed.price_changes(hours=hours):
            sent += len(events)
            refused += [letter.id for letter in await deliver(Changes(events=events), notices)]
    sent -= len(refused)
    print_result({"sent": sent, "refused": refused}, f"{sent} price changes sent again", as_json=as_json)
    if refused:
        raise CommandFailed(f"the queue refused these, which are dead letters now: {', '.join(refused)}")


@queue.group()
def dlq() -> None:
    """Manage the dead letters: messages that failed too often, and changes that could not be read."""


@dlq.command(name="list", epilog=example("vitrina queue dlq list"))
@json_option
@with_settings
async def list_letters(settings: Settings, *, as_json: bool) -> None:
    """List the dead letters, in JSON with their bodies; SQS shows about ten per product, the rest after those."""
    async with open_queue(settings) as notices:
        letters = await notices.dead_letters()
    text = "\n".join([*map(_line, letters), f"{len(letters)} dead letters"])
    print_result({"dead_letters": [*map(_as_json, letters)]}, text, as_json=as_json)


@dlq.command(epilog=example("vitrina queue dlq replay"))
@click.option("--id", "letter_id", metavar="ID", help="Replay one dead letter, by its ID in `list`.")
@json_option
@with_settings
async def replay(settings: Settings, letter_id: str | None, *, as_json: bool) -> None:
    """Send the dead letters to the queue again, once the cause is fixed."""
    async with open_queue(settings) as notices:
        sent = await notices.replay(letter_id=letter_id)
    if letter_id is not None and not sent:
        raise CommandFailed(f"there is no dead letter {letter_id}, or it is hidden behind others of its product")
    text = "\n".join([*map(_line, sent), f"{len(sent)} dead letters sent again"])
    print_result({"replayed": [*map(_as_json, sent)]}, text, as_json=as_json)


def _confirm(_: click.Context, __: click.Parameter, yes: bool) -> None:  # noqa: FBT001 - click's signature
    if not yes:
        click.confirm("Delete all dead letters?", abort=True, err=True)


@dlq.command(epilog=example("vitrina queue dlq purge --yes"))
@click.option("--yes", is_flag=True, expose_value=False, callback=_confirm, help="Do not ask for confirmation.")
@json_option
@with_settings
async def purge(settings: Settings, *, as_json: bool) -> None:
    """Delete all dead letters, permanently."""
    async with open_queue(settings) as notices:
        await notices.dead.purge()
    print_result({"purged": True}, "all dead letters are deleted", as_json=as_json)


def _line(letter: Received) -> str:
    return f"{letter.id}  {letter.sent_at:%Y-%m-%dT%H:%M:%SZ}  received {letter.receives} times  {_summary(letter)}"


def _summary(letter: Received) -> str:
    try:
        event = letter.event
    except MessageUnreadable as error:
        return f"unreadable: {error}"
    return f"{type(event).__name__} {event.id}"


def _as_json(letter: Received) -> dict[str, Any]:
    return {
        "id": letter.id,
        "product_id": letter.group,
        "sent_at": letter.sent_at.isoformat(),
        "receives": letter.receives,
        "summary": _summary(letter),
        "body": letter.body,
    }
