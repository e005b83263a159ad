"""Recording of anonymous views: each is stored durably before the response is sent (R11)."""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Callable
from typing import Final, Self
from urllib.parse import urlsplit

import structlog

from vitrina import clock, metrics
from vitrina.backoff import Backoff
from vitrina.domain.views import DAY_MS, View, day_of, visitor_hash, visitor_key
from vitrina.errors import Overloaded, TableUnavailable
from vitrina.services.batching import Batcher
from vitrina.services.views.bots import is_bot
from vitrina.store.views import ViewStore

log = structlog.get_logger(__name__)

_MAX_BATCH: Final = 2_000
"""Views that are written by one flush."""
_SPACING: Final = 0.024
"""Seconds between the starts of small flushes: 50 processes with 200 reads a second each have 4 views in one."""
_ENOUGH: Final = 14
"""Views that fill half of a write unit, which no flush waits to exceed."""
_MAX_VISITORS: Final = 10_000
"""Visitors whose hash and bot flag are cached, so that each is hashed and matched once a day."""
_BACKOFF: Final = Backoff(first=0.05, longest=2.0, jitter=0)
_HOST: Final = re.compile(r"[0-9a-z_](?:[0-9a-z._-]*[0-9a-z_])?\.?|[0-9a-f:.]*:[0-9a-f:.]*")
"""A host name, as `urlsplit` folds it, or an IPv6 address."""
_MAX_HOST: Final = 253


