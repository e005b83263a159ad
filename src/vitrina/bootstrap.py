"""The one place that builds clients, stores and services: for the API, the workers, Lambda and the commands.

    async with Services(settings) as services:
        product = await services.products.get(product_id)

Services are lazy properties, so a command or a Lambda function imports the libraries of what it uses alone. The end of
the context closes what was built, the last one first.
"""
# ruff: noqa: PLC0415 - pyarrow alone takes 0.1 s and 40 MB, and JWT, templates and password rules as long together

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import structlog

from vitrina import aws, clock as clocks
from vitrina.config import Settings
from vitrina.domain.products import Product
from vitrina.files import Folder
from vitrina.mail.transport import open_transport
from vitrina.metrics import VIEWS_LOST
from vitrina.queue.notices import NoticeQueue
from vitrina.s3 import SCHEME, Bucket
from vitrina.services.accounts.throttle import Throttle
from vitrina.services.batching import GroupedReads
from vitrina.services.cursors import Cursors
from vitrina.services.exports.source import LiveSource
from vitrina.services.idempotency import Idempotency
from vitrina.services.notifications.dispatch import NoticeDispatcher, default_preferences
from vitrina.services.notifications.inbox import Inbox
from vitrina.services.products.batches import Batches
from vitrina.services.products.by_sku import ProductsBySku
from vitrina.services.products.cache import NoCache, ProductCache
from vitrina.services.products.changes import ChangeFeed
from vitrina.services.products.circuit import PATIENCE
from vitrina.services.products.lookup import ProductLookup
from vitrina.services.products.prices import Prices
from vitrina.services.products.products import Products
from vitrina.store import keys
from vitrina.store.api_keys import ApiKeyStore
from vitrina.store.changes import ChangeStore
from vitrina.store.idempotency import IdempotencyStore
from vitrina.store.inbox import InboxStore
from vitrina.store.listings import ProductListings
from vitrina.store.login_attempts import LoginAttemptStore
from vitrina.store.mails import MailStore
from vitrina.store.products import ProductStore
from vitrina.store.recipients import RecipientStore
from vitrina.store.rollups import RollupStore
from vitrina.store.sessions import SessionStore
from vitrina.store.table import Table
from vitrina.store.users import UserStore
from vitrina.store.views import ViewStore

if TYPE_CHECKING:
    from vitrina.services.accounts.accounts import Accounts
    from vitrina.services.accounts.api_keys import ApiKeys
    from vitrina.services.accounts.authentication import Authentication
    from vitrina.services.accounts.passwords import Passwords
    from vitrina.services.analytics.analytics import Analytics
    from vitrina.services.analytics.rollups import Rollups
    from vitrina.services.exports.dataset import Place
    from vitrina.services.exports.limited import LimitedExports
    from vitrina.services.notifications.mailer import Mailer
    from vitrina.services.views.recorder import ViewRecorder

log = structlog.get_logger(__name__)

_PATIENCE: Final = 300.0
"""Seconds. DynamoDB splits a hot partition within minutes ("Understanding DynamoDB's burst and adaptive capacity")."""


@asynccontextmanager
async def open_queue(settings: Settings) -> AsyncIterator[NoticeQueue]:
    """Open the queue of notices alone, which needs no table."""
    async with aws.connect_queue(settings) as client:
        yield NoticeQueue(client, name=settings.queue_name)


@asynccontextmanager
async def open_place(settings: Settings, out: str, dataset: str) -> AsyncIterator["Place"]:
    """Open where a dataset is written, a folder or `s3://bucket/prefix`, and clear what a killed export has left there.

    Raises FilesRefused.
    """
    if not out.startswith(SCHEME):
        with Folder.open(Path(out), dataset) as folder:
            yield folder
        return
    bucket, _, prefix = out.removeprefix(SCHEME).partition("/")
    async with aws.connect_s3(settings) as client:
        place = Bucket(client, bucket, prefix)
        await place.clear(dataset)
        yield place


