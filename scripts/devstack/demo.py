"""Demo data: four accounts, a catalogue and two weeks of views, written by the services of production.

docker-compose.yml runs this file as a command, from the image and a mounted folder; the workflow `preview` with
`--accounts`.
"""

import asyncio
import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final

import click
from rich.progress import Progress

from vitrina import clock
from vitrina.api.openapi.components import Demo
from vitrina.aws import connect
from vitrina.bootstrap import Services
from vitrina.cli.progress import progress
from vitrina.cli.queue import prepare as prepare_queue
from vitrina.cli.running import load_settings, run
from vitrina.cli.table import prepare as prepare_table
from vitrina.config import Settings
from vitrina.domain.products import ProductDraft
from vitrina.domain.reports import is_closed
from vitrina.domain.users import Role
from vitrina.domain.views import View, midnight_ms, visitor_hash, visitor_key
from vitrina.errors import EmailTaken
from vitrina.services.accounts.accounts import UserDraft
from vitrina.services.concurrency import gather
from vitrina.services.products.cache import NoCache
from vitrina.services.products.products import Products
from vitrina.services.views.bots import is_bot
from vitrina.store import keys
from vitrina.store.schema import end_stream, ensure

PASSWORD: Final = "blue-lantern-2026"  # noqa: S105 - public: printed at every start
SUPER_ADMIN: Final = ("super@example.com", "Sol Supervisor")
ACCOUNTS: Final = (
    ("ana@example.com", "Ana Admin", Role.ADMIN),
    ("luis@example.com", "Luis Admin", Role.ADMIN),
    ("uma@example.com", "Uma User", Role.USER),
)
DOCUMENT: Final = Demo(
    note=f"""

This is the demo. Sign in as `{SUPER_ADMIN[0]}`, {", ".join(f"`{email}`" for email, _, _ in ACCOUNTS)}; the password of
each is `{PASSWORD}`.""",
    bodies={
        "signIn": {"email": SUPER_ADMIN[0], "password": PASSWORD},
        "issueToken": {"grant_type": "password", "username": SUPER_ADMIN[0], "password": PASSWORD},
    },
    parameters={"sku": "AA-LAM-OAK"},
)
"""What the demo adds to the OpenAPI document."""
BRANDS: Final = {
    "AA": "Alder & Ash", "BW": "Brightwell", "CL": "Casa Lumen", "DT": "Dovetail", "EH": "Ember House",
    "FW": "Fjord Works", "GS": "Greta Stein", "HA": "Halcyon", "IS": "Inkwell & Sons", "JU": "Juniper",
}  # fmt: skip
_KINDS: Final = (
    ("Lamp", 39), ("Chair", 120), ("Table", 340), ("Shelf", 85), ("Mirror", 64), ("Rug", 150), ("Clock", 45),
    ("Vase", 28), ("Cushion", 19), ("Bench", 210), ("Stool", 75), ("Desk", 290),
)  # fmt: skip
_STYLES: Final = ("Oak", "Linen")
_MATERIALS: Final = (
    "solid oak, oiled by hand", "washed linen", "brushed brass", "recycled glass", "undyed wool", "powder-coated steel",
)  # fmt: skip
_CURRENCIES: Final = ("USD", "USD", "USD", "EUR", "JPY")
_PRICE_CHANGES: Final = (0, 0, 0, 10, -5)
_DAYS: Final = 14
_VIEWS_A_DAY: Final = (700, 1_100)
_AT_ONCE: Final = 16
_PATIENCE: Final = 30.0
"""Seconds to wait for one response of the table, and for a password to be hashed."""
_AGENTS: Final = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Mobile Safari/604.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
)
_AGENT_WEIGHTS: Final = (4, 4, 1)
_HOUR_WEIGHTS: Final = (5, 3, 2, 1, 1, 2, 5, 9, 12, 14, 15, 16, 17, 15, 14, 15, 16, 18, 21, 24, 26, 23, 16, 9)
"""How people spread over the hours of a day, UTC; bots come at any hour."""
_REFERRERS: Final = (None, None, None, "www.google.com", "duckduckgo.com", "news.example.org")


async def prepare(settings: Settings, *, catalogue: bool, same_stream: bool) -> None:
    """Create or update table and queue, and fill a new table with the demo data.

    Without `same_stream` the table gets a new stream: MiniStack forgets the records when it ends, and a relay that went
    on after one of them would report lost records.
    """
    is_new = await prepare_table(settings)
    await prepare_queue(settings)
    if same_stream and not is_new:
        return
    async with connect(settings) as clients:
        # Without a stream, the demo's past price changes cause no notices; and each stream record slows down the
        # later writes of DynamoDB Local.
        await end_stream(clients.writer, settings, lambda _: None)
        if is_new:
            await make(settings, catalogue=catalogue)
        await ensure(clients.writer, settings, lambda _: None)


def accounts() -> str:
    """Return a line that names the accounts, their roles and their password."""
    roles = [(SUPER_ADMIN[0], "super_admin"), *((email, role.value) for email, _, role in ACCOUNTS)]
    return f"{', '.join(f'{email} ({role})' for email, role in roles)}; password {PASSWORD}"


