"""Notices, preferences for mail, and the mails that notices are sent in."""

from dataclasses import asdict
from datetime import datetime

from vitrina.clock import epoch_seconds
from vitrina.domain.notices import EmailMode, Language, Mail, Notice, NoticePreferences, PriceChanged
from vitrina.store import keys
from vitrina.store.codecs import attributes
from vitrina.store.items import MailItem, NoticeItem, NoticePreferencesItem


def notice_item(notice: Notice, *, expires_at: datetime) -> NoticeItem:
    """Return the item of an unread notice, with the keys of the index of unread notices but not of due mail."""
    return NoticeItem.keyed(
        keys.notice(notice.user_id, notice.id),
        id=notice.id,
        user_id=notice.user_id,
        **asdict(notice.change),
        changed_by_name=notice.changed_by_name,
        listing=keys.unread_notices(notice.user_id),
        by_time=keys.by_time(notice.change.changed_at, notice.id),
        expires_at=epoch_seconds(expires_at),
    )


def notice_from(item: NoticeItem) -> Notice:
    """Return the notice of an item."""
    change = PriceChanged(**attributes(item, PriceChanged))
    return Notice(user_id=item.user_id, change=change, changed_by_name=item.changed_by_name, read_at=item.read_at)


def preferences_item(user_id: str, preferences: NoticePreferences) -> NoticePreferencesItem:
    """Return the item of an account's preferences."""
    return NoticePreferencesItem.keyed(
        keys.notice_preferences(user_id),
        email=preferences.email.value,
        digest_minutes=preferences.digest_minutes,
        language=preferences.language.value,
    )


def preferences_from(item: NoticePreferencesItem) -> NoticePreferences:
    """Return the preferences of an item."""
    return NoticePreferences(
        email=EmailMode(item.email), digest_minutes=item.digest_minutes, language=Language(item.language)
    )


def mail_item(mail: Mail) -> MailItem:
    """Return the item of a mail, with the keys of the index of due mail."""
    return MailItem.keyed(
        keys.mail(mail.user_id),
        id=mail.id,
        user_id=mail.user_id,
        notices=list(mail.notice_ids),
        digest=mail.digest,
        attempts=mail.attempt,
        failures=mail.failures,
        created_at=mail.created_at,
        due=keys.due_mail(keys.mail_shard(mail.user_id)),
        due_at=mail.due_at,
    )


def mail_from(item: MailItem) -> Mail:
    """Return the mail of an item."""
    assert item.due_at is not None  # noqa: S101 - a mail is due for as long as there is one
    return Mail(
        id=item.id,
        user_id=item.user_id,
        notice_ids=tuple(item.notices),
        digest=item.digest,
        attempt=item.attempts,
        failures=item.failures,
        created_at=item.created_at,
        due_at=item.due_at,
    )
