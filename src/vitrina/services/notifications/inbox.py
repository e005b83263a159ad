"""An admin's inbox of price changes and their mail preferences (R9)."""

from dataclasses import dataclass
from typing import Final

from vitrina.clock import Clock, now
from vitrina.domain.notices import EmailMode, Language, Notice, NoticePreferences, is_notice_id
from vitrina.domain.pages import Page, Position
from vitrina.errors import NotFound
from vitrina.services.concurrency import gather
from vitrina.store.inbox import InboxStore
from vitrina.store.recipients import RecipientStore

_CONCURRENCY: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxPage:
    """A page of an inbox; `unread_count` counts the whole inbox."""

    page: Page[Notice]
    unread_count: int


class Inbox:
    """Reads and marks the notices of the admin whose id each method takes."""

    def __init__(self, store: InboxStore, recipients: RecipientStore, *, clock: Clock = now) -> None:
        self._store = store
        self._recipients = recipients
        self._clock = clock

    async def page(self, user_id: str, *, unread: bool, limit: int, start: Position | None) -> InboxPage:
        """Return a page of all entries or of the unread ones, newest first."""
        at = self._clock()
        page = await self._store.page(user_id, unread=unread, at=at, limit=limit, start=start)
        if start is None and page.next is None:  # The page is the whole inbox: no request is needed to count it.
            return InboxPage(page=page, unread_count=sum(notice.read_at is None for notice in page.items))
        return InboxPage(page=page, unread_count=await self._store.unread_count(user_id, at=at))

    async def mark_read(self, user_id: str, notice_id: str) -> None:
        """Mark an entry as read; idempotent. Raises NotFound if the inbox has no such entry."""
        if not is_notice_id(notice_id):
            raise NotFound
        await self._store.mark_read(user_id, notice_id, at=self._clock())

    async def mark_all_read(self, user_id: str) -> None:
        """Mark all entries as read that are unread now. After an interruption a second call finishes the work."""
        at = self._clock()
        start: Position | None = None
        while True:
            found = await self._store.unread_ids(user_id, at=at, start=start)
            await gather((self._mark(user_id, notice_id) for notice_id in found.items), at_once=_CONCURRENCY)
            start = found.next
            if start is None:
                return

    async def _mark(self, user_id: str, notice_id: str) -> None:
        try:
            await self._store.mark_read(user_id, notice_id, at=self._clock())
        except NotFound:
            return  # The index lags behind the table: the entry was deleted with its account or expired.

    async def preferences(self, user_id: str) -> NoticePreferences:
        """Return an admin's mail preferences, the defaults if none are set."""
        return await self._recipients.preferences(user_id)

    async def set_preferences(
        self, user_id: str, *, email: EmailMode, digest_minutes: int | None, language: Language | None
    ) -> NoticePreferences:
        """Replace an admin's mail preferences; None stands for this installation's default."""
        defaults = self._recipients.defaults
        preferences = NoticePreferences(
            email=email,
            digest_minutes=defaults.digest_minutes if digest_minutes is None else digest_minutes,
            language=defaults.language if language is None else language,
        )
        await self._recipients.save(user_id, preferences)
        return preferences
