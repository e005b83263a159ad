"""`vitrina queue`."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.cli.command import Vitrina, settings
from tests.store import samples
from vitrina.aws import connect_queue
from vitrina.bootstrap import Services, open_queue
from vitrina.clock import now
from vitrina.config import Settings
from vitrina.domain.notices import PriceChanged
from vitrina.queue.channel import Channel, Message
from vitrina.queue.notices import NoticeQueue


@pytest.fixture
def vitrina(ministack: str, table_name: str) -> Vitrina:
    """The command line with a unique queue name."""
    queue = {"VITRINA_QUEUE_ENDPOINT": ministack, "VITRINA_QUEUE_NAME": table_name}
    return Vitrina(**settings(ministack, table_name), **queue)


@pytest.fixture
def name(table_name: str) -> str:
    """The name of the queue."""
    return table_name


def test_create_makes_the_queues_once(vitrina: Vitrina, name: str) -> None:
    """The output lists the changes, or says that there were none."""
    assert vitrina("queue", "create").output == f"made {name}-dead.fifo\nmade {name}.fifo\n"
    assert vitrina("queue", "create").output == f"queue {name} is up to date\n"
    again = vitrina("queue", "create", VITRINA_QUEUE_VISIBILITY_TIMEOUT="90")
    assert (again.exit_code, again.output) == (0, f"set VisibilityTimeout of {name}.fifo\n")


def test_without_a_queue_the_commands_end_with_1(vitrina: Vitrina) -> None:
    for command in (("status",), ("dlq", "list"), ("dlq", "replay"), ("dlq", "purge", "--yes")):
        done = vitrina("queue", *command)
        assert done.exit_code == 1
        assert done.output.startswith("Error: There is no such queue: check VITRINA_QUEUE_NAME")
        assert "\nAn error occurred" in done.output


def test_status_counts(vitrina: Vitrina, name: str) -> None:
    vitrina("queue", "create")
    assert vitrina("queue", "status").output.split() == (
        f"queue {name}.fifo visible 0 in flight 0 delayed 0 dead letters 0".split()
    )
    assert json.loads(vitrina("queue", "status", "--json").output) == {
        "queue": f"{name}.fifo",
        "visible": 0,
        "in_flight": 0,
        "delayed": 0,
        "dead_letters": {"visible": 0, "in_flight": 0, "delayed": 0},
    }


def _settings(vitrina: Vitrina) -> Settings:
    fields = {key.removeprefix("VITRINA_").lower(): value for key, value in vitrina.environment.items()}
    return Settings.model_validate(fields)


async def _park(vitrina: Vitrina, *bodies: str) -> None:
    chosen = _settings(vitrina)
    async with connect_queue(chosen) as client:
        queue = NoticeQueue(client, name=chosen.queue_name)
        await queue.dead.send([Message(body=body, group=body[:9], deduplication_id=body[:9]) for body in bodies])


def test_dead_letters_are_listed_replayed_and_purged(vitrina: Vitrina) -> None:
    """The body is in the JSON output only."""
    vitrina("queue", "create")
    unread = '{"event": "product.change_unread", "v": 1, "product_id": "p", "version": 3, "reason": "x"}'
    asyncio.run(_park(vitrina, "strange canary", unread, "third"))
    listed = vitrina("queue", "dlq", "list").output.splitlines()
    assert listed[-1] == "3 dead letters"
    assert "canary" not in "".join(listed)
    assert "received 1 times  unreadable: message: json_invalid" in listed[0]
    assert "ChangeUnread p-3" in listed[1]
    letters = json.loads(vitrina("queue", "dlq", "list", "--json").output)["dead_letters"]
    assert [letter["body"] for letter in letters] == ["strange canary", unread, "third"]

    one = vitrina("queue", "dlq", "replay", "--id", letters[1]["id"])
    assert one.output.splitlines()[-1] == "1 dead letters sent again"
    nobody = vitrina("queue", "dlq", "replay", "--id", "nobody")
    assert (nobody.exit_code, nobody.output) == (
        1,
        "Error: there is no dead letter nobody, or it is hidden behind others of its product\n",
    )
    assert vitrina("queue", "dlq", "purge", typed="n\n").exit_code == 1
    assert vitrina("queue", "dlq", "replay").output.splitlines()[-1] == "2 dead letters sent again"
    asyncio.run(_park(vitrina, "fourth"))
    assert vitrina("queue", "dlq", "purge", typed="y\n").output.endswith("all dead letters are deleted\n")
    counts = json.loads(vitrina("queue", "status", "--json").output)
    assert (counts["visible"], counts["dead_letters"]["visible"]) == (3, 0)


def test_price_changes_of_the_last_hours_are_sent_again_from_the_table(
    vitrina: Vitrina, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a relay would have sent them: once it has lost them, the stream has them no longer."""
    vitrina("table", "create")
    vitrina("queue", "create")

    async def change() -> None:
        async with Services(_settings(vitrina)) as services:
            minutes = (now() - samples.START) / timedelta(minutes=1)
            lamp = await samples.create(services.product_store, created_at=now() - timedelta(hours=5))
            for price, ago in (("1.00", 240), ("2.00", 60)):
                lamp = await samples.edit(services.product_store, lamp, price=Decimal(price), minutes=minutes - ago)
            await samples.edit(services.product_store, lamp, name="Lantern", minutes=minutes - 30)

    async def received() -> list[PriceChanged]:
        async with open_queue(_settings(vitrina)) as queue:
            events = [letter.event for letter in await queue.main.receive(wait=5)]
        return [event for event in events if isinstance(event, PriceChanged)]

    asyncio.run(change())
    assert vitrina("queue", "resend", "--hours", "2").output == "1 price changes sent again\n"
    [event] = asyncio.run(received())
    assert (event.old_price, event.price, event.version) == ("1.00", "2.00", 3)
    assert (event.old_currency, event.currency, event.changed_by, event.request_id) == ("USD", "USD", "luis", "test")

    send = Channel.send

    async def refusing(self: Channel, messages: Sequence[Message], **options: Any) -> list[Message]:  # noqa: ANN401
        """Send as a queue that refuses the newer change for good."""
        refused = [each for each in messages if each.deduplication_id.endswith("-3") and "-dead" not in self.name]
        await send(self, [each for each in messages if each not in refused], **options)
        return refused

    monkeypatch.setattr(Channel, "send", refusing)
    done = vitrina("queue", "resend", "--hours", "5", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (1, {"sent": 1, "refused": [event.id]})
    assert done.stderr == f"Error: the queue refused these, which are dead letters now: {event.id}\n"
    assert f"ChangeUnread {event.id}" in vitrina("queue", "dlq", "list").output
    long_ago = vitrina("queue", "resend", "--hours", str(91 * 24))
    assert (long_ago.exit_code, long_ago.stderr) == (
        2,
        "Error: --hours: inboxes know notices for 90 days, and then take them anew\n",
    )
