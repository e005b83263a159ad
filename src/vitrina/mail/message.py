"""How a mail reads: from the domain's values to a message, always the same one for the same values."""

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
from vitrina.domain.mails import Mail
from vitrina.domain.notices import Language, Notice
from vitrina.domain.users import User
from vitrina.mail.translations import TRANSLATIONS, Translations

MOST_SHOWN: Final = 100
"""Changes that a digest lists; of the others it says how many they are."""
ATTEMPT_HEADER: Final = "X-Vitrina-Attempt"
"""There from the second attempt on: such a mail may be the second of its Message-ID."""

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
        """Write the header, encoded where it is not ASCII (RFC 2047), in lines as long as mail likes them."""
        encoded = Header(str(self), header_name="Subject").encode(linesep=policy.linesep)
        return f"Subject: {encoded}{policy.linesep}"


_HEADERS: Final = HeaderRegistry()
_HEADERS.map_to_type("subject", _Subject)
_POLICY: Final = SMTP.clone(header_factory=_HEADERS)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A notice as a template shows it: each text in one line."""

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
    """Write the message of a mail, text and HTML, about `notices`: those of it that were not mailed before.

    A digest of one reads like that notice by itself. There is no link: the API's answers are for programs, and
    to follow one would record a view (R4). Nothing in a name can add a header or a line. Raises ValueError when the
    account's e-mail is none that DNS can find.
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
    # Quoted-printable passes every server: no line is long, and no byte has its eighth bit.
    message.set_content(_TEMPLATES.get_template(f"{template}.txt").render(context), cte="quoted-printable")
    html = _TEMPLATES.get_template(f"{template}.html").render(context)
    message.add_alternative(html, subtype="html", cte="quoted-printable")
    message.set_boundary(f"=_{hashlib.sha256(mail.id.encode()).hexdigest()[:32]}")
    return message


def address(name: str, spec: str) -> Address:
    """Return an address with its domain as DNS has it (RFC 5890). Raises ValueError when it is none."""
    local, at, domain = one_line(spec).rpartition("@")
    if not at or not local or not domain:
        raise ValueError("not an e-mail address")
    return Address(one_line(name), local, domain.encode("idna").decode())


def sender_address(text: str) -> Address:
    """Return the address that the setting `mail_from` names. Raises ValueError when it names none."""
    return address(*parseaddr(text))


def one_line(text: str) -> str:
    """Return `text` without line breaks and whatever else does not print; what prints stays as it is."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _identity(mail: Mail) -> str:
    """Return the left side of the Message-ID: mail programs fold the copies of one mail by it."""
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
