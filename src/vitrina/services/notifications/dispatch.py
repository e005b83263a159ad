"""Writes an inbox entry for each price change and admin (R9); repeated deliveries write nothing new.

A redelivered message finds its entries in the table. When an entry is due to be mailed is decided before the entry is
written and stored in it, so a process that dies forgets nothing.

The recipients are the admins whom an index shows half a second after the change: by then it shows who was an admin at
the change, even one who had just been created or promoted.
"""

import asyncio
from collections.abc import Iterable, Sequence
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

_CONCURRENCY: Final = 32
_RECIPIENT_ROLES: Final = (Role.SUPER_ADMIN, Role.ADMIN)
_INDEX_LAG: Final = 0.5
"""Seconds. An index shows a write "within a fraction of a second, under normal conditions" (AWS, "How GSIs work")."""


def default_preferences(settings: Settings) -> NoticePreferences:
    """Return the preferences of an admin who has set none."""
    return NoticePreferences(
        email=EmailMode.DIGEST,
        digest_minutes=settings.digest_minutes,
        language=Language(settings.default_language),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchResult:
    """Ids of the events that are `delivered` to every inbox, and of those that `failed` and must be dispatched again.

    `mail_is_due` is true if a new entry is to be mailed at once.
    """

    delivered: frozenset[str]
    failed: frozenset[str]
    mail_is_due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """An inbox entry to write; `due_at` is None if it is never mailed."""

    notice: Notice
    due_at: datetime | None
    digest: bool = False


class NoticeDispatcher:
    """Writes inbox entries. Any number of processes may dispatch the same events at the same time.

    `notify_actor` includes the admin who changed the price. The first `before_digest` notices of an admin's digest
    window are mailed at once, the others together when the window closes. `index_lag` is in seconds.
    """

    def __init__(
        self,
        inbox: InboxStore,
        recipients: RecipientStore,
        *,
        notify_actor: bool,
        before_digest: int,
        index_lag: float = _INDEX_LAG,
        clock: Clock = now,
    ) -> None:
        self._inbox = inbox
        self._recipients = recipients
        self._notify_actor = notify_actor
        self._before_digest = before_digest
        self._index_lag = index_lag
        self._clock = clock
        self._full: dict[str, datetime] = {}
        """When the window of an admin closes whose immediate mails are used up; spares counting until then."""

    async def dispatch(self, events: Sequence[PriceChanged]) -> DispatchResult:
        """Write an entry of each event for every active admin and super_admin except the one who made the change.

        Never raises VitrinaError: expected failures are logged and reported in `DispatchResult.failed`.
        """
        changes = {event.id: event for event in events}
        await self._wait_for_index(changes.values())
        try:
            admins, names, preferences = await self._audience(list(changes.values()))
        except VitrinaError as error:
            log.warning("recipients_not_found", error=type(error).__name__, changes=sorted(changes))
            return DispatchResult(delivered=frozenset(), failed=frozenset(changes), mail_is_due=False)
        decided = await gather(
            (self._entries(admin, list(changes.values()), names, preferences[admin.id]) for admin in admins),
            at_once=_CONCURRENCY,
        )
        entries = [entry for entries, _ in decided for entry in entries]
        added = await gather((self._add(entry) for entry in entries), at_once=_CONCURRENCY)
        failed = frozenset(
            [change_id for _, undecided in decided for change_id in undecided]
            + [entry.notice.change.id for entry, new in zip(entries, added, strict=True) if new is None]
        )
        mail_is_due = any(
            new and entry.due_at is not None and not entry.digest for entry, new in zip(entries, added, strict=True)
        )
        return DispatchResult(delivered=frozenset(changes) - failed, failed=failed, mail_is_due=mail_is_due)

    async def _wait_for_index(self, changes: Iterable[PriceChanged]) -> None:
        """Wait until the youngest change is older than the lag; at most that long, since clocks of processes differ."""
        at = self._clock()
        ages = [(at - change.changed_at).total_seconds() for change in changes]
        await asyncio.sleep(max(0.0, self._index_lag - max(0.0, min(ages, default=self._index_lag))))

    async def _audience(
        self, changes: Sequence[PriceChanged]
    ) -> tuple[list[User], dict[str, str], dict[str, NoticePreferences]]:
        """Return the recipients, the names of the actors by id, and the recipients' preferences by id.

        Takes 3 requests, or 4 if an actor is no longer an admin.
        """
        by_role = await gather(
            (self._recipients.of_role(role) for role in _RECIPIENT_ROLES), at_once=len(_RECIPIENT_ROLES)
        )
        # An account whose role is changing at this moment may be listed under both roles.
        admins = {user.id: user for users in by_role for user in users}
        names = {user.id: user.name for user in admins.values()}
        others = {change.changed_by for change in changes} - names.keys()
        names |= await self._recipients.names(sorted(others))
        return list(admins.values()), names, await self._recipients.preferences_of(admins)

    async def _entries(
        self, admin: User, changes: Sequence[PriceChanged], names: dict[str, str], preferences: NoticePreferences
    ) -> tuple[list[_Entry], list[str]]:
        """Return an admin's entries, or the ids of the changes if their digest window could not be counted."""
        notices = [
            Notice(user_id=admin.id, change=change, changed_by_name=names.get(change.changed_by))
            for change in changes
            if self._notify_actor or change.changed_by != admin.id
        ]
        at = self._clock()
        if preferences.email is EmailMode.OFF:
            return [_Entry(notice=notice, due_at=None) for notice in notices], []
        if preferences.email is EmailMode.EACH or not notices:
            return [_Entry(notice=notice, due_at=at) for notice in notices], []
        try:
            immediate, closes_at = await self._window(admin.id, len(notices), minutes=preferences.digest_minutes, at=at)
        except VitrinaError as error:
            undecided = [notice.change.id for notice in notices]
            log.warning("digest_window_failed", error=type(error).__name__, changes=undecided, user_id=admin.id)
            return [], undecided
        return [
            _Entry(notice=notice, due_at=at)
            if position < immediate
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
        """Write an entry; returns True if it is new, False if it already existed, None if the write failed."""
        try:
            new = await self._inbox.add(entry.notice, due_at=entry.due_at, digest=entry.digest)
        except VitrinaError as error:
            NOTICES.labels("failed").inc()
            log.warning(
                "notice_write_failed",
                error=type(error).__name__,
                change=entry.notice.change.id,
                user_id=entry.notice.user_id,
            )
            return None
        NOTICES.labels("told" if new else "again").inc()
        return new
