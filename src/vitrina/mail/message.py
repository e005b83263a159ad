"""Composes messages from domain values; the same values always give the same bytes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from vitrina.clock import rfc3339
from vitrina.domain.notices import Language, Mail, Notice
from vitrina.domain.users import User, wire_address
from vitrina.mail.headers import Mailbox, isolated, mailbox_field, text_field, visible
from vitrina.mail.translations import TRANSLATIONS, Translations
from vitrina.mail.transport import MailRefused, Message

MOST_SHOWN: Final = 100
"""Changes that a digest lists; it only counts the others."""
_MOST_IN_SUBJECT: Final = 60
"""Characters of a name in a subject: programs show about as many, and the prices come after it."""
ATTEMPT_HEADER: Final = "X-Vitrina-Attempt"
"""Set from the second attempt on: such a mail may be a copy of one already delivered."""

_TEMPLATES: Final = Environment(
    loader=PackageLoader("vitrina.mail"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A notice as the templates show it, in texts of one line each in which nothing hides."""

    name: str
    sku: str
    old_price: str
    new_price: str
    changed_by: str
    changed_at: str
    request_id: str


def compose(mail: Mail, notices: Sequence[Notice], *, recipient: User, language: Language, sender: Mailbox) -> Message:
    """Return the message of a mail, as text and HTML, about `notices`: those of the mail not sent before.

    A digest of one notice reads like a single notice. The message has no link: the API's responses are for programs,
    and following a link would record a view (R4). No name can add a header or a line, or hide text. Raises MailRefused
    for an address of before the rules of `wire_address`, and for a header that does not read back.
    """
    try:
        to = Mailbox(visible(recipient.name), wire_address(recipient.email))
    except ValueError as error:
        raise MailRefused("the account's address is not one that every mail server accepts") from error
    texts = TRANSLATIONS[language]
    newest_first = sorted(notices, key=lambda notice: notice.id, reverse=True)
    shown = [_shown(notice, texts) for notice in newest_first[:MOST_SHOWN]]
    if len(notices) == 1:
        template = "notice"
        name = subject_name(newest_first[0].change.name)
        subject = texts.subject.format(name=name, old=shown[0].old_price, new=shown[0].new_price)
    else:
        template = "digest"
        subject = texts.digest_subject.format(number=len(notices))
    context: dict[str, Any] = {
        "texts": texts,
        "language": language.value,
        "recipient": isolated(to.name),
        "subject": subject,
        "notices": shown,
        "number": len(notices),
        "more": len(notices) - len(shown),
    }
    fields = {
        "Date": format_datetime(mail.created_at),
        "Message-ID": f"<{_identity(mail)}@{sender.address.rpartition('@')[2]}>",
        "Auto-Submitted": "auto-generated",
    }
    if mail.attempt > 1:
        fields[ATTEMPT_HEADER] = str(mail.attempt)
    content = EmailMessage(policy=SMTP)
    # Quoted-printable passes every server: lines are short and bytes are ASCII.
    content.set_content(_TEMPLATES.get_template(f"{template}.txt").render(context), cte="quoted-printable")
    html = _TEMPLATES.get_template(f"{template}.html").render(context)
    content.add_alternative(html, subtype="html", cte="quoted-printable")
    content.set_boundary(f"=_{hashlib.sha256(mail.id.encode()).hexdigest()[:32]}")
    header = mailbox_field("From", sender) + mailbox_field("To", to) + text_field("Subject", subject)
    header += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return Message(
        id=fields["Message-ID"],
        sender=sender,
        recipient=to,
        subject=subject,
        others=[*fields, *content.keys()],
        data=header.encode() + content.as_bytes(),
    )


def sender_address(text: str) -> Mailbox:
    """Parse the setting `mail_from`. Raises ValueError if it is not an address."""
    name, address = parseaddr(text)
    return Mailbox(visible(name), wire_address(address))


def subject_name(name: str) -> str:
    """Return the name of a product as a subject shows it, cut if it is long."""
    name = visible(name)
    return isolated(name if len(name) <= _MOST_IN_SUBJECT else f"{name[: _MOST_IN_SUBJECT - 1].rstrip()}…")


def _identity(mail: Mail) -> str:
    """Return the left side of the Message-ID, by which mail programs recognise copies of a mail."""
    if len(mail.notice_ids) == 1:
        return f"{mail.notice_ids[0]}.{mail.user_id}"
    digest = hashlib.sha256("\n".join((mail.user_id, *sorted(mail.notice_ids))).encode())
    return f"digest.{digest.hexdigest()[:40]}.{mail.user_id}"


def _shown(notice: Notice, texts: Translations) -> _Shown:
    change = notice.change
    return _Shown(
        name=isolated(visible(change.name)),
        sku=visible(change.sku),
        old_price=f"{change.old_price} {change.old_currency}",
        new_price=f"{change.price} {change.currency}",
        changed_by=isolated(visible(notice.changed_by_name or "")) or texts.somebody,
        changed_at=f"{rfc3339(change.changed_at)[:19].replace('T', ' ')} UTC",
        request_id=visible(change.request_id),
    )
