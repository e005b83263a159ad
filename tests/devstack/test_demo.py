"""The demo's views look like those of a shop, so that reports of them make sense; its command makes the accounts."""

import asyncio
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta

from click.testing import CliRunner

from scripts.devstack import demo
from scripts.devstack.demo import views_of_day
from tests.service import drop_table, make_table, settings_for
from vitrina.bootstrap import Services
from vitrina.domain.views import View, midnight_ms
from vitrina.ids import new_id

DAY = date(2026, 11, 24)
MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)


def views(until: datetime) -> list[View]:
    """Return the views of a day until a time, ten times."""
    product_ids = [new_id() for _ in range(20)]
    chance = random.Random(1)
    return [view for _ in range(10) for view in views_of_day(product_ids, DAY, b"secret", chance, until=until)]


def hours(views: list[View]) -> Counter[int]:
    """Count views by hour of the day."""
    return Counter((view.at_ms - midnight_ms(DAY)) // 3_600_000 for view in views)


def test_people_come_in_the_evening_and_bots_at_any_hour() -> None:
    seen = views(MIDNIGHT + timedelta(days=1))
    people = hours([view for view in seen if not view.bot])
    assert set(people) == set(range(24))
    assert max(people, key=people.__getitem__) in {19, 20, 21}
    assert people[0] < people.total() / 24 / 2
    bots = hours([view for view in seen if view.bot])
    assert set(bots) == set(range(24))
    assert max(bots.values()) < 2 * bots.total() / 24


def test_a_day_that_has_just_begun_has_few_views() -> None:
    """They are not a whole day's views within half an hour, which would be a peak at midnight in each report."""
    seen = views(MIDNIGHT + timedelta(minutes=30))
    assert 0 < len(seen) < len(views(MIDNIGHT + timedelta(days=1))) / 20
    assert set(hours(seen)) == {0}


async def test_the_command_makes_the_accounts_once(engine: str) -> None:
    """A preview of a pull request is told the story after each of its deployments."""
    settings = settings_for(engine)
    await make_table(settings)
    environment = {
        "VITRINA_TABLE_NAME": settings.table_name,
        "VITRINA_WRITER_ENDPOINT": engine,
        "VITRINA_BCRYPT_COST": "4",
    }
    for _ in range(2):
        done = await asyncio.to_thread(CliRunner().invoke, demo.main, ["--accounts"], env=environment)
        assert done.exit_code == 0, done.output
        assert demo.accounts() in done.output
    async with Services(settings) as services:
        page = await services.accounts.page(role=None, limit=10, start=None)
    assert {user.email for user in page.items} == {demo.SUPER_ADMIN[0], *(email for email, _, _ in demo.ACCOUNTS)}
    await drop_table(settings)
