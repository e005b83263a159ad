"""Delivers one mail: attaches its notices, composes it, sends it while its lease lasts, and marks what came of it."""

import itertools
from asyncio import timeout
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import structlog

from vitrina import tracing
from vitrina.backoff import Backoff
from vitrina.config import Settings
from vitrina.domain.notices import EmailMode, Language, Mail, Notice, NoticePreferences
from vitrina.domain.users import PRODUCT_MANAGERS, User
from vitrina.errors import VitrinaError
from vitrina.mail.message import compose, sender_address
from vitrina.mail.transport import MailHeldBack, MailNotSent, MailRefused, Message, Transport
from vitrina.metrics import MAILS
from vitrina.services.concurrency import gather
from vitrina.services.notifications.holds import Holds, PausedAccounts
from vitrina.store.mails import MailStore
from vitrina.store.table_clock import TableClock

log = structlog.get_logger(__name__)

_NOTICES_AT_ONCE: Final = 32
RETRY: Final = Backoff(first=18.75, longest=4500, factor=3, jitter=0.4)
"""Pauses after failed attempts: 15 s, 45 s, ... up to an hour, each give or take a quarter."""
_LONGEST_LIFE: Final = timedelta(days=30)
"""Age at which a mail is given up whose senders keep dying, or that is held back: neither counts as its failure."""


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


class MailDelivery:
    """Sends mails that this process has leased, and pauses the accounts whose mail waits for another attempt.

    Raises ValueError if the setting `mail_from` is not an address.
    """

    def __init__(
        self,
        store: MailStore,
        transport: Transport,
        settings: Settings,
        *,
        clock: TableClock,
        monotonic: Callable[[], float],
        settle: Backoff,
        paused: PausedAccounts,
        holds: Holds,
    ) -> None:
        self._store = store
        self._transport = transport
        self._sender = sender_address(settings.mail_from)
        self._language = Language(settings.default_language)
        self._timeout = settings.mail_timeout
        self._attempts = settings.mail_attempts
        # Two processes would send a mail whose sending could outlast its lease.
        self._lease = max(settings.mail_lease_time, 2 * settings.mail_timeout)
        self._clock = clock
        self._monotonic = monotonic
        self._settle = settle
        self._paused = paused
        self._holds = holds

    @property
    def lease_length(self) -> timedelta:
        """How long a lease lasts, from the time of `_clock` on: at the table it may be later by the uncertainty."""
        return timedelta(seconds=self._lease) + self._clock.uncertainty

    async def send(self, mail: Mail, *, leased_at: float) -> bool:  # noqa: PLR0911 - one for each outcome
        """Send a mail; returns False if it will be tried again. It was leased at `leased_at` of the monotonic clock.

        Raises the errors of the table.
        """
        held = _LeasedMail(mail, leased_at + self._lease)
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
        until = self._clock() + self.lease_length
        if not await self._store.postpone(held.mail, until=until, failed=False):
            raise _LeaseLost
        held.lease_ends = began + self._lease

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
