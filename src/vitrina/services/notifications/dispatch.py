"""Tells admins of changed prices (R9): an inbox entry for each change and admin, whatever is delivered twice.

What the queue delivers again finds its entries in the table. Whether and when an entry is mailed is decided before it
is written and stands in it, so that nothing a process forgets is forgotten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from vitrina.clock import Clock, now
from vitrina.config import Settings
from vitrina.domain.notices import EmailMode, Language, Notice, NoticePreferences, PriceChanged
from vitrina.domain.users import Role, User
from vitrina.errors import VitrinaError
from vitrina.metrics import NOTICES
from vitrina.services.concurrency import gather
from vitrina.store.inbox import InboxStore
from vitrina.store.recipients import RecipientStore

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 32
_TOLD_ROLES: Final = (Role.SUPER_ADMIN, Role.ADMIN)


def default_preferences(settings: Settings) -> NoticePreferences:
    """Return what an admin is mailed who has never said."""
    return NoticePreferences(
        email=EmailMode.DIGEST,
        digest_minutes=settings.digest_minutes,
        language=Language(settings.default_language),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchResult:
    """What became of events, by their ids: `told` are in every inbox, `failed` are to be told again.

    `mail_is_due` says that an entry was written whose mail is due at once.
    """

    told: frozenset[str]
    failed: frozenset[str]
    mail_is_due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """An inbox entry to be written."""

    notice: Notice
    due_at: datetime | None
    digest: bool = False


class Notices:
    """Writes inbox entries. A process may have one, and any number of processes may tell of the same events."""

    def __init__(
        self,
        inbox: InboxStore,
        recipients: RecipientStore,
        *,
        notify_actor: bool,
        before_digest: int,
        clock: Clock = now,
    ) -> None:
        """Take the stores, whether who changed a price is told too, and how many a window are mailed at once."""
        self._inbox = inbox
        self._recipients = recipients
        self._notify_actor = notify_actor
        self._before_digest = before_digest
        self._clock = clock
        self._full: dict[str, datetime] = {}
        """Admins whose window has had its notices mailed at once, and when it closes: true until then."""

    async def tell(self, events: Sequence[PriceChanged]) -> DispatchResult:
        """Tell every admin and super_admin who is active now of each event, but not who made it.

        Expected failures are logged and leave their events to be told again; no VitrinaError is raised.
        """
        changes = {event.id: event for event in events}
        try:
            admins, names, wishes = await self._audience(list(changes.values()))
        except VitrinaError as error:
            log.warning("notices_failed", error=type(error).__name__, changes=sorted(changes))
            return DispatchResult(told=frozenset(), failed=frozenset(changes), mail_is_due=False)
        decided = await gather(
            (self._entries(admin, list(changes.values()), names, wishes[admin.id]) for admin in admins),
            at_once=_AT_ONCE,
        )
        entries = [entry for entries, _ in decided for entry in entries]
        added = await gather((self._add(entry) for entry in entries), at_once=_AT_ONCE)
        failed = frozenset(
            [change_id for _, undecided in decided for change_id in undecided]
            + [entry.notice.change.id for entry, new in zip(entries, added, strict=True) if new is None]
        )
        mail_is_due = any(
            new and entry.due_at is not None and not entry.digest for entry, new in zip(entries, added, strict=True)
        )
        return DispatchResult(told=frozenset(changes) - failed, failed=failed, mail_is_due=mail_is_due)

    async def _audience(
        self, changes: Sequence[PriceChanged]
    ) -> tuple[list[User], dict[str, str], dict[str, NoticePreferences]]:
        """Find who is told, the names of who changed prices, and what the former want: 3 calls, 4 for a stranger."""
        by_role = await gather((self._recipients.of_role(role) for role in _TOLD_ROLES), at_once=len(_TOLD_ROLES))
        # An account whose role changes right now may be listed under both.
        admins = {user.id: user for users in by_role for user in users}
        names = {user.id: user.name for user in admins.values()}
        strangers = {change.changed_by for change in changes} - names.keys()
        names |= await self._recipients.names(sorted(strangers))
        return list(admins.values()), names, await self._recipients.preferences_of(admins)

    async def _entries(
        self, admin: User, changes: Sequence[PriceChanged], names: dict[str, str], wishes: NoticePreferences
    ) -> tuple[list[_Entry], list[str]]:
        """Return an admin's entries, or the ids of the changes for which they could not be decided."""
        notices = [
            Notice(user_id=admin.id, change=change, changed_by_name=names.get(change.changed_by))
            for change in changes
            if self._notify_actor or change.changed_by != admin.id
        ]
        at = self._clock()
        if wishes.email is EmailMode.OFF:
            return [_Entry(notice=notice, due_at=None) for notice in notices], []
        if wishes.email is EmailMode.EACH or not notices:
            return [_Entry(notice=notice, due_at=at) for notice in notices], []
        try:
            at_once, closes_at = await self._window(admin.id, len(notices), minutes=wishes.digest_minutes, at=at)
        except VitrinaError as error:
            undecided = [notice.change.id for notice in notices]
            log.warning("notices_failed", error=type(error).__name__, changes=undecided, user_id=admin.id)
            return [], undecided
        return [
            _Entry(notice=notice, due_at=at)
            if position < at_once
            else _Entry(notice=notice, due_at=closes_at, digest=True)
            for position, notice in enumerate(notices)
        ], []

    async def _window(self, user_id: str, notices: int, *, minutes: int, at: datetime) -> tuple[int, datetime]:
        """Return how many of an admin's notices are mailed at once, and when the digest with the others is due."""
        closes_at = self._full.get(user_id)
        if closes_at is not None and at < closes_at:
            return 0, closes_at
        self._full.pop(user_id, None)
        window = await self._recipients.count(user_id, notices, minutes=minutes, at=at)
        if window.notices >= self._before_digest:
            self._full[user_id] = window.closes_at
        before = window.notices - notices
        return max(0, self._before_digest - before), window.closes_at

    async def _add(self, entry: _Entry) -> bool | None:
        """Write an entry: True if it is new, False if it was there, None if it is to be told again."""
        try:
            new = await self._inbox.add(entry.notice, due_at=entry.due_at, digest=entry.digest)
        except VitrinaError as error:
            NOTICES.labels("failed").inc()
            log.warning(
                "notice_failed",
                error=type(error).__name__,
                change=entry.notice.change.id,
                user_id=entry.notice.user_id,
            )
            return None
        NOTICES.labels("told" if new else "again").inc()
        return new
