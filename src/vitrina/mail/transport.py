"""The interface of mail transports, and the choice of one by the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from pathlib import Path
from typing import Protocol

from vitrina import aws
from vitrina.config import Settings


class MailRefused(Exception):
    """The server rejected the mail for good. The text is a code or ours, since the server's may contain an address."""


class MailNotSent(Exception):
    """The mail was not accepted, or it is unknown whether it was; it can be tried again later."""


class Transport(Protocol):
    """Sends messages, several concurrently."""

    async def send(self, message: EmailMessage) -> None:
        """Send a message to the address in its `To`. Raises MailRefused, MailNotSent.

        There is no time limit: the caller sets one and cancels.
        """


def sender_of(message: EmailMessage) -> str:
    """Return the bare address of the sender."""
    return str(message["From"].addresses[0].addr_spec)


def recipient_of(message: EmailMessage) -> str:
    """Return the bare address of the recipient."""
    return str(message["To"].addresses[0].addr_spec)


def as_bytes(message: EmailMessage) -> bytes:
    """Return the bytes to send; only non-ASCII addresses make headers non-ASCII (RFC 6532)."""
    plain = sender_of(message).isascii() and recipient_of(message).isascii()
    return message.as_bytes(policy=SMTP if plain else SMTPUTF8)


@asynccontextmanager
async def open_transport(settings: Settings) -> AsyncIterator[Transport]:
    """Open the transport of the setting `mail_transport`; close its connections at the end."""
    # Imported here, so that only the libraries of the chosen transport are loaded.
    if settings.mail_transport == "ses":
        from vitrina.mail.ses import SesTransport  # noqa: PLC0415

        async with aws.connect_mail(settings) as client:
            yield SesTransport(client)
    elif settings.mail_transport == "directory":
        from vitrina.mail.directory import DirectoryTransport  # noqa: PLC0415

        yield DirectoryTransport(Path(settings.mail_directory))
    else:
        from vitrina.mail.smtp import SmtpTransport  # noqa: PLC0415

        transport = SmtpTransport(
            host=settings.smtp_host,
            port=settings.smtp_port,
            security=settings.smtp_security,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value(),
        )
        try:
            yield transport
        finally:
            await transport.aclose()