class Services:
    """Every store and service over one connection to the table; use it as an async context manager.

    `clock` is the time of all services. `patient` is for commands, the demo and tests, where no client waits: one
    response of DynamoDB may then take so many seconds (or `read_timeout`, if longer), a call with its retries twice as
    many, not 2.5 s, and throttling is waited out for five minutes. `render` makes what `product_cache` keeps of a
    product; without it there is no cache.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: clocks.Clock = clocks.now,
        patient: float | None = None,
        render: Callable[[Product], Any] | None = None,
    ) -> None:
        if patient is not None:
            settings = settings.model_copy(update={"read_timeout": max(settings.read_timeout, patient)})
        self.settings = settings
        self._clock = clock
        self._patient = patient
        self._limits = {} if patient is None else {"deadline": 2 * settings.read_timeout, "patience": _PATIENCE}
        self._render = render
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.clients = await self._stack.enter_async_context(aws.connect(self.settings))
        self.table = table = Table(self.clients, name=self.settings.table_name, **self._limits)
        self.product_store = ProductStore(table)
        self.product_listings = ProductListings(table)
        self.user_store = UserStore(table)
        self.session_store = SessionStore(table)
        self.view_store = ViewStore(table, retention_days=self.settings.views_retention_days, clock=self._clock)
        self.rollup_store = RollupStore(table, clock=self._clock)
        self.inbox_store = InboxStore(table, retention_days=self.settings.notice_retention_days)
        self.recipient_store = RecipientStore(table, defaults=default_preferences(self.settings))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def probe(self, *, consistent: bool = False) -> None:
        """Raise TableUnavailable unless the table answers: 1 call, to the writer's endpoint if `consistent`."""
        await self.table.get(keys.SUPER_ADMINS, consistent=consistent)  # The item need not exist.

    async def closing_time(self) -> datetime:
        """Return the earlier of the own and the table's time, so that a clock that is ahead closes no day: 1 call."""
        _, at = await self.table.get_dated(keys.SUPER_ADMINS)
        return self._clock() if at is None else min(at, self._clock())

    @cached_property
    def products(self) -> Products:
        """What people do with products."""
        cache = NoCache() if self._render is None else self.product_cache
        return Products(self.product_store, self.product_listings, cache, clock=self._clock)

    @cached_property
    def products_by_sku(self) -> ProductsBySku:
        """Writes of products by SKU."""
        return ProductsBySku(self.products, self.product_store)

    @cached_property
    def change_feed(self) -> ChangeFeed:
        """The feed of all changes of products."""
        return ChangeFeed(ChangeStore(self.table), clock=self._clock)

    @cached_property
    def product_lookup(self) -> ProductLookup:
        """Reads of many products by their ids or SKUs."""
        return ProductLookup(self.product_store)

    @cached_property
    def product_prices(self) -> Prices:
        """The prices of products."""
        return Prices(self.product_store, self.product_listings, clock=self._clock)

    @cached_property
    def product_batches(self) -> Batches:
        """Batches of operations on products. Raises ValueError without the settings' secrets."""
        seconds = self.settings.request_timeout
        return Batches(self.products, self.products_by_sku, self.product_store, self.idempotency, seconds=seconds)

    @cached_property
    def product_cache(self) -> ProductCache[Any]:
        """Products as anonymous readers get them, in the form that `render` makes."""
        assert self._render is not None  # noqa: S101 - only the API reads from it, and passes `render`
        return ProductCache(
            self.product_store,
            render=self._render,
            ttl=self.settings.product_cache_ttl,
            stale_if_error=self.settings.stale_if_error,
            patience=PATIENCE if self._patient is None else self._patient,
        )

    @cached_property
    def page_reads(self) -> GroupedReads[Hashable, Any]:
        """Reads of pages for people who are signed in, by all that a page depends on."""
        return GroupedReads()

    @cached_property
    def views(self) -> "ViewRecorder":
        """The recorder of anonymous views; at the end it stores the views that are still queued."""
        from vitrina.services.views.recorder import ViewRecorder

        views = ViewRecorder(
            self.view_store,
            secret=self.settings.derive_key("visitors"),
            queue=self.settings.view_queue,
            commit_timeout=self.settings.view_commit_timeout,
            now_ms=clocks.now_ms if self._clock is clocks.now else lambda: clocks.epoch_ms(self._clock()),
        )
        self._stack.push_async_callback(_drain, views, self.settings.shutdown_timeout)
        return views

    async def load_reports(self) -> None:
        """Import Arrow in a thread, before `analytics` or `exports` would do so on the event loop, for 0.1 s.

        Raises ReportsNotInstalled.
        """
        await asyncio.to_thread(import_module, "vitrina.services.arrow")

    @cached_property
    def rollups(self) -> "Rollups":
        """The counting of closed days."""
        from vitrina.services.analytics.rollups import Rollups

        return Rollups(self.view_store, self.rollup_store, clock=self._clock)

    @cached_property
    def analytics(self) -> "Analytics":
        """Counts of views over days; closed days without a rollup are rolled up in the background.

        Raises ReportsNotInstalled, as `rollups` and `exports` do.
        """
        from vitrina.services.analytics.analytics import Analytics
        from vitrina.services.analytics.rollups import RollupQueue

        queue = RollupQueue(self.rollups)
        self._stack.push_async_callback(queue.close)
        analytics = Analytics(self.rollup_store, self.product_store, self.rollups, queue=queue, clock=self._clock)
        self._stack.push_async_callback(analytics.close)
        return analytics

    def view_source(self, *, tries: int = 1) -> LiveSource:
        """Return the views as an export reads them from the table; a page is tried `tries` times."""
        return LiveSource(self.view_store, self.rollup_store, self.product_store, self.product_listings, tries=tries)

    @cached_property
    def exports(self) -> "LimitedExports":
        """Exports over HTTP, a few at once."""
        from vitrina.services.exports.limited import LimitedExports

        return LimitedExports(self.view_source(), self.product_listings)

    @cached_property
    def passwords(self) -> "Passwords":
        """Password hashing in its own threads."""
        from vitrina.services.accounts.passwords import Passwords

        passwords = Passwords(cost=self.settings.bcrypt_cost, wait=self.settings.password_wait)
        self._stack.callback(passwords.close)
        return passwords

    @cached_property
    def accounts(self) -> "Accounts":
        """Registration, and the management of accounts."""
        from vitrina.services.accounts.accounts import Accounts

        return Accounts(self.user_store, passwords=self.passwords, clock=self._clock)

    @cached_property
    def authentication(self) -> "Authentication":
        """Sign-in, tokens, sessions, and the check of API keys. Raises ValueError without the settings' secrets."""
        from vitrina.services.accounts.authentication import Authentication
        from vitrina.services.accounts.tokens import Tokens

        settings = self.settings
        return Authentication(
            self.user_store,
            self.session_store,
            passwords=self.passwords,
            tokens=Tokens(settings.token_keys),
            throttle=self.throttle,
            api_keys=self.api_keys,
            access_lifetime=settings.access_token_lifetime,
            refresh_lifetime=settings.refresh_token_lifetime,
            clock=self._clock,
        )

    @cached_property
    def api_keys(self) -> "ApiKeys":
        """API keys. Raises ValueError without the settings' secrets."""
        from vitrina.services.accounts.api_keys import ApiKeys

        return ApiKeys(ApiKeyStore(self.table), key=self.settings.derive_key("api keys"), clock=self._clock)

    @cached_property
    def throttle(self) -> Throttle:
        """Limits of sign-ins and registrations. Raises ValueError without the settings' secrets."""
        settings = self.settings
        return Throttle(
            LoginAttemptStore(self.table),
            key=settings.derive_key("throttle"),
            limit=settings.login_limit,
            address_limit=settings.login_address_limit,
            account_limit=settings.login_account_limit,
            clock=self._clock,
        )

    @cached_property
    def inbox(self) -> Inbox:
        """The notices of an admin, and how they are mailed."""
        return Inbox(self.inbox_store, self.recipient_store, clock=self._clock)

    @cached_property
    def notice_dispatcher(self) -> NoticeDispatcher:
        """Writes the inbox entries of price changes."""
        return NoticeDispatcher(
            self.inbox_store,
            self.recipient_store,
            notify_actor=self.settings.notify_actor,
            before_digest=self.settings.notices_before_digest,
            clock=self._clock,
        )

    async def open_mailer(self) -> "Mailer":
        """Open the mail transport of the settings, and return what sends by it. Raises ValueError for a bad sender."""
        from vitrina.services.notifications.mailer import Mailer

        transport = await self._stack.enter_async_context(open_transport(self.settings))
        return Mailer(MailStore(self.table), transport, self.settings, clock=self._clock)

    @cached_property
    def idempotency(self) -> Idempotency:
        """Claims of idempotency keys. Raises ValueError without the settings' secrets."""
        key, lifetime = self.settings.derive_key("idempotency"), self.settings.idempotency_lifetime
        return Idempotency(IdempotencyStore(self.table), key=key, lifetime=lifetime, clock=self._clock)

    @cached_property
    def cursors(self) -> Cursors:
        """Cursors of pages. Raises ValueError without the settings' secrets."""
        return Cursors(self.settings.derive_key("cursors"))


async def _drain(views: "ViewRecorder", seconds: float) -> None:
    if lost := await views.drain(seconds=seconds):
        log.error("views_lost", number=lost)
        VIEWS_LOST.inc(lost)
