"""The services that handlers call, built once and held by the application."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from vitrina import aws
from vitrina.api.schemas import presenters
from vitrina.config import Settings
from vitrina.services.accounts.accounts import Accounts
from vitrina.services.accounts.authentication import Authentication
from vitrina.services.accounts.passwords import Passwords
from vitrina.services.accounts.throttle import Throttle
from vitrina.services.accounts.tokens import Tokens
from vitrina.services.analytics.reports import Analytics
from vitrina.services.analytics.rollups import RollupQueue, Rollups
from vitrina.services.cursors import Cursors
from vitrina.services.derived_keys import derive
from vitrina.services.exports.limited import LimitedExports
from vitrina.services.exports.source import LiveSource
from vitrina.services.idempotency import Idempotency
from vitrina.services.notifications.dispatch import default_preferences
from vitrina.services.notifications.inbox import Inbox
from vitrina.services.products.cache import ProductCache
from vitrina.services.products.products import Products
from vitrina.services.views.recorder import ViewRecorder
from vitrina.store import keys
from vitrina.store.idempotency import IdempotencyStore
from vitrina.store.inbox import InboxStore
from vitrina.store.listings import ProductListings
from vitrina.store.login_attempts import LoginAttemptStore
from vitrina.store.products import ProductStore
from vitrina.store.recipients import RecipientStore
from vitrina.store.rollups import RollupStore
from vitrina.store.sessions import SessionStore
from vitrina.store.table import Table
from vitrina.store.users import UserStore
from vitrina.store.views import ViewStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """All that handlers may ask for."""

    table: Table
    products: Products
    product_cache: ProductCache[presenters.KeptProduct]
    views: ViewRecorder
    analytics: Analytics
    exports: LimitedExports
    accounts: Accounts
    inbox: Inbox
    authentication: Authentication
    idempotency: Idempotency
    cursors: Cursors

    async def probe(self) -> None:
        """Raise TableUnavailable unless the table answers: 1 call; whether the item is there does not matter."""
        await self.table.get(keys.SUPER_ADMINS, consistent=False)


SERVICES: Final = web.AppKey("services", Services)


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Connect and build the services; at the end, store the views that still wait and let everything go."""
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(aws.connect(settings))
        table = Table(clients, name=settings.table_name)
        passwords = Passwords(
            cost=settings.bcrypt_cost,
            workers=settings.password_workers,
            queue=settings.password_queue,
            wait=settings.password_wait,
        )
        stack.callback(passwords.close)
        view_store = ViewStore(table, retention_days=settings.views_retention_days)
        views = ViewRecorder(
            view_store,
            secret=derive(settings, "visitors"),
            queue=settings.view_queue,
            commit_timeout=settings.view_commit_timeout,
        )
        stack.push_async_callback(_drain, views, settings.shutdown_timeout)
        product_store = ProductStore(table)
        rollup_store = RollupStore(table)
        rollups = Rollups(view_store, rollup_store)
        rollup_queue = RollupQueue(rollups)
        stack.push_async_callback(rollup_queue.close)
        cache = ProductCache(
            product_store,
            render=presenters.kept_product,
            ttl=settings.product_cache_ttl,
            stale_if_error=settings.stale_if_error,
            size=settings.product_cache_size,
        )
        analytics = Analytics(rollup_store, product_store, rollups, queue=rollup_queue)
        stack.push_async_callback(analytics.close)
        users, sessions = UserStore(table), SessionStore(table)
        yield Services(
            table=table,
            products=Products(product_store, ProductListings(table), cache),
            product_cache=cache,
            views=views,
            exports=LimitedExports(LiveSource(view_store, product_store)),
            analytics=analytics,
            accounts=Accounts(users, sessions, passwords=passwords),
            inbox=Inbox(
                InboxStore(table, retention_days=settings.notice_retention_days),
                RecipientStore(table, defaults=default_preferences(settings)),
            ),
            authentication=Authentication(
                users,
                sessions,
                passwords=passwords,
                tokens=Tokens(settings.token_keys),
                throttle=_throttle(table, settings),
                access_lifetime=settings.access_token_lifetime,
                refresh_lifetime=settings.refresh_token_lifetime,
            ),
            idempotency=Idempotency(
                IdempotencyStore(table), key=derive(settings, "idempotency"), lifetime=settings.idempotency_lifetime
            ),
            cursors=Cursors(derive(settings, "cursors")),
        )


def _throttle(table: Table, settings: Settings) -> Throttle:
    return Throttle(
        LoginAttemptStore(table),
        key=derive(settings, "throttle"),
        window=settings.login_window,
        limit=settings.login_limit,
        address_limit=settings.login_address_limit,
        account_limit=settings.login_account_limit,
    )


async def _drain(views: ViewRecorder, seconds: float) -> None:
    lost = await views.drain(seconds=seconds)
    if lost:
        log.error("views_lost", number=lost)