class ViewRecorder:
    """Stores views in batches; a request waits for its view to be stored, `commit_timeout` seconds at most.

    After that the request continues, and its view is late: it stays queued and is stored later. A crash can lose only
    the late views of requests that got a response; `vitrina_views_late_total` counts them. The view of a request that
    is cancelled is taken back, and counted by `vitrina_views_unanswered_total` if its flush has begun. Up to `queue`
    views are queued. Small flushes start `spacing` seconds apart where they are frequent (`Batcher`). `secret` keys the
    visitor hashes, and `now_ms` returns milliseconds since 1970.
    """

    def __init__(
        self,
        store: ViewStore,
        *,
        secret: bytes,
        queue: int,
        commit_timeout: float,
        spacing: float = _SPACING,
        now_ms: Callable[[], int] = clock.now_ms,
    ) -> None:
        self._store = store
        self._secret = secret
        self._queue = queue
        self._commit_timeout = _CommitTimeout(commit_timeout)
        self._now_ms = now_ms
        self._batcher: Batcher[View, None] = Batcher(self._flush, most=_MAX_BATCH, spacing=spacing, enough=_ENOUGH)
        self._reserved = 0
        self._day_number = 0
        self._day_key = b""
        self._visitors: dict[tuple[str, str], tuple[bytes, bool]] = {}

    def reserve(self) -> "Reservation":
        """Return a place in the queue for a view, before its product is read; use it as a context manager.

        Raises Overloaded when the queue is full, counting the places that are reserved.
        """
        if len(self._batcher) + self._reserved >= self._queue:
            metrics.VIEWS_REFUSED.inc()
            raise Overloaded
        self._reserved += 1
        return Reservation(self)

    def release(self) -> None:
        """Count a reservation off; only `Reservation` calls this."""
        self._reserved -= 1

    def submit(
        self, product_id: str, address: str, user_agent: str, referrer: str | None, *, speculative: bool
    ) -> asyncio.Future[None]:
        """Queue a view, and return the future that is done when it is stored or late; cancel it to take it back."""
        at_ms = self._now_ms()
        visitor, bot = self._visitor(at_ms, address, user_agent)
        host = referrer_host(referrer) if referrer else None
        stored = self._batcher.submit(View(product_id, at_ms, visitor, host, bot or speculative))
        self._commit_timeout.watch(stored)
        return stored

    def count_unanswered(self, stored: asyncio.Future[None]) -> None:
        """Count the view of a request that has been cancelled, unless it could be taken back."""
        if not stored.cancelled() or self._batcher.is_in_flight(stored):
            metrics.VIEWS_UNANSWERED.inc()

    async def drain(self, *, seconds: float) -> int:
        """Wait until all views are stored, for `seconds` at most, and return how many are not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._batcher.drained()
        return len(self._batcher)

    async def _flush(self, views: list[View]) -> list[None]:
        """Write views until the table takes them, with the same keys each time, so that no view counts twice.

        Any other error is a bug. The loss is logged and counted here, since the requests of late views no longer wait;
        the error is logged where it ends, at a request or at the batcher.
        """
        metrics.VIEWS_QUEUED.set(len(self._batcher))
        failures = 0
        try:
            segments = self._store.segments(views)
            while True:
                try:
                    if views[0].at_ms // DAY_MS == self._now_ms() // DAY_MS:
                        await self._store.put(segments)
                    else:  # The oldest is of a day that has ended.
                        for day in await self._store.put_late(segments):
                            log.warning("rollup_outdated", day=day.isoformat())
                    break
                except TableUnavailable:
                    log.warning("views_not_stored_yet", number=len(self._batcher))
                failures += 1
                await _BACKOFF.sleep(failures)
        except Exception:
            log.error("views_lost", number=len(views))  # noqa: TRY400 - the error is logged where it ends
            metrics.VIEWS_LOST.inc(len(views))
            raise
        metrics.VIEWS_STORED.inc(len(views))
        metrics.VIEWS_BATCH.observe(len(views))
        metrics.VIEWS_QUEUED.set(len(self._batcher) - len(views))
        return [None] * len(views)

    def _visitor(self, at_ms: int, address: str, user_agent: str) -> tuple[bytes, bool]:
        day_number = at_ms // DAY_MS
        if day_number != self._day_number:
            self._day_number, self._day_key = day_number, visitor_key(self._secret, day_of(at_ms))
            self._visitors.clear()
        known = self._visitors.get((address, user_agent))
        if known is None:
            if len(self._visitors) >= _MAX_VISITORS:
                self._visitors.clear()
            known = visitor_hash(self._day_key, address, user_agent), is_bot(user_agent)
            self._visitors[address, user_agent] = known
        return known


class Reservation:
    """A place in the queue for one view; it is free again when the view is recorded or the context ends."""

    __slots__ = ("_held", "_recorder")

    def __init__(self, recorder: ViewRecorder) -> None:
        self._recorder = recorder
        self._held = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._held:
            self._held = False
            self._recorder.release()

    async def record(
        self, product_id: str, *, address: str, user_agent: str, referrer: str | None, speculative: bool = False
    ) -> None:
        """Store the view that the place is for. Returns when it is stored, or late after `commit_timeout`.

        A `speculative` read, ahead of a visit that may never come, is set apart like a bot's.

        Raises RuntimeError if the place has been used or given back: a place is for one view.
        """
        if not self._held:
            raise RuntimeError("this reservation has been used")
        self.__exit__()
        stored = self._recorder.submit(product_id, address, user_agent, referrer, speculative=speculative)
        try:
            await stored
        except asyncio.CancelledError:
            self._recorder.count_unanswered(stored)
            raise


def referrer_host(referrer: str) -> str | None:
    """Return only the host of a `Referer` header, None if it has none.

    Browsers send hosts in ASCII (URL standard, section 3.5). Those with other characters than host names have are
    dropped: reports and exports show them, and escaped they could make a segment too large to store.
    """
    try:
        host = urlsplit(referrer).hostname
    except ValueError:
        return None
    return host if host and len(host) <= _MAX_HOST and _HOST.fullmatch(host) else None


class _CommitTimeout:
    """Releases requests that have waited too long for their view, by one timer: a timer for each would cost 2 µs."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._watched: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, stored: "asyncio.Future[None]") -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._seconds
        self._watched.append((due, stored))
        if self._timer is None:
            self._timer = loop.call_at(due, self._release_late, loop)

    def _release_late(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._watched:
            due, stored = self._watched[0]
            if not stored.done():
                if due > now:
                    break
                metrics.VIEWS_LATE.inc()
                stored.set_result(None)
            self._watched.popleft()
        self._timer = loop.call_at(self._watched[0][0], self._release_late, loop) if self._watched else None
