"""Sends the mail that is due (R9): at least once, and twice only if a sender dies between sending and marking.

All state is in the table: a notice is due from the write of its inbox entry on, and a mail that is being sent is due
again once its lease ends, by the table's clock. So no process whose own clock is wrong takes a mail from its sender. A
poll costs 4 queries; a mail costs 3 requests, 1 for each notice, and 1 more for each half lease time that it takes.

While an account's mail must wait, its other notices stay due. They may be thousands, so polls read only what has become
due since all accounts that could be served were; that includes the mail itself, once it may be tried again.
"""

import itertools
import time
from asyncio import timeout
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, Final

import structlog

from vitrina import tracing
from vitrina.backoff import Backoff
from vitrina.clock import Clock, now
from vitrina.config import Settings
from vitrina.domain.notices import EmailMode, Language, Mail, Notice, NoticePreferences, Waiting
from vitrina.domain.users import PRODUCT_MANAGERS, User
from vitrina.errors import VitrinaError
from vitrina.mail.message import compose, sender_address
from vitrina.mail.transport import MailHeldBack, MailNotSent, MailRefused, Message, Transport
from vitrina.metrics import MAILS
from vitrina.services.concurrency import gather
from vitrina.services.notifications.holds import Holds, PausedAccounts
from vitrina.store.keys import MAIL_SHARDS
from vitrina.store.mails import MOST_ACCOUNTS, MOST_NOTICES, MailHeld, MailStore
from vitrina.store.table_clock import TableClock

log = structlog.get_logger(__name__)

_ACCOUNTS_AT_ONCE: Final = 8
_NOTICES_AT_ONCE: Final = 32
_MAILS_PER_TURN: Final = 10
"""Mails to one account before the other accounts are polled again."""
RETRY: Final = Backoff(first=18.75, longest=4500, factor=3, jitter=0.4)
"""Pauses after failed attempts: 15 s, 45 s, ... up to an hour, each give or take a quarter."""
_SETTLE: Final = Backoff(first=0.5, longest=0.5, jitter=0)
_LONGEST_LIFE: Final = timedelta(days=30)
"""Age at which a mail is given up whose senders keep dying, or that is held back: neither counts as its failure."""


class _Turn(Enum):
    """How the turn of an account ended: with nothing left, with more to send, or with a mail that waits."""

    DONE = auto()
    MORE = auto()
    STOPPED = auto()


class _LeaseLost(Exception):
    """Another process has taken over the mail."""


@dataclass(slots=True)
class _LeasedMail:
    """A mail that this process alone may send until `lease_ends`, in seconds of its own monotonic clock."""

    mail: Mail
    lease_ends: float
    traceparents: list[str | None] = field(default_factory=list)
    """Those of the changes that it is about, once it is composed."""

    @property
    def log_fields(self) -> dict[str, Any]:
        """The fields that identify the mail in the log."""
        return {"mail": self.mail.id, "user": self.mail.user_id, "attempt": self.mail.attempt}


