"""How a message leaves: what every transport promises, and which one the settings ask for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from pathlib import Path
from typing import Protocol

from vitrina import aws
from vitrina.config import Settings


class MailRefused(Exception):
    """The server will never take this mail; the text is a code or words of ours: its own could repeat an address."""


class MailNotSent(Exception):
    """The mail was not taken, or nobody knows whether it was: try again later."""


class Transport(Protocol):
    """A way for messages to leave; several may leave at once."""

    async def send(self, message: EmailMessage) -> None:
        """Send a message to whom its `To` names. Raises MailRefused, MailNotSent.

        It sets no limit of time: whoever calls it does, and cancels it.
        """


def sender_of(message: EmailMessage) -> str:
    """Return the bare address of the sender."""
    return str(message["From"].addresses[0].addr_spec)


def recipient_of(message: EmailMessage) -> str:
    """Return the bare address of the recipient."""
    return str(message["To"].addresses[0].addr_spec)


def as_bytes(message: EmailMessage) -> bytes:
    """Write a message as it is sent; only an address outside of ASCII asks for a header outside of ASCII (RFC 6532)."""
    plain = sender_of(message).isascii() and recipient_of(message).isascii()
    return message.as_bytes(policy=SMTP if plain else SMTPUTF8)


@asynccontextmanager
async def open_transport(settings: Settings) -> AsyncIterator[Transport]:
    """Open the transport that `mail_transport` names, and close what it holds at the end."""
    # Each brings libraries that the others need not load.
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
