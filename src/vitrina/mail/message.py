"""Composes messages from domain values; the same values always give the same bytes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from email.header import Header
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UniqueUnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import parseaddr
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from vitrina.clock import rfc3339
from vitrina.domain.notices import Language, Mail, Notice
from vitrina.domain.users import User
from vitrina.mail.translations import TRANSLATIONS, Translations

MOST_SHOWN: Final = 100
"""Changes that a digest lists; it only counts the others."""
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


class _Subject(UniqueUnstructuredHeader, BaseHeader):  # type: ignore[misc]
    """A subject that reads back as it was: the library's own folding loses spaces between encoded texts."""

    def fold(self, *, policy: Policy) -> str:
        """Return the header in folded lines, with non-ASCII text encoded (RFC 2047)."""
        encoded = Header(str(self), header_name="Subject").encode(linesep=policy.linesep)
        return f"Subject: {encoded}{policy.linesep}"


_HEADERS: Final = HeaderRegistry()
_HEADERS.map_to_type("subject", _Subject)
_POLICY: Final = SMTP.clone(header_factory=_HEADERS)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A notice as the templates show it; no text contains a line break."""

    name: str
    sku: str
    old_price: str
    new_price: str
    changed_by: str
    changed_at: str
    request_id: str


def compose(
    mail: Mail, notices: Sequence[Notice], *, recipient: User, language: Language, sender: Address
) -> EmailMessage:
    """Return the message of a mail, as text and HTML, about `notices`: those of the mail not sent before.

    A digest of one notice reads like a single notice. The message has no link: the API's responses are for programs,
    and following a link would record a view (R4). No name can add a header or a line. Raises ValueError if the domain
    of the account's address cannot be encoded for DNS.
    """
    texts = TRANSLATIONS[language]
    newest_first = sorted(notices, key=lambda notice: notice.id, reverse=True)
    shown = [_shown(notice, texts) for notice in newest_first[:MOST_SHOWN]]
    if len(notices) == 1:
        template = "notice"
        subject = texts.subject.format(name=shown[0].name, old=shown[0].old_price, new=shown[0].new_price)
    else:
        template = "digest"
        subject = texts.digest_subject.format(number=len(notices))
    context: dict[str, Any] = {
        "texts": texts,
        "language": language.value,
        "recipient": one_line(recipient.name),
        "subject": subject,
        "notices": shown,
        "number": len(notices),
        "more": len(notices) - len(shown),
    }
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = address(recipient.name, recipient.email)
    message["Subject"] = subject
    message["Date"] = mail.created_at
    message["Message-ID"] = f"<{_identity(mail)}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    if mail.attempt > 1:
        message[ATTEMPT_HEADER] = str(mail.attempt)
    # Quoted-printable passes every server: lines are short and bytes are ASCII.
    message.set_content(_TEMPLATES.get_template(f"{template}.txt").render(context), cte="quoted-printable")
    html = _TEMPLATES.get_template(f"{template}.html").render(context)
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    message.set_boundary(f"=_{hashlib.sha256(mail.id.encode()).hexdigest()[:32]}")
    return message


def address(name: str, spec: str) -> Address:
    """Return an address with its domain encoded for DNS (RFC 5890). Raises ValueError if `spec` is not an address."""
    local, at, domain = one_line(spec).rpartition("@")
    if not at or not local or not domain:
        raise ValueError("not an e-mail address")
    return Address(one_line(name), local, domain.encode("idna").decode())


def sender_address(text: str) -> Address:
    """Parse the setting `mail_from`. Raises ValueError if it is not an address."""
    return address(*parseaddr(text))


def one_line(text: str) -> str:
    """Return `text` with unprintable characters, such as line breaks, as spaces, and no repeated spaces."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _identity(mail: Mail) -> str:
    """Return the left side of the Message-ID, by which mail programs recognise copies of a mail."""
    if len(mail.notice_ids) == 1:
        return f"{mail.notice_ids[0]}.{mail.user_id}"
    digest = hashlib.sha256("\n".join((mail.user_id, *sorted(mail.notice_ids))).encode())
    return f"digest.{digest.hexdigest()[:40]}.{mail.user_id}"


def _shown(notice: Notice, texts: Translations) -> _Shown:
    change = notice.change
    return _Shown(
        name=one_line(change.name),
        sku=one_line(change.sku),
        old_price=f"{change.old_price} {change.old_currency}",
        new_price=f"{change.price} {change.currency}",
        changed_by=one_line(notice.changed_by_name or "") or texts.somebody,
        changed_at=f"{rfc3339(change.changed_at)[:19].replace('T', ' ')} UTC",
        request_id=one_line(change.request_id),
    )
