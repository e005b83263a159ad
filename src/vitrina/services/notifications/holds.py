"""How long mail waits: of all, because the mail service refuses it for now, and of single accounts."""

from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from vitrina.backoff import Backoff
from vitrina.clock import Clock
from vitrina.mail.transport import MailHeldBack
from vitrina.metrics import MAILS_HELD_BACK

log = structlog.get_logger(__name__)

_PAUSES: Final = Backoff(first=75, longest=540, jitter=0.2)
"""Pauses after refusals: a minute at least, and at most 9 minutes after an operator's repair the mail is sent."""
_LOGGED: Final = timedelta(minutes=15)
"""Time after which a reason is logged again while it lasts."""
_OVERLAP: Final = timedelta(minutes=1)
"""What polls read again: the index lags, and the clocks of processes differ."""
_READ_ALL: Final = timedelta(minutes=5)
"""Time after which all due mail is read in any case: another process may have died with an account's mail."""


class Holds:
    """The refusals of a process: until when all mail waits, how often in a row, and which reasons were logged when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.until = datetime.min.replace(tzinfo=UTC)
        """When any mail may be tried again, after a refusal that concerns all."""
        self._times = 0
        self._logged: dict[str, datetime] = {}

    def end(self) -> None:
        """Begin with the shortest pause again, since a mail was sent."""
        self._times = 0

    def add(self, reason: MailHeldBack, *, attempt: int, **log_fields: object) -> datetime:
        """Return when a refused mail may be tried again. The reason is logged once in 15 minutes, not for each mail."""
        at = self._clock()
        if not reason.concerns_all:
            until = at + timedelta(seconds=_PAUSES.pause(attempt))
        else:
            if at >= self.until:
                self._times += 1
                self.until = at + timedelta(seconds=_PAUSES.pause(self._times))
            until = self.until
        logged = self._logged.get(reason.code)
        if logged is None or at - logged >= _LOGGED:
            self._logged[reason.code] = at
            log.error("mail_held_back", **log_fields, attempt=attempt, code=reason.code, advice=reason.advice)
        MAILS_HELD_BACK.labels(reason.code).inc()
        return until


class PausedAccounts:
    """The accounts whose mail waits, and how much of the due mail a process reads meanwhile.

    It only spares requests: the table decides what may be sent.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, datetime] = {}
        self._known_before = self._known_until = clock()

    def __contains__(self, user_id: object) -> bool:
        """Return whether an account is paused now."""
        return isinstance(user_id, str) and (until := self._until.get(user_id)) is not None and until > self._clock()

    def add(self, user_id: str, until: datetime) -> None:
        """Pause an account."""
        self._until[user_id] = until

    def since(self) -> datetime | None:
        """Return the time before which all due mail is of paused accounts; None if all due mail must be read.

        It is no later than now, also if the clock has been set back.
        """
        at = self._clock()
        self._until = {user_id: until for user_id, until in self._until.items() if until > at}
        return self._known_before if self._until and self._known_before <= at < self._known_until else None

    def note_poll(self, at: datetime, since: datetime | None, *, is_complete: bool) -> None:
        """Remember a poll of the mail that was due from `since` to `at`.

        A complete one left only that of paused accounts.
        """
        if since is None:
            self._known_until = at + _READ_ALL
        if is_complete:
            self._known_before = at - _OVERLAP
        else:
            self._known_until = at