class Mailer:
    """Sends what is due: one mail at a time to each account, several accounts concurrently.

    Raises ValueError if the setting `mail_from` is not an address.
    """

    def __init__(
        self,
        store: MailStore,
        transport: Transport,
        settings: Settings,
        *,
        clock: Clock = now,
        monotonic: Callable[[], float] = time.monotonic,
        settle: Backoff = _SETTLE,
    ) -> None:
        self._store = store
        self._transport = transport
        self._sender = sender_address(settings.mail_from)
        self._language = Language(settings.default_language)
        self._timeout = settings.mail_timeout
        self._attempts = settings.mail_attempts
        # Two processes would send a mail whose sending could outlast its lease.
        self._lease = max(settings.mail_lease_time, 2 * settings.mail_timeout)
        self._own_clock = clock
        self._clock = TableClock(clock, monotonic=monotonic)
        self._monotonic = monotonic
        self._settle = settle
        self._paused = PausedAccounts(self._clock)
        self._holds = Holds(self._clock)

    async def send_due(self, *, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Send what is due now; returns whether more is due already. Starts no further mail once `go_on` is false.

        Raises TableUnavailable if the due mail cannot be read.
        """

        def may_send() -> bool:
            return go_on() and self._clock() >= self._holds.until

        at = self._clock()
        if at < self._holds.until:
            return False
        since = self._paused.since()
        shards = await self._due(since)
        due = [waiting for found in shards for waiting in found]
        turns = await gather((self._turn(each, may_send) for each in due), at_once=_ACCOUNTS_AT_ONCE)
        ended = list(zip(due, turns, strict=True))
        more = _Turn.MORE in turns or (
            # Notices that waited behind a mail were due before `since`.
            since is not None and any(each.mail is not None and turn is _Turn.DONE for each, turn in ended)
        )
        stopped = [each.user_id for each, turn in ended if turn is _Turn.STOPPED]
        is_all = not more and all(len(found) < MOST_ACCOUNTS for found in shards)
        self._paused.note_poll(at, since, is_complete=is_all and all(user_id in self._paused for user_id in stopped))
        return more and self._clock() >= self._holds.until

    async def count_due(self) -> int:
        """Count the accounts with mail that is due, up to 64 in each shard. Raises TableUnavailable."""
        return sum(map(len, await self._due(None)))

    async def _due(self, since: datetime | None) -> list[list[Waiting]]:
        """Read the due mail of each shard, without that of paused accounts."""
        at = max(self._own_clock(), self._clock())  # The table's clock alone would be up to a second late.
        polls = (
            self._store.due(shard, at=at, since=since, leave_out=self._paused, clock=self._clock)
            for shard in range(MAIL_SHARDS)
        )
        return await gather(polls, at_once=MAIL_SHARDS)

    async def _turn(self, waiting: Waiting, go_on: Callable[[], bool]) -> _Turn:
        """Send mails to one account."""
        if not go_on():
            return _Turn.MORE
        try:
            if waiting.mail is not None and not await self._take_over(waiting.mail):
                return _Turn.STOPPED
            lists: list[tuple[tuple[str, ...], bool]] = [((notice_id,), False) for notice_id in waiting.notice_ids]
            lists += [(tuple(waiting.digest_ids), True)] if waiting.digest_ids else []
            for number, (notice_ids, digest) in enumerate(lists):
                if number == _MAILS_PER_TURN or not go_on():
                    return _Turn.MORE
                began = self._monotonic()
                mail = await self._store.take(
                    waiting.user_id, notice_ids, digest=digest, at=self._clock(), lease=self._lease_length
                )
                if not await self._send(_LeasedMail(mail, began + self._lease)):
                    return _Turn.STOPPED
        except MailHeld as held:
            self._paused.add(waiting.user_id, held.until)
        except VitrinaError as error:
            # A mail that was started is due again when its lease ends.
            log.warning("mail_postponed", user=waiting.user_id, error=type(error).__name__)
        else:
            return _Turn.MORE if len(waiting.digest_ids) == MOST_NOTICES else _Turn.DONE
        return _Turn.STOPPED

    async def _take_over(self, mail: Mail) -> bool:
        """Send a mail whose lease has ended; returns whether the account's other mails may follow. Raises MailHeld."""
        began = self._monotonic()
        if mail.due_at > self._clock():
            raise MailHeld(mail.due_at)
        try:
            mail = await self._store.take_over(mail, at=self._clock(), lease=self._lease_length)
        except MailHeld:
            # Another process was faster, or the index does not show yet that the mail was sent.
            return True
        return await self._send(_LeasedMail(mail, began + self._lease))

    async def _send(self, held: _LeasedMail) -> bool:  # noqa: PLR0911 - one for each outcome
        """Send a mail; returns False if it will be tried again."""
        try:
            message = await self._compose(held)
            if message is None:
                return await self._finish(held)
            await self._transport.wait_turn()
            await self._ensure_lease(held, at_least=self._timeout)
            with tracing.span("send mail", "CLIENT", {"vitrina.mail.id": held.mail.id}, causes=held.traceparents):
                async with timeout(self._timeout):
                    await self._transport.send(message)
                # Logged before it is marked as sent: if the process dies in between, the log explains the copy.
                log.info("mail_sent", **held.log_fields, notices=len(held.mail.notice_ids), message_id=message.id)
        except _LeaseLost:
            log.warning("mail_lease_lost", **held.log_fields)
            return False
        except MailRefused as error:
            return await self._give_up(held, str(error))
        except MailHeldBack as error:
            return await self._hold_back(held, error)
        except (MailNotSent, TimeoutError) as error:
            return await self._retry(held, str(error) or type(error).__name__)
        except VitrinaError:
            raise
        except Exception as error:
            # A mail that breaks its sender must not stop the others.
            log.exception("mail_failed", **held.log_fields)
            return await self._retry(held, type(error).__name__, result="failed")
        MAILS.labels("sent").inc()
        self._holds.end()
        return await self._finish(held)

    async def _compose(self, held: _LeasedMail) -> Message | None:
        """Attach the notices and compose the message; returns None if no notice or no recipient is left.

        Raises MailRefused if the mail is too old or cannot be written, and _LeaseLost.
        """
        mail = held.mail
        notices: list[Notice] = []
        for first in range(0, len(mail.notice_ids), _NOTICES_AT_ONCE):
            await self._ensure_lease(held, at_least=self._lease / 2)
            ids = mail.notice_ids[first : first + _NOTICES_AT_ONCE]
            attached = await gather((self._store.attach(mail, notice_id) for notice_id in ids), at_once=len(ids))
            notices += [notice for notice in attached if notice is not None]
        held.traceparents = [notice.change.traceparent for notice in notices]
        if not notices:
            return None
        if self._clock() - mail.created_at > _LONGEST_LIFE:
            raise MailRefused("it could not be sent for 30 days")
        user, preferences = await self._store.recipient(mail.user_id) or (None, None)
        if user is None or not _is_recipient(user, preferences):
            log.info("mail_dropped", **held.log_fields, notices=len(notices))
            MAILS.labels("dropped").inc()
            return None
        language = preferences.language if preferences else self._language
        return compose(mail, notices, recipient=user, language=language, sender=self._sender)

    async def _ensure_lease(self, held: _LeasedMail, *, at_least: float) -> None:
        """Renew the lease unless it lasts `at_least` seconds: composing a long digest can outlast one lease.

        The renewal succeeds after the lease has ended, too, unless another process took the mail over. Raises
        _LeaseLost.
        """
        began = self._monotonic()
        if held.lease_ends - began >= at_least:
            return
        until = self._clock() + self._lease_length
        if not await self._store.postpone(held.mail, until=until, failed=False):
            raise _LeaseLost
        held.lease_ends = began + self._lease

    @property
    def _lease_length(self) -> timedelta:
        """How long a lease lasts, from the time of `_clock` on: at the table it may be later by the uncertainty."""
        return timedelta(seconds=self._lease) + self._clock.uncertainty

    async def _give_up(self, held: _LeasedMail, why: str) -> bool:
        log.error("mail_given_up", **held.log_fields, notices=len(held.mail.notice_ids), why=why)
        MAILS.labels("given_up").inc()
        return await self._finish(held)

    async def _hold_back(self, held: _LeasedMail, reason: MailHeldBack) -> bool:
        """Keep a mail for a later attempt without counting this one."""
        until = self._holds.add(reason, **held.log_fields)
        if await self._store.postpone(held.mail, until=until, failed=False):
            self._paused.add(held.mail.user_id, until)
        return False

    async def _retry(self, held: _LeasedMail, why: str, *, result: str = "retried") -> bool:
        """Keep a mail for its next attempt, and count this one as `result`; give it up after the last."""
        failures = held.mail.failures + 1
        if failures >= self._attempts:
            return await self._give_up(held, why)
        until = self._clock() + timedelta(milliseconds=int(1000 * RETRY.pause(failures)))
        if await self._store.postpone(held.mail, until=until, failed=True):
            self._paused.add(held.mail.user_id, until)
            log.warning("mail_retried", **held.log_fields, why=why)
            MAILS.labels(result).inc()
        return False

    async def _finish(self, held: _LeasedMail) -> bool:
        """Delete a mail that needs no further attempt; retries table failures until the lease ends. Returns True."""
        for failures in itertools.count(1):
            try:
                await self._store.finish(held.mail)
            except VitrinaError:
                if self._monotonic() > held.lease_ends:
                    raise
                await self._settle.sleep(failures)
            else:
                break
        return True


def _is_recipient(user: User, preferences: NoticePreferences | None) -> bool:
    """Return whether the account, as it is now, is to be mailed."""
    wants = preferences is None or preferences.email is not EmailMode.OFF
    return user.active and user.role in PRODUCT_MANAGERS and wants
