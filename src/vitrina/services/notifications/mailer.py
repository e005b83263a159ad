"""Sends the mail that is due (R9): at least once, and once unless its sender died between sending and marking.

Whatever a process knows is in the table: a notice is due from the write of its inbox entry on, and a mail that is being
sent is due again when its sender has been silent for the lease time. A look costs 4 queries, a mail 3 calls and 1 for
each notice, and 1 more whenever it takes half the lease time.
"""

import random
import time
from asyncio import sleep, timeout
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any, Final

import structlog

from vitrina.clock import Clock, now
from vitrina.config import Settings
from vitrina.domain.mails import Mail, Waiting
from vitrina.domain.notices import EmailMode, Language, Notice, NoticePreferences
from vitrina.domain.users import PRODUCT_MANAGERS, User
from vitrina.errors import VitrinaError
from vitrina.mail.message import compose, sender_address
from vitrina.mail.transport import MailNotSent, MailRefused, Transport
from vitrina.metrics import MAILS
from vitrina.services.concurrency import gather
from vitrina.store.keys import MAIL_SHARDS
from vitrina.store.mails import MOST_NOTICES, MailHeld, MailStore

log = structlog.get_logger(__name__)

_ACCOUNTS_AT_ONCE: Final = 8
_NOTICES_AT_ONCE: Final = 32
_MOST_A_TURN: Final = 10
"""Mails to one account before others are looked at again."""
_FIRST_PAUSE: Final = 15.0
_GROWTH: Final = 3.0
_LONGEST_PAUSE: Final = 3600.0
_SETTLE_PAUSE: Final = 0.5
_LONGEST_LIFE: Final = timedelta(days=7)
"""After which a mail is given up whose senders keep dying; that the table does not answer is no failure of a mail."""


class _LeaseLost(Exception):
    """Another process sends the mail."""


@dataclass(slots=True)
class _Held:
    """A mail that is this process's until `lease_ends`, by its own clock, which no other need agree with."""

    mail: Mail
    lease_ends: float

    @property
    def about(self) -> dict[str, Any]:
        """What the log says of it."""
        return {"mail": self.mail.id, "user": self.mail.user_id, "attempt": self.mail.attempt}


