"""`vitrina queue`: the queue of price changes and its dead letters (R9)."""

import json
from dataclasses import asdict
from typing import Any

import click

from vitrina.aws import connect_queue
from vitrina.bootstrap import open_queue
from vitrina.cli.running import CommandFailed, load_settings, run
from vitrina.config import Settings
from vitrina.queue import dead_letters, provisioning
from vitrina.queue.channel import Received
from vitrina.queue.messages import MessageUnreadable


@click.group()
def queue() -> None:
    """Create and monitor the queue VITRINA_QUEUE_NAME."""


@queue.command()
def create() -> None:
    """Create the queue and its dead-letter queue, or bring older ones up to date; safe to run again."""
    run(_create(load_settings()))


@queue.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(*, as_json: bool) -> None:
    """Count the messages that wait, those in flight and the dead letters."""
    run(_status(load_settings(), as_json=as_json))


@queue.group()
def dlq() -> None:
    """Manage the dead letters: messages that failed too often, and changes that could not be read."""


@dlq.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON Lines, with the body of each message.")
def list_letters(*, as_json: bool) -> None:
    """List the dead letters; SQS shows about ten per product, the rest after those are gone."""
    run(_list(load_settings(), as_json=as_json))


@dlq.command()
@click.option("--id", "letter_id", metavar="ID", help="Replay one dead letter, by its ID in `list`.")
def replay(letter_id: str | None) -> None:
    """Send the dead letters to the queue again, once the cause is fixed."""
    run(_replay(load_settings(), letter_id=letter_id))


@dlq.command()
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def purge(*, yes: bool) -> None:
    """Delete all dead letters, permanently."""
    if not yes:
        click.confirm("Delete all dead letters?", abort=True)
    run(_purge(load_settings()))


async def prepare(settings: Settings) -> list[str]:
    """Create or update the queues; returns a line per change. Raises QueueUnavailable."""
    async with connect_queue(settings) as client:
        return await provisioning.ensure(client, settings)


async def _create(settings: Settings) -> None:
    for line in await prepare(settings) or [f"queue {settings.queue_name} is up to date"]:
        click.echo(line)


async def _status(settings: Settings, *, as_json: bool) -> None:
    async with open_queue(settings) as notices:
        depth, dead = await notices.main.depth(), await notices.dead.depth()
    if as_json:
        click.echo(json.dumps({"queue": notices.main.name} | asdict(depth) | {"dead_letters": asdict(dead)}))
        return
    click.echo(f"{'queue':<16}{notices.main.name}")
    click.echo(f"{'visible':<16}{depth.visible}")
    click.echo(f"{'in flight':<16}{depth.in_flight}")
    click.echo(f"{'delayed':<16}{depth.delayed}")
    click.echo(f"{'dead letters':<16}{dead.visible + dead.in_flight + dead.delayed}")


async def _list(settings: Settings, *, as_json: bool) -> None:
    async with open_queue(settings) as notices:
        letters = await dead_letters.letters(notices)
    for letter in letters:
        click.echo(json.dumps(_as_json(letter)) if as_json else _line(letter))
    if not as_json:
        click.echo(f"{len(letters)} dead letters")


async def _replay(settings: Settings, *, letter_id: str | None) -> None:
    async with open_queue(settings) as notices:
        sent = await dead_letters.replay(notices, letter_id=letter_id)
    if letter_id is not None and not sent:
        raise CommandFailed(f"there is no dead letter {letter_id}, or it is hidden behind others of its product")
    for letter in sent:
        click.echo(_line(letter))
    click.echo(f"{len(sent)} dead letters sent again")


async def _purge(settings: Settings) -> None:
    async with open_queue(settings) as notices:
        await dead_letters.purge(notices)
    click.echo("all dead letters are deleted")


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
