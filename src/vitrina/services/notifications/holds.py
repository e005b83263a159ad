"""How long mail waits that a mail service refuses for a reason that an operator or time will mend."""

from datetime import datetime, timedelta
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


class Holds:
    """The refusals of a process: until when all mail waits, how often in a row, and which reasons were logged when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.until = clock()
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