async def make(settings: Settings, *, catalogue: bool) -> None:
    """Write the accounts and, with `catalogue`, products and views: the same data each time, except for the ids."""
    # An engine that has just started on a busy machine may be slow.
    settings = settings.model_copy(update={"connect_timeout": _PATIENCE, "password_wait": _PATIENCE})
    async with Services(settings, patient=_PATIENCE) as services:
        admins = await _make_accounts(services)
        if not catalogue:
            return
        chance = random.Random(20261124)  # noqa: S311 - the same data each time
        with progress() as display:
            products = await _make_products(services, admins, chance, display)
            await _make_views(services, products, chance, display)


def _products(services: Services, at: datetime) -> Products:
    """Return the service of products at a time in the past."""
    return Products(services.product_store, services.product_listings, NoCache(), clock=lambda: at)


async def _make_accounts(services: Services) -> list[str]:
    """Write the four accounts and return the ids of the admins."""
    email, name = SUPER_ADMIN
    await services.accounts.create_super_admin(email=email, password=PASSWORD, name=name)
    ids: list[str] = []
    for email, name, role in ACCOUNTS:
        user = await services.accounts.create(UserDraft(email=email, password=PASSWORD, name=name, role=role))
        if role is Role.ADMIN:
            ids.append(user.id)
    return ids


def _drafts(chance: random.Random) -> Iterator[ProductDraft]:
    for (code, brand), (kind, price), style in itertools.product(BRANDS.items(), _KINDS, _STYLES):
        currency = chance.choice(_CURRENCIES)
        amount = Decimal(round(price * chance.uniform(0.8, 1.6)))
        yield ProductDraft(
            sku=f"{code}-{kind[:3].upper()}-{style.upper()}",
            name=f"{style} {kind}",
            brand=brand,
            description=f"A {kind.lower()} by {brand}: {chance.choice(_MATERIALS)}.",
            price=amount * 100 if currency == "JPY" else amount - Decimal("0.01"),
            currency=currency,
        )


async def _make_products(services: Services, admins: list[str], chance: random.Random, display: Progress) -> list[str]:
    """Write products created in the last two months, two fifths of them with another price since; returns the ids."""
    today = clock.now()
    task = display.add_task("Products", total=None)

    async def make_one(draft: ProductDraft, at: datetime, by: str, change: int, changed_at: datetime) -> str:
        product = await _products(services, at).create(draft, by=by, request_id="demo")
        if change:
            price = {"price": draft.price + change}
            await _products(services, changed_at).change(product.id, price, by=by, request_id="demo", expected=None)
        display.advance(task)
        return product.id

    work = [
        make_one(
            draft,
            today - timedelta(days=chance.uniform(15, 60)),
            chance.choice(admins),
            chance.choice(_PRICE_CHANGES) * (100 if draft.currency == "JPY" else 1),
            today - timedelta(days=chance.uniform(0, 14)),
        )
        for draft in _drafts(chance)
    ]
    display.update(task, total=len(work))
    return await gather(work, at_once=_AT_ONCE)


async def _make_views(services: Services, product_ids: list[str], chance: random.Random, display: Progress) -> None:
    """Write the views of the last 14 days; today's are those until now."""
    task = display.add_task("Views", total=_DAYS, unit="days")
    secret = services.settings.derive_key("visitors")
    now = clock.now()
    for days_ago in reversed(range(_DAYS)):
        day = now.date() - timedelta(days=days_ago)
        views = views_of_day(product_ids, day, secret, chance, until=now)
        await services.view_store.put(services.view_store.segments(views))
        if is_closed(day, now):
            await services.rollups.roll_up(day, at_once=keys.VIEW_SHARDS)
        display.advance(task)


def views_of_day(
    product_ids: Sequence[str], day: date, secret: bytes, chance: random.Random, *, until: datetime
) -> list[View]:
    """Return the views of a day until a time, in order: most in the evening, and most of them of a few products."""
    midnight, key = midnight_ms(day), visitor_key(secret, day)
    popularity = [1 / (place + 2) for place in range(len(product_ids))]
    bots = {agent: is_bot(agent) for agent in _AGENTS}  # 0.2 ms each
    visitors = list(enumerate(chance.choices(_AGENTS, _AGENT_WEIGHTS, k=199), 1))
    views: list[View] = []
    for product_id in chance.choices(product_ids, popularity, k=chance.randrange(*_VIEWS_A_DAY)):
        number, agent = chance.choice(visitors)
        bot = bots[agent]
        (hour,) = chance.choices(range(24), None if bot else _HOUR_WEIGHTS)
        at_ms = midnight + int((hour + chance.random()) * 3_600_000)
        visitor = visitor_hash(key, f"198.51.100.{number}", agent)
        views.append(View(product_id, at_ms, visitor, chance.choice(_REFERRERS), bot))
    last = clock.epoch_ms(until)
    return sorted((view for view in views if view.at_ms <= last), key=lambda view: view.at_ms)


@click.command()
@click.option("--accounts", "only_accounts", is_flag=True, help="Only make the accounts, in a table that is there.")
def main(*, only_accounts: bool) -> None:
    """Prepare the table and the queue of the settings; a new table gets the demo data."""
    settings = load_settings(env_file=None, with_keys=not only_accounts)
    if only_accounts:
        with suppress(EmailTaken):  # They are there.
            asyncio.run(make(settings, catalogue=False))
    else:
        run(prepare(settings, catalogue=True, same_stream=True))
    print(accounts())


if __name__ == "__main__":
    main(prog_name="demo")
