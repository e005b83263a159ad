"""Mail transports: the interface, a directory, Amazon SES, and the choice by the settings; SMTP is in smtp.py."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from vitrina import aws
from vitrina.config import Settings
from vitrina.files import whole_file

if TYPE_CHECKING:
    from types_aiobotocore_sesv2 import SESV2Client

_REFUSED: Final = frozenset({"BadRequestException", "MessageRejected"})
"""Codes that concern the mail itself. All others (throttling, a paused account) can be resolved later."""


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


class DirectoryTransport:
    """Writes each mail to a file of its own, under a name that sorts by time: for development."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, message: EmailMessage) -> None:
        """Write a message; creates the folder if needed. Raises MailNotSent if it cannot be written."""
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as error:
            raise MailNotSent(type(error).__name__) from error

    def _write(self, message: EmailMessage) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        identity = hashlib.sha256(str(message["Message-ID"]).encode()).hexdigest()[:16]
        name = f"{time.time_ns() // 1_000_000:013d}-{identity}"
        with whole_file(self._folder / f"{name}.eml", durable=False) as file:
            file.write(as_bytes(message))


class SesTransport:
    """Sends raw messages by Amazon SES (API v2)."""

    def __init__(self, client: "SESV2Client") -> None:
        self._client = client

    async def send(self, message: EmailMessage) -> None:
        """Send a message. Raises MailRefused, MailNotSent."""
        try:
            await self._client.send_email(
                FromEmailAddress=sender_of(message),
                Destination={"ToAddresses": [recipient_of(message)]},
                Content={"Raw": {"Data": as_bytes(message)}},
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _REFUSED:
                raise MailRefused(code) from error
            raise MailNotSent(code) from error
        except (BotoCoreError, OSError) as error:
            raise MailNotSent(type(error).__name__) from error


@asynccontextmanager
async def open_transport(settings: Settings) -> AsyncIterator[Transport]:
    """Open the transport of the setting `mail_transport`; close its connections at the end."""
    if settings.mail_transport == "ses":
        async with aws.connect_mail(settings) as client:
            yield SesTransport(client)
    elif settings.mail_transport == "directory":
        yield DirectoryTransport(Path(settings.mail_directory))
    else:
        from vitrina.mail.smtp import SmtpTransport  # noqa: PLC0415 - loads its library only where it is used

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
