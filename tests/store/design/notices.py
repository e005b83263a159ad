"""Rows about notices: delivery, inboxes and mail.

This module runs first, so that the recipients are the admins of the sample.
"""

from datetime import timedelta
from typing import Final

from tests.api.client import ok
from tests.services.notifications.harness import Outbox
from tests.store.design.harness import Harness, Work, changed, plain, row
from vitrina.clock import now
from vitrina.mail.transport import MailNotSent
from vitrina.services.notifications.dispatch import NoticeDispatcher, default_preferences
from vitrina.services.notifications.mailer import Mailer
from vitrina.store.inbox import InboxStore
from vitrina.store.mails import MailStore
from vitrina.store.recipients import RecipientStore

_ONE: Final = "/v1/notifications/{notification_id}/read"
_PREFERENCES: Final = "/v1/me/notification-preferences"
_ENDED: Final = timedelta(seconds=2)
"""Time since a lease has ended, also by the table's clock, which may be a second late."""
_DEMOTED: Final = "an actor who is not an admin"
_OWNED: Final = "two sessions, an API key, preferences, a window and three notices"


def _recipients(h: Harness) -> RecipientStore:
    return RecipientStore(h.table, defaults=default_preferences(h.service.settings))


def _notifier(h: Harness, *, minutes: float = 0) -> NoticeDispatcher:
    """Return a notifier without cached windows, as in a new process, with its clock some minutes ahead."""
    settings = h.service.settings
    return NoticeDispatcher(
        InboxStore(h.table, retention_days=settings.notice_retention_days),
        _recipients(h),
        notify_actor=settings.notify_actor,
        before_digest=1,  # Each that is mailed by itself costs the rows on mail some calls.
        clock=lambda: now() + timedelta(minutes=minutes),
    )


@row("vitrina notifier, a price changes, windows open")
async def _(h: Harness) -> Work:
    return _notifier(h).dispatch([changed(changed_by=h.admin.id)])


@row("vitrina notifier, two more prices change, in open windows")
async def _(h: Harness) -> Work:
    return _notifier(h).dispatch([changed(changed_by=h.admin.id) for _ in range(2)])


@row("vitrina notifier, three more prices change, after the limit for single mails")
async def _(h: Harness) -> Work:
    notifier = _notifier(h)
    await notifier.dispatch([changed(changed_by=h.admin.id)])
    return notifier.dispatch([changed(changed_by=h.admin.id) for _ in range(3)])


@row(f"vitrina notifier, windows have closed, {_DEMOTED}")
async def _(h: Harness) -> Work:
    return _notifier(h, minutes=60).dispatch([changed(changed_by=h.user.id)])


@row("vitrina notifier, an admin wants no mail")
async def _(h: Harness) -> Work:
    person = await h.account(role="admin")
    ok(await person.request("PUT", _PREFERENCES, {"email": "off"}))
    return _notifier(h, minutes=60).dispatch([changed(changed_by=h.admin.id)])


@row("vitrina notifier, a redelivery")
async def _(h: Harness) -> Work:
    event, notifier = changed(changed_by=h.admin.id), _notifier(h)
    await notifier.dispatch([event])
    return notifier.dispatch([event])


@row("vitrina notifier, mails are sent")
async def _(h: Harness) -> Work:
    return _mailer(h, Outbox()).send_due()


@row("vitrina notifier, a mail is not accepted")
async def _(h: Harness) -> Work:
    outbox, person = Outbox(), await h.account(role="admin")
    outbox.fails[person.email] = [MailNotSent("not now")]
    await _mailer(h, outbox).send_due()
    await h.notice(person, due_at=now())
    return _mailer(h, outbox).send_due()


@row("vitrina notifier, a mail whose sender died")
async def _(h: Harness) -> Work:
    person = await h.account(role="admin")
    await _mailer(h, Outbox()).send_due()
    notice = await h.notice(person, due_at=now())
    await MailStore(h.table).take(person.id, (notice.id,), digest=False, at=now() - _ENDED, lease=timedelta(0))
    return _mailer(h, Outbox()).send_due()


def _mailer(h: Harness, outbox: Outbox) -> Mailer:
    return Mailer(MailStore(h.table), outbox, h.service.settings)


plain("GET /v1/notifications", lambda h: h.admin.get("/v1/notifications"))
plain("GET /v1/notifications?unread=true", lambda h: h.admin.get("/v1/notifications?unread=true"))


@row("GET /v1/notifications, three in all", 200)
async def _(h: Harness) -> Work:
    person = await h.account(role="admin")
    for _ in range(3):
        await h.notice(person)
    return person.get("/v1/notifications")


@row(f"POST {_ONE}", 204)
async def _(h: Harness) -> Work:
    return h.admin.post(_ONE.format(notification_id=(await h.notice(h.admin)).id))


@row(f"POST {_ONE}, its mail is pending", 204)
async def _(h: Harness) -> Work:
    return h.admin.post(_ONE.format(notification_id=(await h.notice(h.admin, due_at=now())).id))


@row("POST /v1/notifications/read-all, three unread", 204)
async def _(h: Harness) -> Work:
    person = await h.account(role="admin")
    for _ in range(3):
        await h.notice(person)
    return person.post("/v1/notifications/read-all")


plain(f"GET {_PREFERENCES}", lambda h: h.admin.get(_PREFERENCES))


@row(f"PUT {_PREFERENCES}", 200)
async def _(h: Harness) -> Work:
    ok(await h.admin.request("PUT", _PREFERENCES, {"email": "off"}))
    return h.admin.request("PUT", _PREFERENCES, {"email": "digest"})


@row(f"DELETE /v1/users/{{user_id}}, an admin with {_OWNED}", 204)
async def _(h: Harness) -> Work:
    person = await h.account(role="admin")
    await h.api_key(person)
    ok(await person.request("PUT", _PREFERENCES, {"email": "off"}))
    await _recipients(h).count(person.id, 1, minutes=15, at=now())
    for _ in range(3):
        await h.notice(person)
    return h.super_admin.delete(f"/v1/users/{person.id}")