class Mailer:
    """Sends what is due, one mail at a time to each account, several accounts beside each other."""

    def __init__(
        self,
        store: MailStore,
        transport: Transport,
        settings: Settings,
        *,
        clock: Clock = now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take where mail waits and how it leaves. Raises ValueError when `mail_from` is no address."""
        self._store = store
        self._transport = transport
        self._sender = sender_address(settings.mail_from)
        self._language = Language(settings.default_language)
        self._timeout = settings.mail_timeout
        self._attempts = settings.mail_attempts
        # A mail that could take as long as its lease would be sent by two.
        self._lease = max(settings.mail_lease_time, 2 * settings.mail_timeout)
        self._clock = clock
        self._monotonic = monotonic
        self._resting: dict[str, datetime] = {}
        """Accounts whose mail is held, and until when: remembered to spare calls, for the table decides."""

    async def send_due(self, *, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Send what is due now, and begin no mail once `go_on` says no; returns whether more is due already.

        Raises TableUnavailable when it cannot be found out what is due.
        """
        at = self._clock()
        self._resting = {user_id: until for user_id, until in self._resting.items() if until > at}
        looks = (self._store.due(shard, at=at, leave_out=self._resting) for shard in range(MAIL_SHARDS))
        waiting = [each for found in await gather(looks, at_once=MAIL_SHARDS) for each in found]
        left = await gather((self._turn(each, go_on) for each in waiting), at_once=_ACCOUNTS_AT_ONCE)
        return any(left)

    async def _turn(self, waiting: Waiting, go_on: Callable[[], bool]) -> bool:
        """Send mails to one account; returns whether it has more that can be sent at once."""
        try:
            if waiting.mail is not None and not await self._take_over(waiting.mail):
                return False
            lists: list[tuple[tuple[str, ...], bool]] = [((notice_id,), False) for notice_id in waiting.notice_ids]
            lists += [(waiting.digest_ids, True)] if waiting.digest_ids else []
            for number, (notice_ids, digest) in enumerate(lists):
                if number == _MOST_A_TURN or not go_on():
                    return True
                began = self._monotonic()
                mail = await self._store.take(
                    waiting.user_id, notice_ids, digest=digest, at=self._clock(), lease=timedelta(seconds=self._lease)
                )
                if not await self._send(_Held(mail, began + self._lease)):
                    return False
        except MailHeld as held:
            self._resting[waiting.user_id] = held.until
        except VitrinaError as error:
            # The table does not answer: what was begun is due again when its lease ends.
            log.warning("mail_put_off", user=waiting.user_id, error=type(error).__name__)
        else:
            return len(waiting.digest_ids) == MOST_NOTICES
        return False

    async def _take_over(self, mail: Mail) -> bool:
        """Send a mail that is due again; returns whether the account's others may follow."""
        began = self._monotonic()
        try:
            mail = await self._store.take_over(mail, at=self._clock(), lease=timedelta(seconds=self._lease))
        except MailHeld:
            # Others were quicker, or the index has not heard yet that it was sent.
            return True
        return await self._send(_Held(mail, began + self._lease))

    async def _send(self, held: _Held) -> bool:
        """Send a mail; returns whether it came to its end, in any way."""
        try:
            message = await self._written(held)
            if message is None:
                return await self._settle(held)
            await self._keep(held, at_least=self._timeout)
            async with timeout(self._timeout):
                await self._transport.send(message)
        except _LeaseLost:
            log.warning("mail_lease_lost", **held.about)
            return False
        except (MailRefused, ValueError) as error:
            return await self._give_up(held, str(error))
        except (MailNotSent, TimeoutError) as error:
            return await self._retry(held, str(error) or type(error).__name__)
        except VitrinaError:
            raise
        except Exception as error:
            # Whatever is wrong with this mail, it holds back no other.
            log.exception("mail_failed", **held.about)
            return await self._retry(held, type(error).__name__)
        # First this line, then the mark: of a sender that dies in between, the log may still tell.
        notices = len(held.mail.notice_ids)
        log.info("mail_sent", **held.about, notices=notices, message_id=message["Message-ID"])
        MAILS.labels("sent").inc()
        return await self._settle(held)

    async def _written(self, held: _Held) -> EmailMessage | None:
        """Take the notices up and write the message; None when there is nothing, or nobody any more, to send it to.

        Raises MailRefused when the mail has grown too old, ValueError when the account's e-mail is none that DNS can
        find, and _LeaseLost.
        """
        mail = held.mail
        notices: list[Notice] = []
        for first in range(0, len(mail.notice_ids), _NOTICES_AT_ONCE):
            await self._keep(held, at_least=self._lease / 2)
            ids = mail.notice_ids[first : first + _NOTICES_AT_ONCE]
            attached = await gather((self._store.attach(mail, notice_id) for notice_id in ids), at_once=len(ids))
            notices += [notice for notice in attached if notice is not None]
        if not notices:
            return None
        if self._clock() - mail.created_at > _LONGEST_LIFE:
            raise MailRefused("its senders keep dying")
        user, preferences = await self._store.recipient(mail.user_id) or (None, None)
        if user is None or not _is_told(user, preferences):
            log.info("mail_dropped", **held.about, notices=len(notices))
            MAILS.labels("dropped").inc()
            return None
        language = preferences.language if preferences else self._language
        return compose(mail, notices, recipient=user, language=language, sender=self._sender)

    async def _keep(self, held: _Held, *, at_least: float) -> None:
        """See to it that a mail is this process's for so many seconds: a long digest outlasts a lease.

        The table decides: one whose lease is over is still ours if nobody has taken it over. Raises _LeaseLost.
        """
        began = self._monotonic()
        if held.lease_ends - began >= at_least:
            return
        until = self._clock() + timedelta(seconds=self._lease)
        if not await self._store.postpone(held.mail, until=until, failed=False):
            raise _LeaseLost
        held.lease_ends = began + self._lease

    async def _give_up(self, held: _Held, why: str) -> bool:
        log.error("mail_given_up", **held.about, notices=len(held.mail.notice_ids), why=why)
        MAILS.labels("given_up").inc()
        return await self._settle(held)

    async def _retry(self, held: _Held, why: str) -> bool:
        failures = held.mail.failures + 1
        if failures >= self._attempts:
            return await self._give_up(held, why)
        until = self._clock() + timedelta(milliseconds=int(1000 * pause_after(failures)))
        if await self._store.postpone(held.mail, until=until, failed=True):
            self._resting[held.mail.user_id] = until
            log.warning("mail_retried", **held.about, why=why)
            MAILS.labels("retried").inc()
        return False

    async def _settle(self, held: _Held) -> bool:
        """Delete a mail that came to its end, and try for as long as nobody else may take it over."""
        while True:
            try:
                await self._store.finish(held.mail)
            except VitrinaError:
                if self._monotonic() > held.lease_ends:
                    raise
                await sleep(_SETTLE_PAUSE)
            else:
                return True


def pause_after(failures: int) -> float:
    """Return the seconds to wait after a failure: three times as many each time, up to an hour, and a jitter."""
    longest = min(_FIRST_PAUSE * _GROWTH ** (failures - 1), _LONGEST_PAUSE)
    return longest * random.uniform(0.75, 1.25)  # noqa: S311 - not a secret


def _is_told(user: User, preferences: NoticePreferences | None) -> bool:
    """Say whether an account as it is now is to be mailed."""
    wants = preferences is None or preferences.email is not EmailMode.OFF
    return user.active and user.role in PRODUCT_MANAGERS and wants
