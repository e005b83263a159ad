"""What is measured of notices: telling of them, inboxes, and how they are mailed.

This comes first of the scenario: the admins who are told are those of the sample.
"""

from datetime import timedelta
from typing import Final

from tests.api.client import ok
from tests.services.notifications.harness import Outbox
from tests.store.design.world import Work, World, changed, plain, row
from vitrina.clock import now
from vitrina.mail.transport import MailNotSent
from vitrina.services.notifications.dispatch import NoticeDispatcher, default_preferences
from vitrina.services.notifications.mailer import Mailer
from vitrina.store.inbox import InboxStore
from vitrina.store.mails import MailStore
from vitrina.store.recipients import RecipientStore

_ONE: Final = "/v1/notifications/{notification_id}/read"
_PREFERENCES: Final = "/v1/me/notification-preferences"
_DEMOTED: Final = "an actor who is not an admin"


def _recipients(w: World) -> RecipientStore:
    return RecipientStore(w.table, defaults=default_preferences(w.service.settings))


def _notifier(w: World, *, minutes: float = 0) -> NoticeDispatcher:
    """Return what tells admins, as a process has it that has just begun, some minutes from now."""
    settings = w.service.settings
    return NoticeDispatcher(
        InboxStore(w.table, retention_days=settings.notice_retention_days),
        _recipients(w),
        notify_actor=settings.notify_actor,
        before_digest=1,  # Each that is mailed by itself costs the rows on mail some calls.
        clock=lambda: now() + timedelta(minutes=minutes),
    )


@row("vitrina notifier, a price changes, windows open")
async def _(w: World) -> Work:
    return _notifier(w).dispatch([changed(changed_by=w.admin.id)])


@row("vitrina notifier, two more prices change, in open windows")
async def _(w: World) -> Work:
    return _notifier(w).dispatch([changed(changed_by=w.admin.id) for _ in range(2)])


@row("vitrina notifier, three more prices change, after the limit for single mails")
async def _(w: World) -> Work:
    notifier = _notifier(w)
    await notifier.dispatch([changed(changed_by=w.admin.id)])
    return notifier.dispatch([changed(changed_by=w.admin.id) for _ in range(3)])


@row(f"vitrina notifier, windows have closed, {_DEMOTED}")
async def _(w: World) -> Work:
    return _notifier(w, minutes=60).dispatch([changed(changed_by=w.user.id)])


@row("vitrina notifier, an admin wants no mail")
async def _(w: World) -> Work:
    person = await w.account(role="admin")
    ok(await person.request("PUT", _PREFERENCES, {"email": "off"}))
    return _notifier(w, minutes=60).dispatch([changed(changed_by=w.admin.id)])


@row("vitrina notifier, a redelivery")
async def _(w: World) -> Work:
    event, notifier = changed(changed_by=w.admin.id), _notifier(w)
    await notifier.dispatch([event])
    return notifier.dispatch([event])


@row("vitrina notifier, mails are sent")
async def _(w: World) -> Work:
    return _mailer(w, Outbox()).send_due()


@row("vitrina notifier, a mail is not accepted")
async def _(w: World) -> Work:
    outbox, person = Outbox(), await w.account(role="admin")
    outbox.fails[person.email] = [MailNotSent("not now")]
    await _mailer(w, outbox).send_due()
    await w.notice(person, due_at=now())
    return _mailer(w, outbox).send_due()


@row("vitrina notifier, a mail whose sender died")
async def _(w: World) -> Work:
    person = await w.account(role="admin")
    await _mailer(w, Outbox()).send_due()
    notice = await w.notice(person, due_at=now())
    await MailStore(w.table).take(person.id, (notice.id,), digest=False, at=now(), lease=timedelta(0))
    return _mailer(w, Outbox()).send_due()


def _mailer(w: World, outbox: Outbox) -> Mailer:
    return Mailer(MailStore(w.table), outbox, w.service.settings)


plain("GET /v1/notifications", lambda w: w.admin.get("/v1/notifications"))
plain("GET /v1/notifications?unread=true", lambda w: w.admin.get("/v1/notifications?unread=true"))


@row("GET /v1/notifications, three in all", 200)
async def _(w: World) -> Work:
    person = await w.account(role="admin")
    for _ in range(3):
        await w.notice(person)
    return person.get("/v1/notifications")


@row(f"POST {_ONE}", 204)
async def _(w: World) -> Work:
    return w.admin.post(_ONE.format(notification_id=(await w.notice(w.admin)).id))


@row(f"POST {_ONE}, its mail is pending", 204)
async def _(w: World) -> Work:
    return w.admin.post(_ONE.format(notification_id=(await w.notice(w.admin, due_at=now())).id))


@row("POST /v1/notifications/read-all, three unread", 204)
async def _(w: World) -> Work:
    person = await w.account(role="admin")
    for _ in range(3):
        await w.notice(person)
    return person.post("/v1/notifications/read-all")


plain(f"GET {_PREFERENCES}", lambda w: w.admin.get(_PREFERENCES))


@row(f"PUT {_PREFERENCES}", 200)
async def _(w: World) -> Work:
    ok(await w.admin.request("PUT", _PREFERENCES, {"email": "off"}))
    return w.admin.request("PUT", _PREFERENCES, {"email": "digest"})


@row("DELETE /v1/users/{user_id}, an admin with two sessions, preferences, a window and three notices", 204)
async def _(w: World) -> Work:
    person = await w.account(role="admin")
    ok(await person.request("PUT", _PREFERENCES, {"email": "off"}))
    await _recipients(w).count(person.id, 1, minutes=15, at=now())
    for _ in range(3):
        await w.notice(person)
    return w.super_admin.delete(f"/v1/users/{person.id}")
