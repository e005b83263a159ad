"""Sends the mail that is due (R9): at least once, and twice only if a sender dies between sending and marking.

All state is in the table: a notice is due from the write of its inbox entry on, and a mail that is being sent is due
again once its lease ends, by the table's clock. So no process whose own clock is wrong takes a mail from its sender. A
poll costs 4 queries; a mail costs 3 requests, 1 for each notice, and 1 more for each half lease time that it takes.

While an account's mail must wait, its other notices stay due. They may be thousands, so polls read only what has become
due since all accounts that could be served were; that includes the mail itself, once it may be tried again.
"""

import time
from collections.abc import Callable
from datetime import datetime
from enum import Enum, auto
from typing import Final

import structlog

from vitrina.backoff import Backoff
from vitrina.clock import Clock, now
from vitrina.config import Settings
from vitrina.domain.notices import Mail, Waiting
from vitrina.errors import VitrinaError
from vitrina.mail.transport import Transport
from vitrina.services.concurrency import gather
from vitrina.services.notifications.delivery import MailDelivery
from vitrina.services.notifications.holds import Holds, PausedAccounts
from vitrina.store.keys import MAIL_SHARDS
from vitrina.store.mails import MOST_ACCOUNTS, MOST_NOTICES, MailHeld, MailStore
from vitrina.store.table_clock import TableClock

log = structlog.get_logger(__name__)

_ACCOUNTS_AT_ONCE: Final = 8
_SETTLE: Final = Backoff(first=0.5, longest=0.5, jitter=0)
_MAILS_PER_TURN: Final = 10
"""Mails to one account before the other accounts are polled again."""


class _Turn(Enum):
    """How the turn of an account ended: with nothing left, with more to send, or with a mail that waits."""

    DONE = auto()
    MORE = auto()
    STOPPED = auto()


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
        self._own_clock = clock
        self._clock = TableClock(clock, monotonic=monotonic)
        self._monotonic = monotonic
        self._paused = PausedAccounts(self._clock)
        self._holds = Holds(self._clock)
        self._delivery = MailDelivery(
            store,
            transport,
            settings,
            clock=self._clock,
            monotonic=monotonic,
            settle=settle,
            paused=self._paused,
            holds=self._holds,
        )

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
                    waiting.user_id, notice_ids, digest=digest, at=self._clock(), lease=self._delivery.lease_length
                )
                if not await self._delivery.send(mail, leased_at=began):
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
            mail = await self._store.take_over(mail, at=self._clock(), lease=self._delivery.lease_length)
        except MailHeld:
            # Another process was faster, or the index does not show yet that the mail was sent.
            return True
        return await self._delivery.send(mail, leased_at=began)
